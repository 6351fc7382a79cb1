/*
 * coros: a scheduler without a shard, and a trace of who ran when, for the tests of coroutines.
 */
#ifndef TESTS_COROS_H
#define TESTS_COROS_H

#include <criterion/criterion.h>
#include <string.h>

#include "shard/coro.h"

static struct sched *sched;
static char trace[256];

static inline void trace_add(char letter)
{
    size_t used = strlen(trace);
    cr_assert_lt(used + 1, sizeof(trace));
    trace[used] = letter;
}

static inline void set_up(uint32_t coros_max)
{
    cr_assert_eq(sched_create(coros_max, &sched), 0);
    sched_enter(sched);
}

static inline void run_all(void)
{
    while (sched_has_ready(sched) || sched_has_ready_low(sched)) {
        sched_run(sched);
        sched_run_low(sched, 0);
    }
}

static inline void tear_down(void)
{
    run_all();
    cr_assert_eq(sched_coros(sched), 0);
    sched_destroy(sched);
    cr_assert_null(sched_current());
}

/* The coroutines only read what is const here. */
static inline int try_start(enum coro_priority priority, coro_main_fn *main, const void *argument)
{
    return coro_start(sched, "test", priority, main, (void *)(uintptr_t)argument);
}

static inline void start_low(coro_main_fn *main, const void *argument)
{
    cr_assert_eq(try_start(CORO_LOW, main, argument), 0);
}

static inline void start(coro_main_fn *main, const void *argument)
{
    cr_assert_eq(try_start(CORO_NORMAL, main, argument), 0);
}

/* Coroutines: leave a letter once, or three times with a yield after each. */

static inline void once(void *argument)
{
    trace_add(*(char *)argument);
}

static inline void thrice(void *argument)
{
    for (int i = 0; i < 3; i++) {
        trace_add(*(char *)argument);
        co_yield();
    }
}

#endif
