/*
 * Coroutines: their stacks and the switch between them. Built twice: with the hand-written switch
 * and with ucontext.
 */
#include "shard/coro.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "base/mem.h"
#include "coros.h"
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
        start(work, &workers[i]);
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

/* ---- memory ---- */

Test(coro, no_memory_for_a_stack_is_an_error_and_leaves_the_scheduler_whole)
{
    set_up(3);
    for (uint64_t n = 1; n <= 2; n++) { /* the struct, then the stack */
        mem_fail_after(n, false);
        cr_assert_eq(try_start(CORO_NORMAL, once, "a"), ERR_MEMORY);
        mem_fail_after(0, false);
    }
    cr_assert_eq(sched_coros(sched), 0);
    start(once, "b");
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
            start(once, "");
        }
        run_all();
    }
    cr_assert_eq(sched->coros_made, 10);
    tear_down();
}

static void start_and_end(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        start(once, "");
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

static struct coro *parked;

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
    start(use_stack, NULL);
    sched_run(sched);
    start(once, "a");
    sched_each(sched, see, &seen);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.parked, 1);
    cr_assert_geq(seen.stack_used_most, 20000);
    cr_assert_leq(seen.stack_used_most, CORO_STACK_MAPPED);
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
    start(overflow, &result);
    sched_run(sched);
}
