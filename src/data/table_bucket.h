/*
 * table_bucket: seven records and what is to be known of them without touching them.
 *
 * A bucket is a cache line: 7 slots of 16 bits of tag (the low bits of the hash) and 48 bits of
 * pointer, and a word of bits for them.
 *
 *     slot   63..48  tag
 *            47..0   address of the record; the whole slot is 0 if it is free
 *     meta   63      unused
 *            62      expiring
 *            61..55  visited, a bit for each slot
 *            54..48  dirty, a bit for each slot
 *            47..0   address of the overflow bucket, or 0
 *
 *   - dirty: changed since the last checkpoint, and so not to be dropped. Kept here so that a sweep
 *     passes by dirty records, and a checkpoint clean ones, without touching them.
 *   - visited: found since the eviction's hand came by.
 *   - expiring: may hold records that expire. Set with them, cleared by who looked and found none.
 *
 * Threads: one. Suspension: none.
 */
#ifndef DATA_TABLE_BUCKET_H
#define DATA_TABLE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct record;

enum {
    TABLE_BUCKET_SLOTS = 7,
    TABLE_SLOTS_MASK = (1 << TABLE_BUCKET_SLOTS) - 1,
    TABLE_TAG_SHIFT = 48,
    TABLE_DIRTY_SHIFT = 48,
    TABLE_VISITED_SHIFT = 55,
};

#define TABLE_ADDRESS_MASK ((UINT64_C(1) << 48) - 1)
#define TABLE_EXPIRING (UINT64_C(1) << 62)

struct table_bucket {
    uint64_t slots[TABLE_BUCKET_SLOTS];
    uint64_t meta;
};
static_assert(sizeof(struct table_bucket) == 64, "a bucket is a cache line");

struct table_place {
    struct table_bucket *bucket;
    uint32_t slot;
};

static inline uint32_t table_hash_top(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline struct record *table_slot_record(uint64_t slot)
{
    return (struct record *)(uintptr_t)(slot & TABLE_ADDRESS_MASK);
}

static inline struct table_bucket *table_bucket_next(const struct table_bucket *bucket)
{
    return (struct table_bucket *)(uintptr_t)(bucket->meta & TABLE_ADDRESS_MASK);
}

static inline uint32_t table_bucket_dirty(const struct table_bucket *bucket)
{
    return (uint32_t)(bucket->meta >> TABLE_DIRTY_SHIFT) & TABLE_SLOTS_MASK;
}

static inline uint32_t table_bucket_visited(const struct table_bucket *bucket)
{
    return (uint32_t)(bucket->meta >> TABLE_VISITED_SHIFT) & TABLE_SLOTS_MASK;
}

/* A bit for each slot whose tag is the hash's. Without a branch for each slot: which one matches
 * can't be foretold, and a wrong guess would wait for the bucket's line before anything after it
 * could begin. A free slot looks like a tag of 0. */
static inline uint32_t table_bucket_match(const struct table_bucket *bucket, uint64_t hash)
{
    uint64_t tag = hash & 0xffff;
    uint32_t match = 0;
    for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
        match |= (uint32_t)(bucket->slots[i] >> TABLE_TAG_SHIFT == tag) << i;
    }
    return match;
}

static inline bool table_is_dirty(struct table_place place)
{
    return (table_bucket_dirty(place.bucket) >> place.slot & 1) != 0;
}

/* Written only if it changes something: most finds find it set, and the line stays clean. */
static inline void table_set_visited(struct table_place place)
{
    uint64_t bit = UINT64_C(1) << (TABLE_VISITED_SHIFT + place.slot);
    if ((place.bucket->meta & bit) == 0) {
        place.bucket->meta |= bit;
    }
}

static inline void table_clear_visited(struct table_place place)
{
    place.bucket->meta &= ~(UINT64_C(1) << (TABLE_VISITED_SHIFT + place.slot));
}

static inline void table_set_expiring(struct table_place place)
{
    place.bucket->meta |= TABLE_EXPIRING;
}

#endif
