/*
 * table: the records of one partition by the hash of their keys.
 *
 * Model. Extendible hashing. A directory, indexed by the top `depth` bits of a key's hash, leads to
 * segments of 4 KiB. A segment with local depth d holds all records whose hashes share their top d
 * bits, in 64 buckets by the next 6 bits, so buckets in order of directory and position are in
 * order of hash. A full segment splits alone, which is little work however large the table is, and
 * neither directory nor segments depend on anything but the hashes: a position in the order of
 * hashes stays right whatever grows meanwhile.
 *
 * A find touches the directory, one line of a segment (a bucket: table_bucket.h) and the record. A
 * bucket that is full goes on in an overflow bucket.
 *
 * The table borrows the records, and never looks into them but for hash, space and key.
 *
 * Threads: one. Suspension: none. A place is good until the next insert or remove.
 */
#ifndef DATA_TABLE_H
#define DATA_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/record_impl.h"
#include "data/table_bucket.h"

enum {
    TABLE_SEGMENT_BUCKETS = 64,
    TABLE_SEGMENT_BITS = 6,
    TABLE_SEGMENT_BYTES = 4096,
    TABLE_DEPTH_MAX = 26, /* 6 more bits choose the bucket */
};

static_assert(sizeof(struct table_bucket) * TABLE_SEGMENT_BUCKETS == TABLE_SEGMENT_BYTES,
              "a segment is 4 KiB");

struct table {
    uint64_t *directory; /* address of a segment | its local depth; NULL while the table never held
                            anything */
    uint32_t depth;      /* the directory has 1 << depth entries */
    uint32_t segments;
    uint64_t records;
    uint64_t dirty; /* of these */
    struct table_bucket *overflow_free;
    void *overflow_pages; /* owned, linked through their first word */
    uint32_t overflow_page_count;
    uint64_t overflow_free_count;
    uint64_t reserved; /* inserts that mustn't fail: so many free overflow buckets are theirs */
};

/* An empty table allocates nothing. */
void table_init(struct table *table);
/* Frees the table's memory, not the records. */
void table_deinit(struct table *table);
/* Bytes of directory, segments and overflow. */
uint64_t table_memory(const struct table *table);

/* The first bucket for a hash (its top 32 bits); NULL while there is none. */
static inline struct table_bucket *table_bucket(const struct table *table, uint32_t hash)
{
    if (UNLIKELY(table->directory == NULL)) {
        return NULL;
    }
    /* Shifted as 64 bits: a shift of a 32-bit number by 32 (depth 0) would not be one. */
    uint64_t entry = table->directory[(uint64_t)hash >> (32 - table->depth)];
    uint32_t local_depth = entry & (TABLE_SEGMENT_BYTES - 1);
    struct table_bucket *segment =
        (struct table_bucket *)(uintptr_t)(entry & ~(uint64_t)(TABLE_SEGMENT_BYTES - 1));
    return segment + ((uint32_t)(hash << local_depth) >> (32 - TABLE_SEGMENT_BITS));
}

/* The last hash that the bucket of `hash` is for. */
uint32_t table_bucket_last(const struct table *table, uint32_t hash);

/* The record of a key, or NULL. Its place goes to *ret_place if it is found. */
static inline struct record *table_find(const struct table *table, uint64_t hash, uint32_t space,
                                        struct slice key, struct table_place *ret_place)
{
    uint32_t top = table_hash_top(hash);
    for (struct table_bucket *bucket = table_bucket(table, top); bucket != NULL;
         bucket = table_bucket_next(bucket)) {
        for (uint32_t match = table_bucket_match(bucket, hash); match != 0; match &= match - 1) {
            uint32_t slot = (uint32_t)__builtin_ctz(match);
            struct record *record = table_slot_record(bucket->slots[slot]);
            if (LIKELY(record != NULL && record_is_key(record, top, space, key))) {
                *ret_place = (struct table_place){bucket, slot};
                return record;
            }
        }
    }
    return NULL;
}

/* The place of a record that is in the table. */
struct table_place table_place_of(const struct table *table, const struct record *record);

/* Adds a record whose key is not in the table, with the key's whole hash. ERR_MEMORY: nothing
 * changed. */
NODISCARD int table_insert(struct table *table, uint64_t hash, struct record *record,
                           struct table_place *ret_place);
/* Takes what one insert may need, so that it can't fail right after table_unreserve, whatever else
 * was inserted in between. ERR_MEMORY: nothing changed. */
NODISCARD int table_reserve(struct table *table);
void table_unreserve(struct table *table);
/* Puts another record of the same key into the place; its bits stay. */
void table_replace(struct table_place place, struct record *record);
void table_remove(struct table *table, struct table_place place);

static inline void table_set_dirty(struct table *table, struct table_place place)
{
    ASSERT(!table_is_dirty(place));
    place.bucket->meta |= UINT64_C(1) << (TABLE_DIRTY_SHIFT + place.slot);
    table->dirty++;
}

static inline void table_clear_dirty(struct table *table, struct table_place place)
{
    ASSERT(table_is_dirty(place));
    place.bucket->meta &= ~(UINT64_C(1) << (TABLE_DIRTY_SHIFT + place.slot));
    table->dirty--;
}

/* ---- fetching into the CPU's cache ---- */

/* gcc takes a function that does nothing but prefetch for one without effect, and drops the calls
 * of it. The empty asm is an effect. */
static inline void table_prefetch(const void *address)
{
    __builtin_prefetch(address);
    __asm__ volatile("" : : "r"(address));
}

static inline void table_prefetch_bucket(const struct table *table, uint64_t hash)
{
    table_prefetch(table_bucket(table, table_hash_top(hash)));
}

/* Of the first record with the key's tag in the first bucket. */
static inline void table_prefetch_record(const struct table *table, uint64_t hash)
{
    const struct table_bucket *bucket = table_bucket(table, table_hash_top(hash));
    if (bucket == NULL) {
        return;
    }
    uint32_t match = table_bucket_match(bucket, hash);
    if (match != 0) {
        const char *record = (const char *)table_slot_record(bucket->slots[__builtin_ctz(match)]);
        table_prefetch(record);
        table_prefetch(record + 64);
        table_prefetch(record + 128);
    }
}

#endif
