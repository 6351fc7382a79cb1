/*
 * Objects of one size, at most count_max of them, handed out and taken back in O(1). Memory grows
 * by chunks and is kept until the pool ends. What pool_get returns is not zeroed. Under ASan a
 * returned object is poisoned, so that a use after pool_put is found. One thread.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pool_chunk;

struct pool {
    void *free_first;          /* free objects, linked through their first word */
    struct pool_chunk *chunks; /* owned */
    size_t object_bytes;       /* rounded up to the alignment */
    uint32_t count_max;        /* the limit */
    uint32_t count_used;       /* handed out now */
    uint32_t count_made;       /* in chunks, free or used */
    uint32_t count_chunk;      /* objects in the next chunk at most */
};

/* Allocates nothing yet. Objects are aligned to 16 bytes. object_bytes > 0, count_max > 0. */
void pool_init(struct pool *pool, size_t object_bytes, uint32_t count_max);

/* Frees all memory; every object must have been put back. */
void pool_deinit(struct pool *pool);

/* An object, or NULL at count_max or when memory is out. The caller owns it until pool_put. */
NODISCARD void *pool_get(struct pool *pool);

/* Takes back an object that came from this pool. */
void pool_put(struct pool *pool, void *object);

#endif
