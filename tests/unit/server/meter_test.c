#include "server/meter.h"

#include <criterion/criterion.h>

Test(meter, a_new_one_shows_nothing)
{
    struct meter meter = {0};
    cr_expect_eq(meter_per_s(&meter), 0);
    meter_add(&meter, 1000000, 5);
    cr_expect_eq(meter_per_s(&meter), 0);
}

Test(meter, shows_the_mean_of_the_last_samples)
{
    struct meter meter = {0};
    uint64_t total = 0;
    int64_t now_ns = 1;
    for (int i = 0; i < METER_SAMPLES * 3; i++) {
        total += i < METER_SAMPLES ? 7 : 100;
        now_ns += METER_PERIOD_NS;
        meter_add(&meter, total, now_ns);
    }
    cr_expect_eq(meter_per_s(&meter), 1000);
}

Test(meter, a_total_that_was_reset_counts_as_no_growth)
{
    struct meter meter = {0};
    meter_add(&meter, 1000, 1);
    meter_add(&meter, 10, 1 + METER_PERIOD_NS);
    cr_expect_eq(meter_per_s(&meter), 0);
    meter_add(&meter, 26, 1 + 2 * METER_PERIOD_NS);
    cr_expect_eq(meter_per_s(&meter), 160 / METER_SAMPLES);
}

Test(meter, time_that_stands_still_is_passed_over)
{
    struct meter meter = {0};
    meter_add(&meter, 1000, 7);
    meter_add(&meter, 2000, 7);
    cr_expect_eq(meter_per_s(&meter), 0);
}
