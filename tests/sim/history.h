/*
 * history: the writes of one register (a key, or several that are written together) since it was
 * last settled, for loads in which several clients write at once. What each write left is a number.
 *
 *     issued ──────── answered            took effect somewhere between the two
 *     issued ────────────────────▶        in doubt: anywhere later, or never
 *
 * Two writes are ordered for sure if one was answered before the other was issued. A read is wrong
 * if what it shows was written by nobody, or surely before a write that had been answered, or shown
 * by a read, when this one was issued: `floor_ns` is the latest issue of such a write. Nothing else
 * needs to be known about the order, so a check costs one look over the writes.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "load.h"

enum { HISTORY_WRITES_MAX = 4096, HISTORY_UNKNOWN = UINT32_MAX };

struct history_write {
    uint64_t value; /* what it left; 0: nothing */
    uint64_t op;    /* not 0: one of several registers changed at once */
    int64_t issued_ns;
    int64_t answered_ns; /* INT64_MAX: not yet, or in doubt */
    int64_t expires_low_ms,
        expires_high_ms; /* of the wall clock; INT64_MAX: never. load_expiry.c */
    int64_t gone_ns;     /* when it was first known to have expired; INT64_MAX: it isn't */
    bool answered;
    bool dead;  /* known not to have happened */
    bool alone; /* no other was under way or in doubt when it was issued */
};

struct history {
    char name[64];
    struct history_write *writes; /* in order of issue; the first is where it began */
    uint32_t count;
    uint32_t open;    /* under way */
    uint32_t doubts;  /* since it was settled */
    uint32_t current; /* the write that is in force now, or HISTORY_UNKNOWN */
    int64_t floor_ns;
    bool ended;    /* a life, since it was settled: nothing is written until it is */
    bool settling; /* a look for that is under way */
};

void history_init(struct history *history); /* the name stays */
void history_deinit(struct history *history);

/* No room for another write before the next settlement. */
bool history_is_full(const struct history *history);
/* Returns the write's index, which is valid until it is settled. */
uint32_t history_issue(struct history *history, uint64_t value, uint64_t op);
/* It has taken effect; its value may have become known by the answer. */
void history_answer(struct history *history, uint32_t index);
/* It has not and will not. */
void history_refuse(struct history *history, uint32_t index);
/* Nobody knows. */
void history_doubt(struct history *history, uint32_t index);

/* What a read has to remember from its issue to its answer. */
struct history_read {
    int64_t floor_ns;
    uint32_t count;
    bool quiet;
};
struct history_read history_read_begin(const struct history *history);
/* Checks what it shows. */
void history_read_end(struct history *history, struct history_read read, uint64_t value);

void history_life_ended(struct history *history, bool may_lose);

enum history_verdict { HISTORY_MAYBE, HISTORY_THERE, HISTORY_LOST };
/* True if it must be settled, by a look that the caller sends now. */
bool history_wants_settling(struct history *history);
/* Whether the write is part of the history that ends with `value`. */
enum history_verdict history_judge(const struct history *history, uint32_t index, uint64_t value);
/* `value` was found when all was quiet: checks it, reports losses, and begins anew from there,
 * unless a write in doubt may still come. */
void history_settle(struct history *history, uint64_t value);
bool history_is_settled(const struct history *history);

#endif
