/*
 * memory: how maxmemory is divided. Pure functions.
 *
 * One number bounds the process. What can't be chosen (receive buffers, stacks, tables, the
 * allocator's own) is taken off first; the rest is divided between records and the page cache for
 * each shard, and part of the records may be dirty. The governor corrects the division by what the
 * kernel says the process really holds: fragmentation and mappings are not known in advance.
 */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include <stdint.h>

struct memory_plan {
    uint64_t record_bytes;       /* of one shard */
    uint64_t dirty_bytes_max;    /* of these, writers wait at it */
    uint64_t dirty_bytes_target; /* checkpoints run above it */
    uint64_t cache_bytes;        /* page cache of one shard */
};

enum { MEMORY_SCALE_ONE = 1024, MEMORY_SCALE_MIN = 128 };

/* scale: the governor's factor in 1/1024. */
struct memory_plan memory_plan(uint64_t memory_bytes, uint32_t shards, uint32_t dirty_percent,
                               uint32_t scale);

/* The next factor, given what the process holds now. */
uint32_t memory_govern(uint64_t memory_bytes, uint64_t resident_bytes, uint32_t scale);

#endif
