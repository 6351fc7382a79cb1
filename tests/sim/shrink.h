/*
 * shrink: makes the plan of a seed with a violation smaller as long as there is a violation: fewer
 * lives, clients, commands, no faults of a kind, loads left out. Each plan is tried in a process of
 * its own.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include <stdint.h>

/* Leaves the overrides of the smallest plan set, and prints the command that repeats it. It may
 * show another violation than the seed's own plan: the caller runs it to see. */
void shrink(uint64_t seed, uint64_t stop_at);

#endif
