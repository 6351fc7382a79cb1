/*
 * shard: one thread's world: its io, its scheduler, its timers, its mailboxes.
 *
 * A `struct shard_set` has N shards, each with a thread. Shards share nothing; they talk by
 * messages. The rooms above hang their own state on a shard with shard_set_slot (one pointer per
 * room) and take part in each pass through hooks:
 *
 *   reap completions (io_poll of the pass before) → run ready coroutines → drain mailboxes →
 *   low-priority coroutines within the budget → hook FLUSH (the log batch) → hook REPLY (sends) →
 *   publish outgoing messages → wait, unless something is ready.
 *
 * Threads: everything takes the shard it belongs to and runs on its thread, except shard_set_*, and
 * shard_post, which is for foreign threads.
 */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "io/io.h"
#include "shard/coro.h"

struct shard;
struct shard_set;

enum { SHARDS_MAX = 64 };

struct shard_options {
    struct io_options io;
    uint32_t coros_max;     /* coroutines of one shard */
    uint32_t mailbox_slots; /* messages in flight from one shard to another, power of two */
    uint32_t low_budget_us; /* background slice of one pass */
    bool pin_threads;
};
struct shard_options shard_options_default(void);

/* Starts count threads and waits until each has its io; `start` then runs on each in a coroutine
 * (may suspend), and shard_set_start returns when all have ended, with the first error. On error
 * all threads have been stopped; no stop function has run then. */
typedef int shard_start_fn(struct shard *shard, void *argument);
NODISCARD int shard_set_start(uint32_t count, const struct shard_options *options,
                              shard_start_fn *start, void *argument, struct shard_set **ret_set);

/* Runs `stop` in a coroutine on every shard, all at once, and waits for all of them; then until no
 * shard has a coroutine, a message or an io operation left (`stop` must see to it that listeners
 * and endless coroutines end); then ends and joins the threads and frees. Timers still armed are
 * forgotten. */
typedef void shard_stop_fn(struct shard *shard, void *argument);
void shard_set_stop(struct shard_set *set, shard_stop_fn *stop, void *argument);

uint32_t shard_set_count(const struct shard_set *set);
struct shard *shard_set_get(struct shard_set *set, uint32_t index);

/* The shard of the calling thread, NULL on others. */
struct shard *shard_self(void);
uint32_t shard_id(const struct shard *shard);
uint32_t shard_count(const struct shard *shard); /* of its set */
struct shard *shard_peer(struct shard *shard, uint32_t id);
struct io *shard_io(struct shard *shard);
struct sched *shard_sched(struct shard *shard);

/* Time as of this pass: cheap, and the same for all that happens in it. */
int64_t shard_now_ms(const struct shard *shard);  /* real time */
int64_t shard_mono_ns(const struct shard *shard); /* monotonic */

/* ---- what rooms hang on a shard ---- */

enum shard_slot {
    SHARD_SLOT_LOG,
    SHARD_SLOT_STORE,
    SHARD_SLOT_DATA,
    SHARD_SLOT_NET,
    SHARD_SLOT_CMD,
    SHARD_SLOT_SERVER,
    SHARD_SLOT_COUNT
};
void shard_set_slot(struct shard *shard, enum shard_slot slot, void *pointer);
void *shard_slot(const struct shard *shard, enum shard_slot slot);

/* In the order in which a pass calls them. */
enum shard_hook_point {
    SHARD_HOOK_PASS,  /* first thing of a pass, after the completions */
    SHARD_HOOK_FLUSH, /* the pass's log records go out */
    SHARD_HOOK_REPLY, /* replies whose gate is met are sent */
    SHARD_HOOK_COUNT,
};
/* Must not suspend. Returns true if it wants another pass at once (the shard then doesn't sleep).
 */
typedef bool shard_hook_fn(struct shard *shard, void *argument);
/* Hooks of one point run in the order in which they were added. Returns 0, or ERR_LIMIT at eight.
 */
NODISCARD int shard_add_hook(struct shard *shard, enum shard_hook_point point, shard_hook_fn *hook,
                             void *argument);
void shard_remove_hook(struct shard *shard, enum shard_hook_point point, shard_hook_fn *hook,
                       void *argument);

/* Busy connections of this shard, set by net: decides whether waiting batches events. */
void shard_set_busy_hint(struct shard *shard, uint32_t active_connections);

/* While a log sync is in flight the shard yields the CPU once a pass (the kernel thread that ends
 * it needs it). */
void shard_set_sync_in_flight(struct shard *shard, bool in_flight);

/* ---- messages ---- */

/* Embedded in what is sent; handed over with the send, comes back only if the handler sends it
 * back. The handler runs on the receiver's thread, outside of coroutines, and must not suspend
 * (start a coroutine for that). */
struct message;
typedef void message_fn(struct shard *receiver, struct message *message);
struct message {
    message_fn *handler;
    uint32_t from;         /* set by shard_send */
    struct list_node node; /* waiting here for room in a full mailbox, in order */
};

/* Queues the message; it leaves with the batch at the end of the pass. Order between a pair of
 * shards is kept. To itself: runs in the next pass. A full mailbox keeps the rest queued at the
 * sender, in order; nothing is lost. */
void shard_send(struct shard *from, uint32_t to, struct message *message);

/* From a thread that is no shard: queues the message for `shard` and wakes it. `from` is
 * UINT32_MAX. */
void shard_post(struct shard *shard, struct message *message);

/* Runs fn(argument) on shard `to`, in a coroutine there (normal priority; may suspend), and waits
 * for its result. Memory of `argument` is borrowed; the other shard reads and writes it while we
 * wait. Suspends. */
typedef int shard_call_fn(struct shard *there, void *argument);
co_fn int shard_call(struct shard *from, uint32_t to, shard_call_fn *fn, void *argument);

/* The same on every shard at once, argument i being arguments + i * stride (stride 0: shared).
 * Returns the first error by shard order. Suspends. */
co_fn int shard_call_all(struct shard *from, shard_call_fn *fn, void *arguments, size_t stride);

/* The same from a thread that is no shard: blocks it. */
int shard_call_from_outside(struct shard *there, shard_call_fn *fn, void *argument);

/* ---- timers ---- */

struct shard_timer;
typedef void shard_timer_fn(struct shard *shard, struct shard_timer *timer); /* must not suspend */
struct shard_timer {
    struct heap_node heap; /* key: monotonic ns at which it fires */
    shard_timer_fn *fire;
    bool armed;
};
/* One-shot; re-arming an armed timer moves it. Zero `timer` before the first time. Counts from the
 * time of this pass; never fires in the pass in which it was armed. */
void shard_timer_arm(struct shard *shard, struct shard_timer *timer, int64_t delay_ns,
                     shard_timer_fn *fire);
void shard_timer_disarm(struct shard *shard, struct shard_timer *timer);

struct shard_stats {
    uint64_t passes;
    uint64_t messages_sent;
    uint64_t messages_received; /* from shards and from foreign threads */
    uint64_t wakes;             /* of sleeping peers, by this shard */
    uint64_t sleeps;            /* waits in the kernel */
};
void shard_stats(const struct shard *shard, struct shard_stats *ret_stats);

#endif
