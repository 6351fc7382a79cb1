/*
 * leaf: a page of records, in key order. Format, reading, building; keys.h has the directory and
 * search.
 *
 * The item of a record, behind its key:
 *
 *     u8   info     bit 0 extent, bit 1 expiry, bit 2 tag; the others are zero
 *     [u8 type, u8 meta]     if tag: one of them is not 0. A record with both 0 saves two bytes
 *     [i64 expire, ms]       if expiry: not 0
 *     value bytes to the item's end; or, if extent, 24 bytes:
 *         u64 position of its first page (struct file_pos), u64 bytes, u64 checksum of these bytes,
 *         seeded by page_seed of the position
 *
 * An extent is a run of pages that holds the value's bytes from its first byte on and nothing else,
 * padded to the page. An empty value is always inline. Any two records that obey store.h's limits
 * fit in one leaf.
 *
 * Why heads and not fingerprints (a byte of each key's hash, for equality only). Measured by
 * tools/bench_leaf: 10 M keys of 16 bytes, values of 100, 34 records a leaf, gcc 12, 2 shared CPUs,
 * ns per lookup with the value copied out, minimum of 7 passes:
 *
 *                                           heads    fingerprints, hash computed
 *     get, cold leaf, waiting for the last   587      589
 *     get, cold leaf, 16 prefetched          143      100
 *     get, leaf in the cache, waiting         27       20
 *     absent key, cold, waiting              145       83
 *     lower bound, cold, waiting             265      412
 *     lower bound, cold, 16 prefetched       110      216
 *
 * A get from a leaf comes after a miss in the record table and mostly after a read, whose checksum
 * left the page in the CPU's cache: 7 ns decide nothing there. Merges, cursors and floors need the
 * lower bound, which is about twice as fast; and heads cost no space, since the rest leaves these
 * bytes out, while a fingerprint costs one.
 *
 * Pure functions over checked pages, any thread. Slices point into the page.
 */
#ifndef STORE_LEAF_H
#define STORE_LEAF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/keys.h"
#include "store/page.h"

/* A large value's place. */
struct extent {
    struct file_pos pos; /* its first page */
    uint64_t bytes;      /* of the value; div_ceil(bytes, STORE_PAGE_BYTES) pages */
    uint64_t checksum;   /* checksum64 of them, seeded with page_seed of pos */
};

/* A record without its key. */
struct leaf_entry {
    struct slice value;   /* inline bytes; empty for an extent */
    struct extent extent; /* only if is_extent */
    int64_t expire_ms;    /* 0: never */
    bool is_extent;
    uint8_t type;
    uint8_t meta;
};

enum {
    LEAF_EXTENT_BYTES = 24,
    /* The smallest record: head, slot, info. */
    LEAF_ENTRIES_MAX = PAGE_CONTENT_BYTES_MAX / (KEYS_HEAD_BYTES + KEYS_SLOT_BYTES + 1),
};

static inline uint64_t leaf_value_bytes(const struct leaf_entry *entry)
{
    return entry->is_extent ? entry->extent.bytes : entry->value.bytes;
}

static inline uint32_t leaf_count(const uint8_t *page)
{
    return page_keys(page);
}

/* Exact or lower bound: the first record whose key is not below `key`, leaf_count if there is none.
 * Returns whether it is the key's own. */
static inline bool leaf_find(const uint8_t *page, struct slice key, uint32_t *ret_index)
{
    bool found;
    *ret_index = keys_find(page, key, &found);
    return found;
}

/* Record `index` < leaf_count. */
void leaf_get(const uint8_t *page, uint32_t index, struct leaf_entry *ret_entry);

/* Copies the key of record `index` to `buffer` (STORE_KEY_BYTES_MAX bytes of room); returns its
 * length. */
uint32_t leaf_key_copy(const uint8_t *page, uint32_t index, uint8_t *buffer);

/* After page_check: everything inside the page, order, lengths. 0 or ERR_CORRUPT. */
NODISCARD int leaf_check(const uint8_t *page, const struct page_source *source);

/* ---- building ---- */

/* Bytes of an entry behind its key. */
uint32_t leaf_entry_bytes(const struct leaf_entry *entry);

/* keys_begin for a leaf, then leaf_add for each record in order, then leaf_end. The page has
 * everything but id and checksum (page_set_id, page_seal). */
NODISCARD int leaf_begin(struct keys_builder *builder, uint8_t *page, uint32_t space,
                         uint32_t count, uint32_t prefix_bytes, const struct page_key *some_key);
/* ERR_FULL if it does not fit. */
NODISCARD int leaf_add(struct keys_builder *builder, const struct page_key *key,
                       const struct leaf_entry *entry);
static inline void leaf_end(struct keys_builder *builder)
{
    keys_end(builder);
}

#endif
