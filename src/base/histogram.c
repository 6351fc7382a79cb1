#include "base/histogram.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define HISTOGRAM_PARTS (1U << HISTOGRAM_PART_BITS)

/*
 * Buckets 0 to 31 hold the values 0 to 31. After them each power of two has 32 buckets; in the
 * group g = index / 32 (from 1) a bucket holds 2^(g-1) values.
 */
static uint32_t histogram_index(uint64_t value)
{
    if (value < HISTOGRAM_PARTS) {
        return (uint32_t)value;
    }
    uint32_t shift = 63U - (uint32_t)__builtin_clzll(value) - HISTOGRAM_PART_BITS;
    return ((shift + 1) << HISTOGRAM_PART_BITS) +
           ((uint32_t)(value >> shift) & (HISTOGRAM_PARTS - 1));
}

/* The largest value of a bucket. */
static uint64_t histogram_upper(uint32_t index)
{
    if (index < HISTOGRAM_PARTS) {
        return index;
    }
    uint32_t shift = (index >> HISTOGRAM_PART_BITS) - 1;
    uint64_t part = HISTOGRAM_PARTS + (index & (HISTOGRAM_PARTS - 1));
    return ((part + 1) << shift) - 1;
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    uint64_t value = min_u64(value_ns, HISTOGRAM_VALUE_MAX);
    uint32_t index = histogram_index(value);
    ASSERT(index < HISTOGRAM_BUCKETS);
    histogram->buckets[index]++;
    histogram->count++;
    histogram->sum += value;
    histogram->min = min_u64(histogram->min, value);
    histogram->max = max_u64(histogram->max, value);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->buckets[i] += from->buckets[i];
    }
    to->count += from->count;
    to->sum += from->sum;
    to->min = min_u64(to->min, from->min);
    to->max = max_u64(to->max, from->max);
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    ASSERT(percent >= 0 && percent <= 100);
    if (histogram->count == 0) {
        return 0;
    }
    double wanted = percent / 100 * (double)histogram->count;
    uint64_t rank = (uint64_t)wanted;
    rank += (double)rank < wanted;
    rank = min_u64(max_u64(rank, 1), histogram->count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            return min_u64(histogram_upper(i), histogram->max);
        }
    }
    UNREACHABLE("the buckets hold as many values as were counted");
}
