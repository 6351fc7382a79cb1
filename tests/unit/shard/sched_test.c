/*
 * The scheduler: who runs when. Built twice: with the hand-written switch and with ucontext.
 */
#include "shard/coro.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "base/clock.h"
#include "coros.h"

/* ---- order ---- */

Test(sched, runs_first_in_the_next_run_in_order_of_start)
{
    set_up(4);
    start(once, "a");
    start(once, "b");
    cr_assert_str_eq(trace, "");
    cr_assert_eq(sched_coros(sched), 2);
    cr_assert_eq(sched_run(sched), 2);
    cr_assert_str_eq(trace, "ab");
    cr_assert_eq(sched_coros(sched), 0);
    tear_down();
}

Test(sched, yield_lets_all_others_run_first)
{
    set_up(4);
    start(thrice, "a");
    start(thrice, "b");
    start(once, "c");
    run_all();
    cr_assert_str_eq(trace, "abcabab");
    tear_down();
}

Test(sched, one_run_runs_only_what_was_ready_when_it_began)
{
    set_up(4);
    start(thrice, "a");
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "a");
    cr_assert(sched_has_ready(sched));
    tear_down();
}

static void see_context(void *argument)
{
    (void)argument;
    cr_assert_str_eq(assert_context, "test");
    co_yield();
    cr_assert_str_eq(assert_context, "test");
}

Test(sched, a_failing_assertion_will_name_the_running_coroutine)
{
    set_up(4);
    start(see_context, NULL);
    sched_run(sched);
    cr_assert_null(assert_context);
    tear_down();
}

Test(sched, self_and_name_are_those_of_the_running_one)
{
    set_up(4);
    cr_assert_null(coro_self());
    start(once, "a");
    sched_run(sched);
    cr_assert_null(coro_self());
    tear_down();
}

/* ---- parking ---- */

static struct coro *parked;

static void park_once(void *argument)
{
    parked = coro_self();
    cr_assert_str_eq(coro_name(parked), "test");
    trace_add(*(char *)argument);
    co_park();
    trace_add(*(char *)argument);
}

Test(sched, a_parked_one_goes_on_when_made_ready)
{
    set_up(4);
    start(park_once, "a");
    sched_run(sched);
    cr_assert_not(sched_has_ready(sched));
    cr_assert_eq(sched_run(sched), 0);
    cr_assert_str_eq(trace, "a");
    co_ready(parked);
    cr_assert(sched_has_ready(sched));
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "aa");
    tear_down();
}

static void ready_before_park(void *argument)
{
    (void)argument;
    co_ready(coro_self());
    co_park();
    trace_add('1');
    parked = coro_self();
    co_park();
    trace_add('2');
}

Test(sched, ready_before_park_lets_that_one_park_return_at_once)
{
    set_up(4);
    start(ready_before_park, NULL);
    sched_run(sched);
    cr_assert_str_eq(trace, "1");
    co_ready(parked);
    tear_down();
    cr_assert_str_eq(trace, "12");
}

static void yield_then_park(void *argument)
{
    (void)argument;
    parked = coro_self();
    co_yield();
    trace_add('y');
    co_park();
    trace_add('p');
}

Test(sched, ready_while_it_waits_for_its_turn_belongs_to_the_next_park)
{
    set_up(4);
    start(yield_then_park, NULL);
    sched_run(sched);
    co_ready(parked);
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "yp");
    tear_down();
}

static void ready_twice(void *argument)
{
    (void)argument;
    co_ready(coro_self());
    co_ready(coro_self());
}

Test(sched, ready_twice_for_one_park_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(ready_twice, NULL);
    sched_run(sched);
}

static void park_in_atomic(void *argument)
{
    (void)argument;
    co_atomic_begin();
    co_park();
}

Test(sched, park_in_an_atomic_section_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(park_in_atomic, NULL);
    sched_run(sched);
}

static void park_after_atomic(void *argument)
{
    co_atomic_begin();
    co_atomic_begin();
    co_atomic_end();
    co_atomic_end();
    park_once(argument);
}

Test(sched, park_after_an_atomic_section_is_fine)
{
    set_up(4);
    start(park_after_atomic, "a");
    sched_run(sched);
    co_ready(parked);
    tear_down();
    cr_assert_str_eq(trace, "aa");
}

Test(sched, destroying_a_scheduler_with_a_coroutine_left_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(park_once, "a");
    sched_run(sched);
    sched_destroy(sched);
}

/* ---- limits ---- */

Test(sched, one_more_than_the_limit_is_refused_until_one_ends)
{
    set_up(3);
    for (int i = 0; i < 3; i++) {
        start(once, "a");
    }
    cr_assert_eq(try_start(CORO_NORMAL, once, "b"), ERR_LIMIT);
    run_all();
    cr_assert_eq(try_start(CORO_NORMAL, once, "c"), 0);
    run_all();
    cr_assert_str_eq(trace, "aaac");
    tear_down();
}

/* ---- priorities and slices ---- */

static int64_t fake_now_ns;

static int64_t fake_mono_ns(void *arg)
{
    (void)arg;
    return fake_now_ns;
}

static int64_t fake_real_us(void *arg)
{
    (void)arg;
    return fake_now_ns / 1000;
}

static const struct clock_source fake_clock = {.mono_ns = fake_mono_ns, .real_us = fake_real_us};

static void set_up_with_clock(void)
{
    fake_now_ns = 1000000;
    clock_set_source(&fake_clock);
    set_up(8);
}

Test(sched, low_priority_runs_only_when_asked_for)
{
    set_up_with_clock();
    start_low(once, "l");
    start(once, "n");
    cr_assert(sched_has_ready_low(sched));
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "n");
    cr_assert_eq(sched_run_low(sched, 0), 1);
    cr_assert_str_eq(trace, "nl");
    cr_assert_eq(sched_run_low(sched, 1000), 0);
    tear_down();
}

static void burn_10_us(void *argument)
{
    for (int i = 0; i < 20; i++) {
        trace_add(*(char *)argument);
        fake_now_ns += 10000;
        co_yield();
    }
}

Test(sched, low_priority_stops_at_its_budget_and_goes_on_later)
{
    set_up_with_clock();
    start_low(burn_10_us, "l");
    cr_assert_eq(sched_run_low(sched, 50000), 5);
    cr_assert_str_eq(trace, "lllll");
    cr_assert_eq(sched_run_low(sched, 0), 1);
    cr_assert_eq(sched_run_low(sched, 10001), 2);
    tear_down();
}

/* Steps of 1 us until the slice is used up; notes in *argument how many that were. */
static void step_until_due(void *argument)
{
    uint32_t *steps = argument;
    for (uint32_t i = 0; i < 1000; i++) {
        ++*steps;
        fake_now_ns += 1000;
        co_yield_if_due();
    }
}

Test(sched, yield_if_due_yields_once_the_budget_is_used_up)
{
    uint32_t steps = 0;
    set_up_with_clock();
    start_low(step_until_due, &steps);
    cr_assert_eq(sched_run_low(sched, 100000), 1);
    cr_assert_geq(steps, 100);
    cr_assert_lt(steps, 110); /* the clock is not read at each step */
    cr_assert(sched_has_ready_low(sched));
    tear_down();
    cr_assert_eq(steps, 1000);
}

Test(sched, yield_if_due_bounds_a_normal_coroutine_too)
{
    uint32_t steps = 0;
    set_up_with_clock();
    start(step_until_due, &steps);
    sched_run(sched);
    cr_assert_geq(steps, 100);
    cr_assert_lt(steps, 1000);
    cr_assert(sched_has_ready(sched));
    tear_down();
    cr_assert_eq(steps, 1000);
}

Test(sched, yield_if_due_goes_on_while_time_is_left)
{
    set_up_with_clock();
    uint32_t steps = 0;
    start_low(step_until_due, &steps);
    cr_assert_eq(sched_run_low(sched, 2000000), 1);
    cr_assert_eq(steps, 1000);
    tear_down();
}
