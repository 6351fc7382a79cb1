/*
 * Timers of a shard without a thread: the test says what time it is.
 */
#include "shard/shard.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "shard/shard_impl.h"

static struct shard shard;
static char trace[64];

static int64_t fake_mono_ns(void *arg)
{
    (void)arg;
    return shard.mono_ns;
}

static int64_t fake_real_us(void *arg)
{
    (void)arg;
    return 0;
}

static const struct clock_source fake_clock = {.mono_ns = fake_mono_ns, .real_us = fake_real_us};

struct lettered {
    struct shard_timer timer;
    char letter;
    int again; /* arms itself anew so many times */
    struct lettered *disarms;
};

static void fire(struct shard *where, struct shard_timer *timer)
{
    struct lettered *lettered = container_of(timer, struct lettered, timer);
    cr_assert_eq(where, &shard);
    cr_assert_not(timer->armed);
    trace[strlen(trace)] = lettered->letter;
    if (lettered->again > 0) {
        lettered->again--;
        shard_timer_arm(where, timer, 0, fire);
    }
    if (lettered->disarms != NULL) {
        shard_timer_disarm(where, &lettered->disarms->timer);
    }
}

static struct lettered a = {.letter = 'a'};
static struct lettered b = {.letter = 'b'};
static struct lettered c = {.letter = 'c'};

static void arm(struct lettered *lettered, int64_t delay_ns)
{
    shard_timer_arm(&shard, &lettered->timer, delay_ns, fire);
}

static void at(int64_t mono_ns)
{
    shard.mono_ns = mono_ns;
    timers_fire(&shard);
}

static void set_up(void)
{
    heap_init(&shard.timers, SHARD_TIMERS_MAX);
    shard.mono_ns = 1000;
    clock_set_source(&fake_clock);
}

static void tear_down(void)
{
    heap_deinit(&shard.timers);
}

TestSuite(timer, .init = set_up, .fini = tear_down);

Test(timer, fires_at_its_time_and_once)
{
    arm(&a, 100);
    cr_assert(a.timer.armed);
    at(1099);
    cr_assert_str_eq(trace, "");
    at(1100);
    cr_assert_str_eq(trace, "a");
    cr_assert_not(a.timer.armed);
    at(5000);
    cr_assert_str_eq(trace, "a");
}

Test(timer, fire_in_order_of_time_not_of_arming)
{
    arm(&a, 300);
    arm(&b, 100);
    arm(&c, 200);
    at(2000);
    cr_assert_str_eq(trace, "bca");
}

Test(timer, arming_again_moves_it)
{
    arm(&a, 100);
    arm(&b, 200);
    arm(&a, 300);
    at(1250);
    cr_assert_str_eq(trace, "b");
    at(1300);
    cr_assert_str_eq(trace, "ba");
}

Test(timer, a_disarmed_one_does_not_fire)
{
    arm(&a, 100);
    arm(&b, 100);
    shard_timer_disarm(&shard, &a.timer);
    shard_timer_disarm(&shard, &a.timer);
    at(2000);
    cr_assert_str_eq(trace, "b");
}

Test(timer, one_that_fires_can_disarm_another_that_is_due)
{
    a.disarms = &b;
    arm(&a, 100);
    arm(&b, 200);
    at(2000);
    cr_assert_str_eq(trace, "a");
}

Test(timer, one_that_arms_itself_at_once_comes_in_the_next_pass)
{
    a.again = 2;
    arm(&a, 0);
    at(1001);
    cr_assert_str_eq(trace, "a");
    at(1002);
    cr_assert_str_eq(trace, "aa");
    at(1003);
    cr_assert_str_eq(trace, "aaa");
    cr_assert_not(a.timer.armed);
}

Test(timer, a_negative_delay_is_as_soon_as_possible)
{
    arm(&a, -500);
    at(1001);
    cr_assert_str_eq(trace, "a");
}

Test(timer, a_delay_beyond_the_end_of_time_does_not_wrap)
{
    arm(&a, INT64_MAX);
    at(INT64_MAX - 1);
    cr_assert_str_eq(trace, "");
    shard_timer_disarm(&shard, &a.timer);
}

Test(timer, next_is_the_time_to_the_nearest)
{
    cr_assert_eq(timers_next_ns(&shard), -1);
    arm(&a, 300);
    arm(&b, 100);
    cr_assert_eq(timers_next_ns(&shard), 100);
    shard.mono_ns += 5000;
    cr_assert_eq(timers_next_ns(&shard), 0);
}

Test(timer, thousands_fire_in_order)
{
    static struct lettered many[5000];
    for (uint32_t i = 0; i < 5000; i++) {
        shard_timer_arm(&shard, &many[i].timer, 1 + (i * 2654435761u) % 100000, fire);
    }
    uint32_t armed_before = 5000;
    for (int64_t now = 1000; now <= 102000; now += 500) {
        shard.mono_ns = now;
        memset(trace, 0, sizeof(trace));
        while (heap_min(&shard.timers) != NULL && heap_min(&shard.timers)->key <= (uint64_t)now) {
            timers_fire(&shard);
        }
        uint32_t armed = 0;
        for (uint32_t i = 0; i < 5000; i++) {
            armed += many[i].timer.armed;
            cr_assert(!many[i].timer.armed || many[i].timer.heap.key > (uint64_t)now);
        }
        cr_assert_leq(armed, armed_before);
        armed_before = armed;
    }
    cr_assert_eq(armed_before, 0);
}
