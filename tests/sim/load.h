/*
 * load: what the clients of a run do, and what each load knows must be true of the answers. A load
 * is a family of commands on keys of its own with an oracle that fits them.
 *
 * The driver (run.c) asks a load to issue an operation on a client now and then, tells it when the
 * server's life has ended and how, and asks it to check all its keys when all is quiet.
 *
 * In doubt: an operation whose reply was an error that leaves it open, or was lost with its
 * connection. It may have happened or not, at any time until the life's end; a look at the key
 * settles it. After a life has ended a load looks at each key before it writes it again.
 */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

enum life_end {
    LIFE_STOPPED,   /* in order */
    LIFE_KILLED,    /* nothing that was answered may be lost */
    LIFE_POWER_CUT, /* what may be lost depends on the mode */
};

enum sync_mode { SYNC_ALWAYS, SYNC_EVERYSEC, SYNC_NO };

/* What the oracles may assume of this run. */
struct load_rules {
    enum sync_mode sync_mode;
    bool faults; /* commands may fail with an error */
    bool damage; /* data on the disk was damaged: errors yes, wrong values no */
    uint32_t shards;
};

struct load;
struct load_kind {
    const char *name;
    struct load *(*create)(const struct load_rules *rules);
    void (*destroy)(struct load *load);
    /* Sends one or a few commands. */
    void (*issue)(struct load *load, struct client *client);
    /* All connections are gone; nothing is under way. */
    void (*life_ended)(struct load *load, enum life_end end, int64_t cut_ns);
    /* Starts reading every key; done when no request is under way any more. Faults are off. */
    void (*check_all)(struct load *load, struct client *client);
    /* After check_all's replies: what can only be said over all keys. */
    void (*check_end)(struct load *load);
    /* Keys that must exist now, or -1: not known. After check_end. */
    int64_t (*count)(const struct load *load);
};
struct load {
    const struct load_kind *kind;
    struct load_rules rules;
    bool checking; /* from check_all to check_end: nothing fails */
};

/* Whether an answer leaves it open what has happened: an error where errors are legal, or the
 * connection was lost. `what` is for the report of an error that isn't. */
bool load_in_doubt(const struct load *load, const char *what, const struct reply *reply);

/* Writes that a power cut may drop: with their order and age, over all loads of a run. */
void losses_begin(void);
/* A write that survived, and one that did not. answered_ns INT64_MAX: it never was. */
void losses_survivor(int64_t issued_ns);
void losses_lost(int64_t issued_ns, int64_t answered_ns);
/* Checks that what survived is a prefix, and young enough for the mode. */
void losses_check(enum sync_mode mode, int64_t cut_ns);
/* Checks what was lost because the log was damaged and cut there, with appendfsync always: the log
 * says of each write that it was durable once a later one stands in it. */
void losses_check_cut(void);

extern const struct load_kind load_registers; /* one writer per key, many readers */
extern const struct load_kind load_tokens;    /* APPEND on contended keys */
extern const struct load_kind load_groups;    /* MSET and MGET over shards, a ring of keys */
extern const struct load_kind load_counters;  /* INCR on contended keys */
extern const struct load_kind load_expiry;    /* times to live, under a clock that jumps */
extern const struct load_kind load_scan;      /* walks over keys that come and go */
extern const struct load_kind load_spaces;    /* databases 1 to 3: FLUSHDB, SWAPDB, COPY */

#endif
