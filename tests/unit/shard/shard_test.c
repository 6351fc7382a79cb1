/*
 * A shard's pass: hooks, slots, timers, sleeping when there is nothing to do.
 */
#include "shards.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "shard/await.h"
#include "shard/shard_impl.h"

static char trace[4096];

static void trace_add(char letter)
{
    size_t used = strlen(trace);
    if (used + 1 < sizeof(trace)) {
        trace[used] = letter;
    }
}

/* ---- slots and identity ---- */

static int use_slots(struct shard *shard, void *argument)
{
    for (enum shard_slot slot = 0; slot < SHARD_SLOT_COUNT; slot++) {
        cr_assert_null(shard_slot(shard, slot));
    }
    shard_set_slot(shard, SHARD_SLOT_DATA, argument);
    cr_assert_eq(shard_slot(shard, SHARD_SLOT_DATA), argument);
    cr_assert_null(shard_slot(shard, SHARD_SLOT_CMD));
    cr_assert_eq(shard_peer(shard, shard_id(shard)), shard);
    cr_assert_eq(shard_sched(shard), sched_current());
    cr_assert_not_null(shard_io(shard));
    cr_assert_gt(shard_now_ms(shard), 0);
    cr_assert_gt(shard_mono_ns(shard), 0);
    return (int)shard_count(shard);
}

Test(shard, holds_one_pointer_for_each_room)
{
    int thing;
    struct shard_set *set = shards_start(2);
    cr_assert_eq(shard_set_count(set), 2);
    cr_assert_eq(shards_run(set, 1, use_slots, &thing), 2);
    shards_stop(set);
}

/* ---- hooks ---- */

static bool tracing_hook(struct shard *shard, void *argument)
{
    cr_assert_eq(shard, shard_self());
    cr_assert_null(coro_self());
    trace_add(*(char *)argument);
    return false;
}

static char letter_p = 'p';
static char letter_f = 'f';
static char letter_r = 'r';
static char letter_s = 's';

static int add_hooks(struct shard *shard, void *argument)
{
    (void)argument;
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_r), 0);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_s), 0);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_FLUSH, tracing_hook, &letter_f), 0);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p), 0);
    trace_add('|');
    co_yield();
    trace_add('|');
    co_yield();
    shard_remove_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_r);
    shard_remove_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p);
    shard_remove_hook(shard, SHARD_HOOK_FLUSH, tracing_hook, &letter_f);
    trace_add('|');
    co_yield();
    shard_remove_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_s);
    return 0;
}

Test(shard, hooks_run_each_pass_at_their_points_in_order)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, add_hooks, NULL), 0);
    shards_stop(set);
    cr_assert_str_eq(trace, "|frsp|frsp|s");
}

static int fill_hooks(struct shard *shard, void *argument)
{
    (void)argument;
    for (int i = 0; i < SHARD_HOOKS_MAX; i++) {
        cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p), 0);
    }
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p), ERR_LIMIT);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_FLUSH, tracing_hook, &letter_f), 0);
    shard_remove_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_PASS, tracing_hook, &letter_p), 0);
    return 0;
}

Test(shard, one_hook_too_many_is_refused)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, fill_hooks, NULL), 0);
    shards_stop(set);
}

/* Wants `*argument` more passes, then removes itself. */
static bool counting_hook(struct shard *shard, void *argument)
{
    uint32_t *left = argument;
    trace_add('c');
    if (*left == 0) {
        shard_remove_hook(shard, SHARD_HOOK_REPLY, counting_hook, argument);
        return false;
    }
    --*left;
    return true;
}

static uint32_t passes_wanted = 5;

static int count_passes(struct shard *shard, void *argument)
{
    struct shard_stats before;
    shard_stats(shard, &before);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_REPLY, counting_hook, &passes_wanted), 0);
    cr_assert_eq(shard_add_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_s), 0);
    await_sleep_ns(shard, 1);
    while (passes_wanted > 0) {
        co_yield();
    }
    co_yield();
    shard_remove_hook(shard, SHARD_HOOK_REPLY, tracing_hook, &letter_s);
    (void)argument;
    return 0;
}

Test(shard, a_hook_can_ask_for_passes_and_remove_itself_while_it_runs)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, count_passes, NULL), 0);
    shards_stop(set);
    cr_assert_eq(strncmp(trace, "cscscscscscs", 12), 0, "%s", trace);
    cr_assert_null(strchr(trace + 12, 'c'));
}

/* ---- priorities ---- */

static _Atomic bool background_runs;

static void background(void *argument)
{
    (void)argument;
    while (atomic_load(&background_runs)) {
        co_yield_if_due();
    }
}

static int start_background(struct shard *shard, void *argument)
{
    (void)argument;
    atomic_store(&background_runs, true);
    return coro_start(shard_sched(shard), "background", CORO_LOW, background, NULL);
}

static int end_background(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
    atomic_store(&background_runs, false);
    return 0;
}

static int wait_a_little(struct shard *shard, void *argument)
{
    (void)argument;
    await_sleep_ns(shard, 1000);
    co_yield();
    return 0;
}

Test(shard, endless_background_work_does_not_hold_up_requests)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, start_background, NULL), 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(shards_run(set, 0, wait_a_little, NULL), 0);
    }
    cr_assert_eq(shards_run(set, 0, end_background, NULL), 0);
    shards_stop(set);
}

/* ---- sleeping ---- */

/*
 * While this coroutine waits for its timer there is nothing else to do, however long that takes:
 * a shard that did not sleep would make thousands of passes.
 */
static int sleep_and_count(struct shard *shard, void *argument)
{
    struct shard_stats before;
    struct shard_stats after;
    (void)argument;
    await_sleep_ns(shard, 1000000);
    shard_stats(shard, &before);
    for (int i = 0; i < 4; i++) {
        await_sleep_ns(shard, 5000000);
    }
    shard_stats(shard, &after);
    cr_assert_geq(after.sleeps - before.sleeps, 4);
    cr_assert_leq(after.passes - before.passes, 40);
    return 0;
}

Test(shard, an_idle_shard_sleeps)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, sleep_and_count, NULL), 0);
    shards_stop(set);
}

Test(shard, idle_shards_with_peers_sleep_too)
{
    struct shard_set *set = shards_start(2);
    cr_assert_eq(shards_run(set, 0, sleep_and_count, NULL), 0);
    cr_assert_eq(shards_run(set, 1, sleep_and_count, NULL), 0);
    shards_stop(set);
}

static int busy_and_syncing(struct shard *shard, void *argument)
{
    shard_set_busy_hint(shard, 100);
    shard_set_sync_in_flight(shard, true);
    for (int i = 0; i < 10; i++) {
        co_yield();
    }
    await_sleep_ns(shard, 1000);
    shard_set_sync_in_flight(shard, false);
    return sleep_and_count(shard, argument);
}

Test(shard, a_shard_told_that_it_is_busy_still_sleeps_when_nothing_comes)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, busy_and_syncing, NULL), 0);
    shards_stop(set);
}

/* ---- time ---- */

static int see_time(struct shard *shard, void *argument)
{
    (void)argument;
    int64_t mono_ns = shard_mono_ns(shard);
    int64_t real_ms = shard_now_ms(shard);
    while (clock_mono_ns() - mono_ns < 3000000) {
        cr_assert_eq(shard_mono_ns(shard), mono_ns);
        cr_assert_eq(shard_now_ms(shard), real_ms);
    }
    co_yield();
    cr_assert_geq(shard_mono_ns(shard), mono_ns + 3000000);
    return 0;
}

Test(shard, time_stands_still_within_a_pass)
{
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, see_time, NULL), 0);
    shards_stop(set);
}

/* ---- idle stacks ---- */

static _Atomic int64_t fast_now_ns = 1;

/* Half a second goes by at each look. */
static int64_t fast_mono_ns(void *arg)
{
    (void)arg;
    return atomic_fetch_add(&fast_now_ns, 500000000);
}

static int64_t fast_real_us(void *arg)
{
    (void)arg;
    return atomic_load(&fast_now_ns) / 1000;
}

static const struct clock_source fast_clock = {.mono_ns = fast_mono_ns, .real_us = fast_real_us};

static void nothing(void *argument)
{
    (void)argument;
}

static int burst(struct shard *shard, void *argument)
{
    (void)argument;
    for (int i = 0; i < 500; i++) {
        cr_assert_eq(coro_start(shard_sched(shard), "burst", CORO_NORMAL, nothing, NULL), 0);
    }
    co_yield();
    cr_assert(sched_has_surplus(shard_sched(shard)));
    for (int i = 0; i < 1000 && sched_has_surplus(shard_sched(shard)); i++) {
        await_sleep_ns(shard, 1);
    }
    cr_assert_not(sched_has_surplus(shard_sched(shard)));
    return 0;
}

Test(shard, stacks_of_a_burst_are_given_back)
{
    clock_set_source(&fast_clock);
    struct shard_set *set = shards_start(1);
    cr_assert_eq(shards_run(set, 0, burst, NULL), 0);
    shards_stop(set);
}
