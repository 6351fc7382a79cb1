/*
 * Integers in memory in a fixed byte order, at any alignment, and small arithmetic on sizes. All
 * inline.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTES_LE(bits, value) (value)
#define BYTES_BE(bits, value) __builtin_bswap##bits(value)
#else
#define BYTES_LE(bits, value) __builtin_bswap##bits(value)
#define BYTES_BE(bits, value) (value)
#endif

#define BYTES_DEFINE(bits, order, ORDER)                                   \
    static inline uint##bits##_t load_##order##bits(const void *from)      \
    {                                                                      \
        uint##bits##_t value;                                              \
        memcpy(&value, from, sizeof(value));                               \
        return BYTES_##ORDER(bits, value);                                 \
    }                                                                      \
    static inline void store_##order##bits(void *to, uint##bits##_t value) \
    {                                                                      \
        value = BYTES_##ORDER(bits, value);                                \
        memcpy(to, &value, sizeof(value));                                 \
    }

/* load_le16 store_le16 ... load_be64 store_be64 */
BYTES_DEFINE(16, le, LE)
BYTES_DEFINE(32, le, LE)
BYTES_DEFINE(64, le, LE)
BYTES_DEFINE(16, be, BE)
BYTES_DEFINE(32, be, BE)
BYTES_DEFINE(64, be, BE)

static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The largest multiple of `align` (a power of two) that is not above `value`. */
static inline uint64_t align_down(uint64_t value, uint64_t align)
{
    ASSERT(is_power_of_two(align));
    return value & ~(align - 1);
}

/* The smallest multiple of `align` (a power of two) that is not below `value`; it must fit. */
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    ASSERT(is_power_of_two(align));
    ASSERT(value <= UINT64_MAX - (align - 1));
    return (value + align - 1) & ~(align - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t align)
{
    return align_down(value, align) == value;
}

/* value / divisor, rounded up. */
static inline uint64_t div_ceil(uint64_t value, uint64_t divisor)
{
    ASSERT(divisor > 0);
    return value / divisor + (value % divisor != 0);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
