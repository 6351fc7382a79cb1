/*
 * Starting and stopping of a set, and what goes wrong then.
 */
#include "shards.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "shard/await.h"
#include "shard/shard_impl.h"

static _Atomic uint32_t started;
static _Atomic uint32_t stopped;
static _Atomic uint32_t ended;

static int nothing_there(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    return 0;
}

/* Start and stop functions may suspend and call their peers. */
static int start_and_call(struct shard *shard, void *argument)
{
    cr_assert_eq(argument, &started);
    await_sleep_ns(shard, 1000);
    for (uint32_t to = 0; to < shard_count(shard); to++) {
        cr_assert_eq(shard_call(shard, to, nothing_there, NULL), 0);
    }
    atomic_fetch_add(&started, 1);
    return 0;
}

static void stop_and_call(struct shard *shard, void *argument)
{
    cr_assert_eq(argument, &stopped);
    for (uint32_t to = 0; to < shard_count(shard); to++) {
        cr_assert_eq(shard_call(shard, to, nothing_there, NULL), 0);
    }
    await_sleep_ns(shard, 1000);
    atomic_fetch_add(&stopped, 1);
}

static void start_and_stop(uint32_t count, const struct shard_options *options)
{
    struct shard_set *set = NULL;
    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    cr_assert_eq(shard_set_start(count, options, start_and_call, &started, &set), 0);
    cr_assert_eq(atomic_load(&started), count);
    shard_set_stop(set, stop_and_call, &stopped);
    cr_assert_eq(atomic_load(&stopped), count);
}

Test(shard_set, start_and_stop_functions_run_on_every_shard_and_may_call_each_other)
{
    struct shard_options options = shards_options();
    start_and_stop(1, &options);
    start_and_stop(2, &options);
    start_and_stop(5, &options);
}

Test(shard_set, threads_can_be_pinned)
{
    struct shard_options options = shards_options();
    options.pin_threads = true;
    start_and_stop(3, &options);
}

Test(shard_set, starts_and_stops_again_and_again)
{
    struct shard_options options = shards_options();
    for (int i = 0; i < 20; i++) {
        start_and_stop(2, &options);
    }
}

/* ---- errors at the start ---- */

static int fail_on_one(struct shard *shard, void *argument)
{
    (void)argument;
    return shard_id(shard) == 1 ? ERR_CONFIG : 0;
}

Test(shard_set, an_error_of_a_start_function_stops_all_and_is_returned)
{
    struct shard_options options = shards_options();
    struct shard_set *set = NULL;
    cr_assert_eq(shard_set_start(3, &options, fail_on_one, NULL, &set), ERR_CONFIG);
    cr_assert_null(set);
}

Test(shard_set, an_error_of_the_io_stops_all_and_is_returned)
{
    struct shard_options options = shards_options();
    options.io.ops_max = 0;
    struct shard_set *set = NULL;
    cr_assert_lt(shard_set_start(3, &options, start_and_call, &started, &set), 0);
    cr_assert_null(set);
    cr_assert_eq(atomic_load(&started), 0);
}

Test(shard_set, out_of_memory_at_any_point_of_the_start_is_an_error)
{
    struct shard_options options = shards_options();
    uint64_t n = 1;
    int err;
    do {
        struct shard_set *set = NULL;
        mem_fail_after(n, false);
        err = shard_set_start(2, &options, shards_start_nothing, NULL, &set);
        mem_fail_after(0, false);
        cr_assert_eq(err == 0, set != NULL);
        if (set != NULL) {
            shards_stop(set);
        }
        n++;
    } while (err < 0);
    cr_assert_gt(n, 5);
}

/* ---- work that is left at the stop ---- */

struct sleeper {
    struct shard *shard;
    int64_t ns;
};

static void sleep_then_call(void *argument)
{
    struct sleeper *sleeper = argument;
    uint32_t next = (shard_id(sleeper->shard) + 1) % shard_count(sleeper->shard);
    await_sleep_ns(sleeper->shard, sleeper->ns);
    cr_assert_eq(shard_call(sleeper->shard, next, nothing_there, NULL), 0);
    await_sleep_ns(sleeper->shard, sleeper->ns);
    mem_free(sleeper);
    atomic_fetch_add(&ended, 1);
}

enum { SLEEPERS = 20 };

static int start_sleepers(struct shard *shard, void *argument)
{
    (void)argument;
    for (int i = 0; i < SLEEPERS; i++) {
        struct sleeper *sleeper = mem_must_alloc(sizeof(*sleeper));
        *sleeper = (struct sleeper){.shard = shard, .ns = i * INT64_C(500000)};
        enum coro_priority priority = i % 2 == 0 ? CORO_NORMAL : CORO_LOW;
        cr_assert_eq(coro_start(shard_sched(shard), "sleeper", priority, sleep_then_call, sleeper),
                     0);
    }
    return 0;
}

Test(shard_set, coroutines_that_wait_for_timers_end_before_the_stop_does)
{
    struct shard_options options = shards_options();
    struct shard_set *set = NULL;
    cr_assert_eq(shard_set_start(3, &options, start_sleepers, NULL, &set), 0);
    shards_stop(set);
    cr_assert_eq(atomic_load(&ended), 3 * SLEEPERS);
}

/* A message that passes through all shards and starts a coroutine at the end of its way. */
static void late(void *argument)
{
    struct sleeper *sleeper = argument;
    await_sleep_ns(sleeper->shard, 1000);
    mem_free(sleeper);
    atomic_fetch_add(&ended, 1);
}

struct wanderer {
    struct message message;
    uint32_t hops_left;
};

static void wander(struct shard *shard, struct message *message)
{
    struct wanderer *wanderer = container_of(message, struct wanderer, message);
    if (wanderer->hops_left-- > 0) {
        shard_send(shard, (shard_id(shard) + 1) % shard_count(shard), message);
        return;
    }
    mem_free(wanderer);
    struct sleeper *sleeper = mem_must_alloc(sizeof(*sleeper));
    sleeper->shard = shard;
    cr_assert_eq(coro_start(shard_sched(shard), "late", CORO_NORMAL, late, sleeper), 0);
}

static void stop_with_wanderers(struct shard *shard, void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < 10; i++) {
        struct wanderer *wanderer = mem_must_alloc(sizeof(*wanderer));
        *wanderer = (struct wanderer){.message = {.handler = wander}, .hops_left = 500 + i};
        shard_send(shard, (shard_id(shard) + 1) % shard_count(shard), &wanderer->message);
    }
}

Test(shard_set, messages_still_on_their_way_are_handled_before_any_loop_ends)
{
    struct shard_set *set = shards_start(4);
    shard_set_stop(set, stop_with_wanderers, NULL);
    cr_assert_eq(atomic_load(&ended), 40);
}

/* ---- no coroutine free at the stop ---- */

static int take_last_coroutine(struct shard *shard, void *argument)
{
    (void)argument;
    struct sleeper *sleeper = mem_must_alloc(sizeof(*sleeper));
    *sleeper = (struct sleeper){.shard = shard, .ns = 2000000};
    int err = coro_start(shard_sched(shard), "sleeper", CORO_NORMAL, late, sleeper);
    if (err < 0) {
        mem_free(sleeper);
    }
    return err;
}

static void note_stop(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    atomic_fetch_add(&stopped, 1);
}

Test(shard_set, the_stop_function_waits_for_a_free_coroutine)
{
    struct shard_options options = shards_options();
    options.coros_max = 2;
    struct shard_set *set = shards_start_with(2, &options);
    for (uint32_t i = 0; i < 4; i++) {
        int err = shards_run(set, i % 2, take_last_coroutine, NULL);
        cr_assert(err == 0 || err == ERR_LIMIT);
    }
    shard_set_stop(set, note_stop, NULL);
    cr_assert_eq(atomic_load(&stopped), 2);
}
