/*
 * run: one seed from its first start to its last clean end: lives of the server, each under load
 * and ended somehow, and a last one in which everything is checked.
 *
 *     draw plan ─▶ [ start ─▶ load ─▶ stop | kill | power cut | its own exit ]* ─▶
 *     faults off ─▶ start ─▶ check every key ─▶ verify the trees ─▶ stop ─▶ leaks
 *
 * After a power cut everything is checked at the next start too, faults off, since what was lost
 * there must be settled before more is written; then that life goes on like any other.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct run_figures {
    uint64_t lives, cuts, kills, stops, exits, failed_starts, commands, steps;
    int64_t simulated_ns;
    uint64_t hash;
};

/* stop_at: the step to stop before, 0: none. A violation doesn't return. */
void run_seed(uint64_t seed, uint64_t stop_at, bool verbose, struct run_figures *ret_figures);

#endif
