/*
 * process: one life after the other of the simulated server: started from a configuration, stopped
 * as by SIGTERM, killed as by SIGKILL, or cut off with the machine's power.
 *
 *     NONE ──start──▶ STARTING ──▶ READY ──stop──▶ STOPPING ──▶ ENDED (code 0)
 *                        └───────────┴───────────────┴────────▶ ENDED (a code of its own: _exit,
 *                                                               or a start that failed)
 *
 * The states change while the world steps. A life that has ENDED, or is to be ended from outside at
 * any state, is cleared away by process_reap, process_kill or process_power_cut.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

enum process_state {
    PROCESS_NONE,
    PROCESS_STARTING,
    PROCESS_READY,
    PROCESS_STOPPING,
    PROCESS_ENDED,
};

/* `conf` is redis.conf's syntax (borrowed until reaped). The store is in /data of the disk. */
void process_start(struct disk *disk, const char *conf, uint32_t shards);
enum process_state process_state(void);
/* Of an ENDED one. */
int process_code(void);

/* SIGTERM. */
void process_stop(void);

/* Of an ENDED one: checks that a code of 0 has left nothing behind. */
void process_reap(void);
/* At any moment outside of its threads. */
void process_kill(void);
void process_power_cut(void);

/* How many lines of the server's log have said each: the oracle looks here when a start fails. */
bool process_said(const char *part);
void process_print_log(void); /* the last lines */

#endif
