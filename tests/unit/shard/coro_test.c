/*
 * Coroutines and their scheduler. Built twice: with the hand-written switch and with ucontext.
 */
#include "shard/coro.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shard/coro_impl.h"

/* A sanitizer would turn the fault of the guard page into an exit. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "handle_segv=0";
}

static struct sched *sched;

static void set_up(uint32_t coros_max)
{
    cr_assert_eq(sched_create(coros_max, &sched), 0);
    sched_enter(sched);
}

static void run_all(void)
{
    while (sched_has_ready(sched) || sched_has_ready_low(sched)) {
        sched_run(sched);
        sched_run_low(sched, 0);
    }
}

static void tear_down(void)
{
    run_all();
    cr_assert_eq(sched_coros(sched), 0);
    sched_destroy(sched);
    cr_assert_null(sched_current());
}

/* The coroutines only read what is const here. */
static int try_start(enum coro_priority priority, coro_main_fn *main, const void *argument)
{
    return coro_start(sched, "test", priority, main, (void *)(uintptr_t)argument);
}

static void start(enum coro_priority priority, coro_main_fn *main, const void *argument)
{
    cr_assert_eq(try_start(priority, main, argument), 0);
}

/* ---- a trace of who ran when ---- */

static char trace[256];

static void trace_add(char letter)
{
    size_t used = strlen(trace);
    cr_assert_lt(used + 1, sizeof(trace));
    trace[used] = letter;
}

static void once(void *argument)
{
    trace_add(*(char *)argument);
}

static void thrice(void *argument)
{
    for (int i = 0; i < 3; i++) {
        trace_add(*(char *)argument);
        co_yield();
    }
}

Test(coro, runs_first_in_the_next_run_in_order_of_start)
{
    set_up(4);
    start(CORO_NORMAL, once, "a");
    start(CORO_NORMAL, once, "b");
    cr_assert_str_eq(trace, "");
    cr_assert_eq(sched_coros(sched), 2);
    cr_assert_eq(sched_run(sched), 2);
    cr_assert_str_eq(trace, "ab");
    cr_assert_eq(sched_coros(sched), 0);
    tear_down();
}

Test(coro, yield_lets_all_others_run_first)
{
    set_up(4);
    start(CORO_NORMAL, thrice, "a");
    start(CORO_NORMAL, thrice, "b");
    start(CORO_NORMAL, once, "c");
    run_all();
    cr_assert_str_eq(trace, "abcabab");
    tear_down();
}

Test(coro, one_run_runs_only_what_was_ready_when_it_began)
{
    set_up(4);
    start(CORO_NORMAL, thrice, "a");
    cr_assert_eq(sched_run(sched), 1);
    cr_assert_str_eq(trace, "a");
    cr_assert(sched_has_ready(sched));
    tear_down();
}

Test(coro, self_and_name_are_those_of_the_running_one)
{
    set_up(4);
    cr_assert_null(coro_self());
    start(CORO_NORMAL, once, "a");
    sched_run(sched);
    cr_assert_null(coro_self());
    tear_down();
}

/* ---- interleaving ---- */

enum { MANY = 3000, ROUNDS = 40 };

struct worker {
    uint32_t seed;
    double sum;
    uint64_t product;
};

static void work(void *argument)
{
    struct worker *worker = argument;
    uint32_t stack[64];
    uint64_t product = worker->seed | 1;
    double sum = worker->seed;
    for (uint32_t i = 0; i < 64; i++) {
        stack[i] = worker->seed + i;
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        sum = sum * 0.5 + round;
        product *= 2654435761u;
        co_yield();
    }
    for (uint32_t i = 0; i < 64; i++) {
        cr_assert_eq(stack[i], worker->seed + i);
    }
    worker->sum = sum;
    worker->product = product;
}

Test(coro, thousands_keep_their_registers_and_stacks_apart)
{
    static struct worker workers[MANY];
    set_up(MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        workers[i].seed = i;
        start(CORO_NORMAL, work, &workers[i]);
    }
    run_all();
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t product = i | 1;
        double sum = i;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            sum = sum * 0.5 + round;
            product *= 2654435761u;
        }
        cr_assert_eq(workers[i].product, product);
        cr_assert(workers[i].sum == sum);
    }
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

Test(coro, a_parked_one_goes_on_when_made_ready)
{
    set_up(4);
    start(CORO_NORMAL, park_once, "a");
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

Test(coro, ready_before_park_lets_that_one_park_return_at_once)
{
    set_up(4);
    start(CORO_NORMAL, ready_before_park, NULL);
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

Test(coro, ready_while_it_waits_for_its_turn_belongs_to_the_next_park)
{
    set_up(4);
    start(CORO_NORMAL, yield_then_park, NULL);
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

Test(coro, ready_twice_for_one_park_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(CORO_NORMAL, ready_twice, NULL);
    sched_run(sched);
}

static void park_in_atomic(void *argument)
{
    (void)argument;
    co_atomic_begin();
    co_park();
}

Test(coro, park_in_an_atomic_section_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(CORO_NORMAL, park_in_atomic, NULL);
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

Test(coro, park_after_an_atomic_section_is_fine)
{
    set_up(4);
    start(CORO_NORMAL, park_after_atomic, "a");
    sched_run(sched);
    co_ready(parked);
    tear_down();
    cr_assert_str_eq(trace, "aa");
}

Test(coro, destroying_a_scheduler_with_a_coroutine_left_aborts, .signal = SIGABRT)
{
    set_up(4);
    start(CORO_NORMAL, park_once, "a");
    sched_run(sched);
    sched_destroy(sched);
}

/* ---- limits ---- */

Test(coro, one_more_than_the_limit_is_refused_until_one_ends)
{
    set_up(3);
    for (int i = 0; i < 3; i++) {
        start(CORO_NORMAL, once, "a");
    }
    cr_assert_eq(try_start(CORO_NORMAL, once, "b"), ERR_LIMIT);
    run_all();
    cr_assert_eq(try_start(CORO_NORMAL, once, "c"), 0);
    run_all();
    cr_assert_str_eq(trace, "aaac");
    tear_down();
}

Test(coro, no_memory_for_a_stack_is_an_error_and_leaves_the_scheduler_whole)
{
    set_up(3);
    for (uint64_t n = 1; n <= 2; n++) { /* the struct, then the stack */
        mem_fail_after(n, false);
        cr_assert_eq(try_start(CORO_NORMAL, once, "a"), ERR_MEMORY);
        mem_fail_after(0, false);
    }
    cr_assert_eq(sched_coros(sched), 0);
    start(CORO_NORMAL, once, "b");
    tear_down();
    cr_assert_str_eq(trace, "b");
}

Test(coro, no_memory_for_a_scheduler_is_an_error)
{
    mem_fail_after(1, false);
    cr_assert_eq(sched_create(1, &sched), ERR_MEMORY);
}

/* ---- stacks ---- */

Test(coro, stacks_of_ended_ones_are_used_again)
{
    set_up(100);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 10; i++) {
            start(CORO_NORMAL, once, "");
        }
        run_all();
    }
    cr_assert_eq(sched->coros_made, 10);
    tear_down();
}

static void start_and_end(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        start(CORO_NORMAL, once, "");
    }
    run_all();
}

Test(coro, idle_stacks_beyond_a_few_are_given_back_and_still_work)
{
    set_up(200);
    start_and_end(200);
    cr_assert(sched_has_surplus(sched));
    sched_trim(sched); /* all 200 were needed since the last trim: they stay */
    cr_assert_eq(sched->warm_count, 200);
    sched_trim(sched);
    cr_assert_not(sched_has_surplus(sched));
    cr_assert_lt(sched->warm_count, 200);
    cr_assert_gt(sched->warm_count, 0);

    start_and_end(200);
    cr_assert_eq(sched->coros_made, 200);
    tear_down();
}

Test(coro, few_idle_stacks_are_kept)
{
    set_up(200);
    start_and_end(64);
    cr_assert_not(sched_has_surplus(sched));
    start_and_end(65);
    cr_assert(sched_has_surplus(sched));
    tear_down();
}

static void use_stack(void *argument)
{
    volatile char bytes[20000];
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)i;
    }
    cr_assert_eq(bytes[300], (char)300);
    parked = coro_self();
    (void)argument;
    co_park();
    cr_assert_eq(bytes[19999], (char)19999);
}

struct seen {
    uint32_t count;
    uint32_t parked;
    uint32_t stack_used_most;
};

static void see(void *context, const struct coro *coro, bool is_parked, uint32_t stack_used)
{
    struct seen *seen = context;
    seen->count++;
    seen->parked += is_parked;
    if (seen->stack_used_most < stack_used) {
        seen->stack_used_most = stack_used;
    }
    cr_assert_str_eq(coro_name(coro), "test");
}

Test(coro, each_shows_state_and_deepest_stack_use)
{
    struct seen seen = {0};
    set_up(4);
    start(CORO_NORMAL, use_stack, NULL);
    sched_run(sched);
    start(CORO_NORMAL, once, "a");
    sched_each(sched, see, &seen);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.parked, 1);
    cr_assert_geq(seen.stack_used_most, 20000);
    cr_assert_leq(seen.stack_used_most, CORO_STACK_BYTES);
    co_ready(parked);
    tear_down();
}

static uint32_t fall(uint32_t depth)
{
    volatile char frame[512];
    frame[depth % sizeof(frame)] = (char)depth;
    uint32_t below = depth < 1u << 20 ? fall(depth + 1) : 0;
    return below + (uint32_t)frame[depth % sizeof(frame)];
}

static void overflow(void *argument)
{
    *(uint32_t *)argument = fall(0);
}

Test(coro, a_stack_that_overflows_hits_the_guard_page, .signal = SIGSEGV)
{
    uint32_t result = 0;
    set_up(4);
    start(CORO_NORMAL, overflow, &result);
    sched_run(sched);
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

Test(coro, low_priority_runs_only_when_asked_for)
{
    set_up_with_clock();
    start(CORO_LOW, once, "l");
    start(CORO_NORMAL, once, "n");
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

Test(coro, low_priority_stops_at_its_budget_and_goes_on_later)
{
    set_up_with_clock();
    start(CORO_LOW, burn_10_us, "l");
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

Test(coro, yield_if_due_yields_once_the_budget_is_used_up)
{
    uint32_t steps = 0;
    set_up_with_clock();
    start(CORO_LOW, step_until_due, &steps);
    cr_assert_eq(sched_run_low(sched, 100000), 1);
    cr_assert_geq(steps, 100);
    cr_assert_lt(steps, 110); /* the clock is not read at each step */
    cr_assert(sched_has_ready_low(sched));
    tear_down();
    cr_assert_eq(steps, 1000);
}

Test(coro, yield_if_due_bounds_a_normal_coroutine_too)
{
    uint32_t steps = 0;
    set_up_with_clock();
    start(CORO_NORMAL, step_until_due, &steps);
    sched_run(sched);
    cr_assert_geq(steps, 100);
    cr_assert_lt(steps, 1000);
    cr_assert(sched_has_ready(sched));
    tear_down();
    cr_assert_eq(steps, 1000);
}

Test(coro, yield_if_due_goes_on_while_time_is_left)
{
    set_up_with_clock();
    uint32_t steps = 0;
    start(CORO_LOW, step_until_due, &steps);
    cr_assert_eq(sched_run_low(sched, 2000000), 1);
    cr_assert_eq(steps, 1000);
    tear_down();
}
