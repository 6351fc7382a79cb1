#include "base/clock.h"

#include <criterion/criterion.h>
#include <time.h>

Test(clock, monotonic_never_goes_back)
{
    int64_t before = clock_mono_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();
        cr_assert_geq(now, before);
        before = now;
    }
}

Test(clock, real_time_is_the_systems)
{
    int64_t before = (int64_t)time(NULL);
    int64_t us = clock_real_us();
    int64_t ms = clock_real_ms();
    int64_t after = (int64_t)time(NULL);
    /* time() may lag by a tick of the kernel's coarse clock. */
    cr_assert_geq(us / 1000000, before);
    cr_assert_leq(us / 1000000, after + 1);
    cr_assert_geq(ms, us / 1000);
}

Test(clock, ticks_are_nanoseconds_before_init)
{
    cr_assert_not(clock_ticks_rule.counter);
    cr_assert_eq(clock_ticks_to_ns(0), 0);
    cr_assert_eq(clock_ticks_to_ns(123456789), 123456789);
    cr_assert_eq(clock_ticks_to_ns(UINT64_MAX), UINT64_MAX);
}

Test(clock, ticks_measure_what_the_monotonic_clock_measures)
{
    clock_init();
    int64_t outer_start = clock_mono_ns();
    uint64_t start = clock_ticks();
    int64_t inner_start = clock_mono_ns();
    int64_t inner_end;
    do {
        inner_end = clock_mono_ns();
    } while (inner_end - inner_start < 5000000);
    uint64_t ticks_ns = clock_ticks_to_ns(clock_ticks() - start);
    int64_t outer_end = clock_mono_ns();
    /* The ticks lie between the inner and the outer measure, but for the error of calibration. */
    cr_assert_geq(ticks_ns, (uint64_t)(inner_end - inner_start) * 99 / 100);
    cr_assert_leq(ticks_ns, (uint64_t)(outer_end - outer_start) * 101 / 100);
}

static int64_t source_mono_ns(void *arg)
{
    return *(int64_t *)arg;
}

static int64_t source_real_us(void *arg)
{
    return *(int64_t *)arg * 2 + 999;
}

Test(clock, takes_all_time_from_a_source_that_is_set)
{
    int64_t now = 5000;
    const struct clock_source source = {
        .mono_ns = source_mono_ns, .real_us = source_real_us, .arg = &now};
    clock_init();
    clock_set_source(&source);
    cr_assert_eq(clock_mono_ns(), 5000);
    cr_assert_eq(clock_real_us(), 10999);
    cr_assert_eq(clock_real_ms(), 10);
    cr_assert_eq(clock_ticks(), 5000);
    now = 6000;
    cr_assert_eq(clock_ticks_to_ns(clock_ticks() - 5000), 1000);
    clock_init();
    cr_assert_eq(clock_ticks(), 6000, "init must not bring the CPU's counter back");

    clock_set_source(NULL);
    cr_assert_gt(clock_real_ms(), INT64_C(1600000000000));
}
