/*
 * coro_impl: what coro.c (stacks, switching, life and death) and sched.c (queues, waiting) share.
 * Private to the two.
 *
 *     coro_start ──▶ READY ──▶ RUNNING ──▶ ENDED ──▶ IDLE (pooled, with its stack)
 *                      ▲          │
 *            co_ready  │          │ co_park           (READY again by co_yield)
 *                      └── PARKED ◀┘
 */
#ifndef SHARD_CORO_IMPL_H
#define SHARD_CORO_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "shard/coro.h"
#include "shard/coro_switch.h"

#if defined(__SANITIZE_ADDRESS__)
#define CORO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CORO_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define CORO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CORO_TSAN 1
#endif
#endif

/* The sanitizers' red zones make frames several times as large. */
#if defined(CORO_ASAN) || defined(CORO_TSAN)
enum { CORO_STACK_MAPPED = 4 * CORO_STACK_BYTES };
#else
enum { CORO_STACK_MAPPED = CORO_STACK_BYTES };
#endif

enum coro_state { CORO_IDLE, CORO_READY, CORO_RUNNING, CORO_PARKED, CORO_ENDED };

enum { CORO_PRIORITIES = 2 };

/* What the sanitizers want to know of a stack that is not running. Unused without them. */
struct coro_fibre {
    void *asan_fake_stack;
    void *tsan_fibre;
};

struct coro {
    struct coro_context context;
    struct sched *sched;
    coro_main_fn *main;
    void *argument;
    const char *name;
    enum coro_state state;
    enum coro_priority priority;
    bool ready_early;       /* co_ready came before its co_park */
    struct list_node queue; /* in a ready queue, or among the idle */
    struct list_node all;   /* in sched->all, unless idle */
    void *stack;            /* owned, CORO_STACK_MAPPED */
    size_t stack_colour;    /* bytes left free at the top, see coro.c */
    struct coro_fibre fibre;
};

struct sched {
    struct coro_context context; /* where sched_run* goes on */
    struct coro *running;
    struct list ready[CORO_PRIORITIES];
    uint32_t ready_count[CORO_PRIORITIES];
    struct list all;
    uint32_t coros; /* not idle */
    uint32_t coros_max;
    uint32_t coros_made; /* with a stack, idle or not */

    /* The running coroutine's slice: 0 when it has not asked yet, see co_yield_if_due. */
    int64_t slice_end_ns;
    uint32_t slice_asked;

    /* Idle coroutines, the last used first. Those among `cold` have given their pages back. */
    struct list warm;
    struct list cold;
    uint32_t warm_count;
    uint32_t coros_peak; /* since the last sched_trim */

    struct coro_fibre fibre;
    const void *stack; /* the thread's own stack, for ASan */
    size_t stack_bytes;
};

/* Takes an idle coroutine or makes one with a new stack. NULL when memory is out. */
struct coro *coro_take(struct sched *sched);

/* Makes `coro` begin anew: its next resume enters its main. */
void coro_arm(struct coro *coro);

/* Switches from the scheduler to `coro`; returns when that suspends or ends. */
void coro_resume(struct coro *coro);

/* Switches from the running coroutine to its scheduler; its state says why. Suspends. */
co_fn void coro_suspend(struct coro *coro);

/* Puts an ended coroutine to the idle ones. */
void coro_give_back(struct coro *coro);

/* Frees it, stack and all. */
void coro_free(struct coro *coro);

/* Bytes of the stack that have ever been written since it was last given back to the kernel. */
uint32_t coro_stack_used(const struct coro *coro);

#endif
