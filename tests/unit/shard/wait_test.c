#include "shard/wait.h"

#include <criterion/criterion.h>

/* A shard with many busy connections and nothing else in the way: the one case that gathers. */
static const struct wait_state busy = {
    .active_connections = WAIT_BATCH_CONNECTIONS_MIN,
    .completions_expected = WAIT_BATCH_COMPLETIONS_MIN,
    .timer_ns = -1,
};

Test(wait, idle_waits_without_limit_for_a_single_event)
{
    struct wait_state state = {.timer_ns = -1};
    struct io_wait wait = wait_plan(&state);
    cr_assert_eq(wait.timeout_ns, -1);
    cr_assert_eq(wait.batch, 0);
    cr_assert_eq(wait.batch_us, 0);
}

Test(wait, waits_until_the_nearest_timer)
{
    struct wait_state state = {.timer_ns = 12345};
    cr_assert_eq(wait_plan(&state).timeout_ns, 12345);
    state.timer_ns = 0;
    cr_assert_eq(wait_plan(&state).timeout_ns, 0);
}

Test(wait, does_not_wait_while_there_is_work)
{
    struct wait_state state = {.timer_ns = 12345, .work_ready = true};
    cr_assert_eq(wait_plan(&state).timeout_ns, 0);
    state = (struct wait_state){.timer_ns = -1, .low_ready = true};
    cr_assert_eq(wait_plan(&state).timeout_ns, 0);
}

Test(wait, does_not_sleep_yet_while_a_peer_may_answer)
{
    struct wait_state state = busy;
    state.mail_near = true;
    cr_assert_eq(wait_plan(&state).timeout_ns, 0);
    cr_assert_eq(wait_plan(&state).batch, 0);
}

Test(wait, busy_gathers_events)
{
    struct io_wait wait = wait_plan(&busy);
    cr_assert_eq(wait.timeout_ns, -1);
    cr_assert_eq(wait.batch, WAIT_BATCH_CONNECTIONS_MIN / 2);
    cr_assert_eq(wait.batch_us, WAIT_BATCH_US);
}

Test(wait, gathers_from_half_of_the_connections_up_to_a_limit)
{
    struct wait_state state = busy;
    state.active_connections = 2 * WAIT_BATCH_EVENTS - 1;
    cr_assert_eq(wait_plan(&state).batch, WAIT_BATCH_EVENTS - 1);
    state.active_connections = 2 * WAIT_BATCH_EVENTS;
    cr_assert_eq(wait_plan(&state).batch, WAIT_BATCH_EVENTS);
    state.active_connections = 2 * WAIT_BATCH_EVENTS + 2;
    cr_assert_eq(wait_plan(&state).batch, WAIT_BATCH_EVENTS);
}

Test(wait, one_connection_fewer_does_not_gather)
{
    struct wait_state state = busy;
    state.active_connections--;
    cr_assert_eq(wait_plan(&state).batch, 0);
}

Test(wait, one_completion_fewer_does_not_gather)
{
    struct wait_state state = busy;
    state.completions_expected--;
    cr_assert_eq(wait_plan(&state).batch, 0);
}

Test(wait, nobody_gathers_while_a_sync_or_background_work_goes_on)
{
    struct wait_state state = busy;
    state.sync_in_flight = true;
    cr_assert_eq(wait_plan(&state).batch, 0);
    state = busy;
    state.low_ready = true;
    cr_assert_eq(wait_plan(&state).batch, 0);
}

Test(wait, the_cpu_is_offered_only_by_a_busy_shard_with_a_sync_in_flight)
{
    struct wait_state state = busy;
    cr_assert_not(wait_yields_cpu(&state));
    state.sync_in_flight = true;
    cr_assert(wait_yields_cpu(&state));

    state = (struct wait_state){.timer_ns = -1, .sync_in_flight = true};
    cr_assert_not(wait_yields_cpu(&state)); /* it sleeps anyway */
    state.work_ready = true;
    cr_assert(wait_yields_cpu(&state));
    state = (struct wait_state){.timer_ns = -1, .sync_in_flight = true, .low_ready = true};
    cr_assert(wait_yields_cpu(&state));
}

/* The same in every pass. */
static struct wait_rate steady(uint32_t completions, int64_t elapsed_ns)
{
    struct wait_rate rate = {0};
    for (int i = 0; i < 20 * WAIT_RATE_PASSES; i++) {
        wait_rate_add(&rate, completions, elapsed_ns);
    }
    return rate;
}

Test(wait, expects_what_comes_in_the_time_of_a_batch)
{
    const int64_t window_ns = WAIT_BATCH_US * INT64_C(1000);
    for (uint32_t completions = 1; completions < 100; completions++) {
        struct wait_rate rate = steady(completions, window_ns);
        cr_assert_leq(wait_rate_expected(&rate), completions);
        cr_assert_geq(wait_rate_expected(&rate) + 1, completions);
    }
}

Test(wait, single_completions_at_each_others_heels_are_many)
{
    struct wait_rate rate = steady(1, WAIT_BATCH_US * 1000 / 10);
    cr_assert_geq(wait_rate_expected(&rate), 9);
}

Test(wait, many_completions_far_apart_are_few)
{
    struct wait_rate rate = steady(10, WAIT_RATE_PASS_NS_MAX);
    cr_assert_eq(wait_rate_expected(&rate), 0);
}

Test(wait, a_long_rest_is_no_longer_than_the_limit)
{
    struct wait_rate one = steady(1, WAIT_RATE_PASS_NS_MAX);
    struct wait_rate other = steady(1, WAIT_RATE_PASS_NS_MAX + 1);
    cr_assert_eq(one.ns, other.ns);
}

Test(wait, the_rate_forgets)
{
    struct wait_rate rate = {0};
    for (int i = 0; i < 1000; i++) {
        wait_rate_add(&rate, UINT32_MAX, 1000);
    }
    cr_assert_gt(wait_rate_expected(&rate), 1000);
    for (int i = 0; i < 30 * WAIT_RATE_PASSES; i++) {
        wait_rate_add(&rate, 0, 1000);
    }
    cr_assert_eq(wait_rate_expected(&rate), 0);
}

/* ---- spinning ---- */

static const int64_t spin_ns = WAIT_SPIN_US * 1000;

/* A message at `now`, then nothing: spins to the end. Returns whether it spun at all. */
static bool spin_in_vain(struct wait_spin *spin, int64_t now_ns)
{
    wait_spin_mail(spin, now_ns);
    bool spun = wait_spin_goes_on(spin, now_ns + 1);
    cr_assert_not(wait_spin_goes_on(spin, now_ns + spin_ns));
    cr_assert_not(wait_spin_goes_on(spin, now_ns + spin_ns + 1));
    return spun;
}

Test(wait, without_a_message_there_is_no_spin)
{
    struct wait_spin spin = {0};
    cr_assert_not(wait_spin_goes_on(&spin, 1));
}

Test(wait, a_spin_lasts_its_time_after_the_last_message)
{
    struct wait_spin spin = {0};
    wait_spin_mail(&spin, 1000);
    cr_assert(wait_spin_goes_on(&spin, 1000 + spin_ns - 1));
    wait_spin_mail(&spin, 5000);
    cr_assert(wait_spin_goes_on(&spin, 5000 + spin_ns - 1));
    cr_assert_not(wait_spin_goes_on(&spin, 5000 + spin_ns));
}

Test(wait, a_spin_ends_also_where_the_clock_stands_still)
{
    struct wait_spin spin = {0};
    uint32_t passes = 0;
    wait_spin_mail(&spin, 1000);
    while (wait_spin_goes_on(&spin, 1000)) {
        passes++;
    }
    cr_assert_eq(passes, WAIT_SPIN_PASSES_MAX - 1);
}

Test(wait, spins_in_vain_become_rare)
{
    struct wait_spin spin = {0};
    uint32_t skipped_before = 0;
    for (int i = 0; i < 15; i++) {
        cr_assert(spin_in_vain(&spin, 1000));
        uint32_t skipped = 0;
        while (spin.skip > 0) {
            cr_assert_not(spin_in_vain(&spin, 1000));
            skipped++;
        }
        cr_assert_gt(skipped, 0);
        cr_assert(skipped == WAIT_SPIN_SKIP_MAX || skipped > skipped_before);
        cr_assert_leq(skipped, WAIT_SPIN_SKIP_MAX);
        skipped_before = skipped;
    }
    cr_assert_eq(skipped_before, WAIT_SPIN_SKIP_MAX);
}

Test(wait, a_spin_that_brings_something_is_followed_by_others)
{
    struct wait_spin spin = {0};
    for (int i = 0; i < 5; i++) {
        spin_in_vain(&spin, 1000);
        spin.skip = 0;
    }
    wait_spin_mail(&spin, 1000);
    cr_assert(wait_spin_goes_on(&spin, 1001));
    wait_spin_mail(&spin, 1002); /* in time */
    cr_assert(wait_spin_goes_on(&spin, 1003));
    cr_assert_not(wait_spin_goes_on(&spin, 1002 + spin_ns));
    cr_assert_eq(spin.skip, 1);
}
