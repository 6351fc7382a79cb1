/*
 * coro: stackful coroutines of one thread.
 *
 * A coroutine is a function with a stack of its own that can stop in the middle (co_park) and be
 * taken up again later (co_ready). Hits and callbacks never need one; what waits for the disk, for
 * another shard or for time does. Stacks are pooled, have a guard page below, and are small
 * (CORO_STACK_BYTES): no large arrays on them, no recursion.
 *
 * A function that may suspend says so in its prototype with `co_fn` and in its comment with
 * "Suspends."; it may be called from coroutines only, and tools/tidy checks that. After a call to
 * one, whatever other coroutines may have changed must be read again.
 *
 * One `struct sched` per thread; nothing here is shared between threads.
 */
#ifndef SHARD_CORO_H
#define SHARD_CORO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"

/* Marks a function that may suspend the calling coroutine. */
#define co_fn

enum { CORO_STACK_BYTES = 64 * 1024 };

struct coro;
struct sched;

typedef void coro_main_fn(void *argument); /* runs on the coroutine's stack: may suspend */

enum coro_priority {
    CORO_NORMAL, /* serves a request */
    CORO_LOW,    /* background: runs within a time budget, after everything else of a pass */
};

/* coros_max bounds how many exist at once. */
NODISCARD int sched_create(uint32_t coros_max, struct sched **ret_sched);
/* No coroutine may be left. */
void sched_destroy(struct sched *sched);

/* The scheduler of this thread while it runs something, else NULL. */
struct sched *sched_current(void);
void sched_enter(struct sched *sched); /* makes it this thread's */

/* Starts `main` with `argument` (borrowed) in a new coroutine; it runs first from the next
 * sched_run*. `name` is a literal, for DEBUG COROUTINES and failed assertions. ERR_LIMIT at
 * coros_max, ERR_MEMORY. */
NODISCARD int coro_start(struct sched *sched, const char *name, enum coro_priority priority,
                         coro_main_fn *main, void *argument);

/* The running coroutine, or NULL outside of one. */
struct coro *coro_self(void);
const char *coro_name(const struct coro *coro);

/* Suspends the running coroutine until somebody passes it to co_ready. Suspends. */
co_fn void co_park(void);

/* Makes a parked coroutine runnable (its own priority's queue). Exactly once per co_park; may also
 * be called before the park it belongs to, from a callback that ran at once: the park then returns
 * without waiting. */
void co_ready(struct coro *coro);

/* Lets everything else that is ready run first. Suspends. */
co_fn void co_yield(void);

/* For background work between two small steps: yields if the slice of this pass is used up.
 * Suspends. */
co_fn void co_yield_if_due(void);

/* Brackets a section that must not suspend: co_park asserts that none is open. */
void co_atomic_begin(void);
void co_atomic_end(void);

/* Runs what was ready at the start of the call; returns how many ran. */
uint32_t sched_run(struct sched *sched);
/* Runs low-priority coroutines until none is ready or budget_ns has passed. */
uint32_t sched_run_low(struct sched *sched, int64_t budget_ns);
bool sched_has_ready(const struct sched *sched);
bool sched_has_ready_low(const struct sched *sched);
uint32_t sched_coros(const struct sched *sched);

/*
 * Ended coroutines leave their stacks to later ones. sched_trim gives the pages of those back to
 * the kernel that were not needed at the same time since the last trim; a few always stay. Called
 * now and then while sched_has_surplus.
 */
bool sched_has_surplus(const struct sched *sched);
void sched_trim(struct sched *sched);

/* Calls `each` for every coroutine: name, priority, whether parked, stack high-water in bytes. */
typedef void sched_each_fn(void *context, const struct coro *coro, bool parked,
                           uint32_t stack_used);
void sched_each(const struct sched *sched, sched_each_fn *each, void *context);

#endif
