/*
 * A slice: bytes that somebody else owns, and how many. A plain value, passed by value. It may hold
 * any byte and is not ended by NUL; an empty slice may have a NULL pointer.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

struct slice {
    const uint8_t *data; /* borrowed */
    size_t bytes;
};

static inline struct slice slice_of(const void *data, size_t bytes)
{
    return (struct slice){.data = (const uint8_t *)data, .bytes = bytes};
}

/* The bytes of a NUL-ended string, without the NUL. */
static inline struct slice slice_cstr(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* Order of bytes, unsigned; a prefix comes before what it is a prefix of. <0, 0, >0 as memcmp. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static inline bool slice_starts_with(struct slice a, struct slice prefix)
{
    return a.bytes >= prefix.bytes &&
           (prefix.bytes == 0 || memcmp(a.data, prefix.data, prefix.bytes) == 0);
}

/* What is left without the first `bytes` bytes, which must be there. */
static inline struct slice slice_skip(struct slice a, size_t bytes)
{
    ASSERT(bytes <= a.bytes);
    return bytes == 0 ? a : slice_of(a.data + bytes, a.bytes - bytes);
}

/* Equal but for the case of ASCII letters. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_equal_nocase_cstr(struct slice a, const char *text);

/*
 * A NUL-ended copy on the heap, which the caller owns (mem_free); NULL when memory is out. A NUL
 * within the slice is copied too and will look like the end.
 */
char *slice_dup_cstr(struct slice a);

#endif
