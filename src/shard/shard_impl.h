/*
 * shard_impl: the inside of a shard, for the files that make it up: shard.c (the pass), post.c
 * (messages and waking), timer.c, call.c, shard_set.c (threads, start and stop).
 *
 * All of it belongs to the shard's thread, except the fields marked as shared.
 */
#ifndef SHARD_SHARD_IMPL_H
#define SHARD_SHARD_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/thread.h"
#include "io/io.h"
#include "shard/coro.h"
#include "shard/mailbox.h"
#include "shard/shard.h"
#include "shard/wait.h"

enum {
    SHARD_HOOKS_MAX = 8,        /* of one point */
    SHARD_TIMERS_MAX = 1 << 22, /* armed at once; a limit no correct room comes near */
    SHARD_TIMERS_OWN = 256,     /* of the rooms; a sleeping coroutine has one besides */
    SHARD_TAKE_MAX = 32,        /* messages taken out of a mailbox at a time */
    SHARD_TRIM_MS = 1000,       /* idle stacks are looked at this often, while there are many */
};

struct shard_hook {
    shard_hook_fn *hook; /* NULL: removed while its point was being run */
    void *argument;
};

/* Who has come how far, among the threads of a set. */
struct gate {
    struct mutex mutex;
    struct condition condition;
    uint32_t arrived;
};

/* A start or stop function on its way through one shard. */
struct shard_task {
    struct message message;
    shard_call_fn *fn;
    void *argument;
    bool must_run; /* try again rather than fail when no coroutine is to be had */
    int result;
    struct gate *gate; /* of all the shards' tasks */
};

/* The question "tell me when you have nothing left to do", see shard_set.c. */
struct shard_probe {
    struct message message;
    uint64_t sent; /* the answer: these two */
    uint64_t received;
    struct gate *gate;
};

struct shard {
    struct shard_set *set;
    uint32_t id;
    struct io *io;
    struct sched *sched;
    struct thread thread;

    /* This pass. */
    int64_t mono_ns;
    int64_t real_ms;
    bool again; /* a hook wants another pass at once */

    void *slots[SHARD_SLOT_COUNT];
    struct shard_hook hooks[SHARD_HOOK_COUNT][SHARD_HOOKS_MAX];
    uint32_t hook_count[SHARD_HOOK_COUNT];
    bool hooks_running[SHARD_HOOK_COUNT];

    struct heap timers;
    struct shard_timer trim_timer;

    uint64_t staged; /* bit i: the mailbox to shard i holds what is not published yet */
    struct wait_spin spin;
    struct wait_rate completions;
    int64_t waited_ns; /* mono_ns of the pass before this one */
    uint32_t active_connections;
    bool sync_in_flight;
    struct shard_stats stats;

    /* Of shard_set.c. The first four belong in turn to the thread that owns the set and to the
     * shard's: to ours from the message's arrival to the gate. */
    int opened_result;
    struct shard_task task;
    struct shard_probe probe;
    struct message end_message;
    bool probe_asked;
    bool ending;                /* leave the loop after this pass */
    uint64_t received_from_set; /* balances with messages_sent over all shards when none travels */

    /* Shared. `sleeping` is written at each sleep, so it has a line to itself. */
    _Alignas(MAILBOX_LINE_BYTES) _Atomic bool sleeping;
    _Alignas(MAILBOX_LINE_BYTES) _Atomic(struct list_node *) posted; /* the last one first */
};

struct shard_set {
    struct shard_options options;
    uint32_t count;
    bool may_spin;             /* several shards, and a CPU for each */
    struct shard *shards;      /* owned, `count` of them */
    struct mailbox *mailboxes; /* owned; from shard f to shard t: [f * count + t] */
    uint32_t mailbox_count;    /* initialized ones */

    struct gate opened;  /* a thread has its io, or an error */
    struct gate allowed; /* the loops may begin; or, if `failed`, the threads shall end */
    struct gate ended;   /* a thread has left its loop; once more: all were told to */
    bool failed;         /* written before `allowed` is passed */
};

static inline struct mailbox *shard_mailbox(struct shard_set *set, uint32_t from, uint32_t to)
{
    return &set->mailboxes[from * set->count + to];
}

/* ---- shard.c ---- */

/* On the shard's thread: makes its scheduler and its io. */
NODISCARD int shard_open(struct shard *shard);
void shard_close(struct shard *shard);
void shard_loop(struct shard *shard);

/* ---- shard_set.c ---- */

/* Answers a probe if one is asked and the shard is quiet. At the end of a pass. */
void shard_probe_answer(struct shard *shard);

/* ---- timer.c ---- */

void timers_fire(struct shard *shard);
/* From now until the nearest timer, at least 0; -1: none. */
int64_t timers_next_ns(const struct shard *shard);

/* ---- post.c ---- */

/* Handles what others published before the call; returns how many messages that was. */
uint32_t mail_receive(struct shard *shard);
/* Publishes what was staged and wakes those who sleep. */
void mail_publish(struct shard *shard);
/* Something to receive, or room for what could not be published. */
bool mail_pending(struct shard *shard);
/* Nothing to receive and nothing to publish. */
bool mail_quiet(struct shard *shard);

#endif
