/*
 * A histogram of latencies with a fixed size and a bounded error: values below 32 are exact, above
 * that each power of two is cut into 32 parts, so a percentile is at most 1/32 (3.2 %) too high.
 * Values above HISTOGRAM_VALUE_MAX count as that. One thread records; a reader in another takes a
 * merged copy by message.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PART_BITS 5
#define HISTOGRAM_VALUE_BITS 40 /* 2^40 ns: 18 minutes */
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PART_BITS + 1) << HISTOGRAM_PART_BITS)

struct histogram {
    uint64_t count; /* all values recorded */
    uint64_t sum;
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Empties it; also the way to set one up. */
void histogram_reset(struct histogram *histogram);

void histogram_record(struct histogram *histogram, uint64_t value_ns);

/* Adds all of `from` to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/*
 * A value that at least `percent` % (0 to 100) of the recorded ones do not exceed: the upper end of
 * the bucket, but never above the largest recorded value. 0 when empty.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
