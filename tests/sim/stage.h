/*
 * stage: one server and one client that sends a command when the one before is answered: for the
 * loops that try one failure after the other (nth.c, sweep.c). Where eloqstore-sim draws what
 * happens, here all is written down, and a case is the same whenever it is run.
 *
 * A life: stage_start, any number of stage_ask, then stage_stop, stage_kill or stage_power_cut.
 * Between lives the disk may be looked at and damaged.
 */
#ifndef SIM_STAGE_H
#define SIM_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "disk.h"

enum { STAGE_ARGS_MAX = CLIENT_ARGS_MAX };

/* Begins a world, with a calm disk that stage_disk gives. */
void stage_begin(uint64_t seed);
void stage_end(void);
struct disk *stage_disk(void);
/* Another disk in its place (handed over), which is given back. Between lives. */
struct disk *stage_swap_disk(struct disk *disk);

/* What a command was answered. Text of strings and errors stands in `text`; elements of an array
 * likewise one after the other, each with its type before it. */
struct answer {
    bool lost; /* the connection ended first */
    char type; /* as struct reply's */
    int64_t integer;
    uint32_t count;
    uint8_t *text; /* owned by the stage, until the next command */
    size_t bytes;
};

/* Starts the server; true: it is ready. False: it has ended, see stage_code. A start or stop that
 * doesn't come to an end is a violation. */
bool stage_start(const char *conf, uint32_t shards);
bool stage_is_alive(void);
int stage_code(void); /* of one that has ended */

/* The client connects by itself when it has something to ask. */
bool stage_is_connected(void);
struct answer stage_ask(const struct command *command);
/* Words apart by single spaces. */
struct answer stage_ask_words(const char *words);
void stage_pause_ms(int64_t ms);

/* SIGTERM; returns the exit code, memory and descriptors are checked if it is 0. */
int stage_stop(void);
/* It has ended by itself: clears it away, returns the code. */
int stage_reap(void);
void stage_kill(void);
void stage_power_cut(void);

#endif
