#include "base/histogram.h"

#include <criterion/criterion.h>

static struct histogram histogram;
static struct histogram other;

static void start(void)
{
    histogram_reset(&histogram);
    histogram_reset(&other);
}

TestSuite(histogram, .init = start);

Test(histogram, is_empty_at_first)
{
    cr_assert_eq(histogram.count, 0);
    cr_assert_eq(histogram_percentile(&histogram, 99), 0);
}

Test(histogram, is_exact_for_small_values)
{
    for (uint64_t value = 1; value <= 10; value++) {
        histogram_record(&histogram, value);
    }
    cr_assert_eq(histogram_percentile(&histogram, 0), 1);
    cr_assert_eq(histogram_percentile(&histogram, 10), 1);
    cr_assert_eq(histogram_percentile(&histogram, 11), 2);
    cr_assert_eq(histogram_percentile(&histogram, 50), 5);
    cr_assert_eq(histogram_percentile(&histogram, 100), 10);
    cr_assert_eq(histogram.sum, 55);
    cr_assert_eq(histogram.min, 1);
    cr_assert_eq(histogram.max, 10);
}

Test(histogram, error_is_bounded_at_every_magnitude)
{
    for (uint32_t bit = 0; bit < HISTOGRAM_VALUE_BITS; bit++) {
        for (int near = -1; near <= 1; near++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)near;
            histogram_reset(&histogram);
            histogram_record(&histogram, value);
            /* A larger value keeps the maximum from hiding the bucket's upper end. */
            histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
            uint64_t got = histogram_percentile(&histogram, 50);
            cr_assert_geq(got, value);
            cr_assert_leq(got, value + value / 32);
        }
    }
}

Test(histogram, percentile_is_never_above_the_largest_value)
{
    histogram_record(&histogram, 1000001);
    cr_assert_eq(histogram_percentile(&histogram, 50), 1000001);
}

Test(histogram, takes_values_above_its_limit_as_the_limit)
{
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX + 1);
    histogram_record(&histogram, UINT64_MAX);
    cr_assert_eq(histogram.buckets[HISTOGRAM_BUCKETS - 1], 3);
    cr_assert_eq(histogram_percentile(&histogram, 100), HISTOGRAM_VALUE_MAX);
}

Test(histogram, merges_as_if_recorded_in_one)
{
    struct histogram both;
    histogram_reset(&both);
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_record(i % 3 == 0 ? &histogram : &other, i * i);
        histogram_record(&both, i * i);
    }
    histogram_merge(&histogram, &other);
    cr_assert_eq(histogram.count, 1000);
    cr_assert_arr_eq(&histogram, &both, sizeof(both));
    histogram_reset(&other);
    histogram_merge(&histogram, &other);
    cr_assert_arr_eq(&histogram, &both, sizeof(both));
}
