/*
 * record_impl: the bytes of a record, for the bodies of data/ only.
 *
 *     0   hash         top 32 bits of the key's hash, so that a split of the table needs no key
 *     4   space
 *     8   value_bytes
 *     12  access_s     shard's seconds at the last touch
 *     16  key_bytes    11 bits; pins: the other 21
 *     20  type, meta   a byte each
 *     22  flags        enum record_flag
 *     24  expire_ms    8 bytes, only with RECORD_EXPIRES
 *         key          key_bytes
 *         value        value_bytes; RECORD_BLOB: a struct blob *; RECORD_LOADING: a struct fetch *
 *
 * What stands for a key in the table is one of
 *
 *     a record proper   has a value
 *     RECORD_TOMBSTONE  the key was removed; dirty until a checkpoint has removed it from the tree
 *     RECORD_ABSENT     neither in memory nor in the tree; clean; lives as long as it is pinned
 *     RECORD_LOADING    the tree is being asked; clean; pinned by each who waits
 *
 * and is dirty or clean by a bit in its bucket (table.h).
 *
 * What a dirty one knows of the tree, as it is published now:
 *
 *     RECORD_FRESH      the tree hasn't the key
 *     RECORD_OPEN       not known; the count of keys took it for new (count.c)
 *     neither           the tree has the key
 *
 * A running checkpoint holds records by pointer (checkpoint.c):
 *
 *     RECORD_FROZEN              in its batch: not to be changed or freed
 *     RECORD_ORPHAN              frozen, and its place was taken: the checkpoint frees it
 *     RECORD_SUPERSEDES          took the place of a frozen one that is still in a batch
 *     RECORD_SUPERSEDES_REMOVAL  and that was a tombstone
 */
#ifndef DATA_RECORD_IMPL_H
#define DATA_RECORD_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/slice.h"
#include "data/record.h"

enum record_flag {
    RECORD_EXPIRES = 1 << 0,
    RECORD_BLOB = 1 << 1,
    RECORD_TOMBSTONE = 1 << 2,
    RECORD_ABSENT = 1 << 3,
    RECORD_LOADING = 1 << 4,
    RECORD_FROZEN = 1 << 5,
    RECORD_ORPHAN = 1 << 6,
    RECORD_OPEN = 1 << 7,
    RECORD_OPEN_EPOCH = 1 << 8,
    RECORD_FRESH = 1 << 9,
    RECORD_SUPERSEDES = 1 << 10,
    RECORD_SUPERSEDES_REMOVAL = 1 << 11,

    /* No value to be seen. */
    RECORD_NO_VALUE = RECORD_TOMBSTONE | RECORD_ABSENT | RECORD_LOADING,
    /* What is known of the tree: goes over to whatever takes a record's place. */
    RECORD_TREE_STATE = RECORD_OPEN | RECORD_OPEN_EPOCH | RECORD_FRESH,
};

enum { RECORD_PINS_MAX = (1 << 21) - 1, RECORD_HEADER_BYTES = 24 };

struct record {
    uint32_t hash;
    uint32_t space;
    uint32_t value_bytes;
    uint32_t access_s;
    uint32_t key_bytes : 11;
    uint32_t pins : 21;
    uint8_t type;
    uint8_t meta;
    uint16_t flags;
    uint8_t payload[];
};
static_assert(sizeof(struct record) == RECORD_HEADER_BYTES, "a record's header");

struct fetch; /* load.c */

/* What a new record is made of. */
struct record_content {
    uint32_t hash;
    uint32_t space;
    struct slice key;
    struct slice value; /* copied, unless there is a blob */
    struct blob *blob;  /* one reference, taken over on success */
    int64_t expire_ms;
    uint8_t type;
    uint8_t meta;
    uint16_t flags; /* beside RECORD_EXPIRES and RECORD_BLOB, which follow from the above */
};

/* NULL when memory is out. The caller owns it. */
NODISCARD struct record *record_create(const struct record_content *content);
/* A record without value: `flags` is RECORD_TOMBSTONE, RECORD_ABSENT or RECORD_LOADING. */
NODISCARD struct record *record_create_marker(uint32_t hash, uint32_t space, struct slice key,
                                              uint16_t flags);
/* Frees it and drops its blob. */
void record_destroy(struct record *record);

static inline uint32_t record_expire_bytes(const struct record *record)
{
    return (record->flags & RECORD_EXPIRES) != 0 ? 8 : 0;
}

static inline uint8_t *record_key_at(const struct record *record)
{
    return (uint8_t *)record->payload + record_expire_bytes(record);
}

static inline uint8_t *record_value_at(const struct record *record)
{
    return record_key_at(record) + record->key_bytes;
}

static inline struct blob *record_blob_get(const struct record *record)
{
    struct blob *blob;
    memcpy(&blob, record_value_at(record), sizeof(blob));
    return blob;
}

static inline struct fetch *record_fetch(const struct record *record)
{
    struct fetch *fetch;
    memcpy(&fetch, record_value_at(record), sizeof(fetch));
    return fetch;
}

static inline void record_set_fetch(struct record *record, struct fetch *fetch)
{
    memcpy(record_value_at(record), &fetch, sizeof(fetch));
}

static inline void record_store_expire(struct record *record, int64_t expire_ms)
{
    memcpy(record->payload, &expire_ms, sizeof(expire_ms));
}

static inline int64_t record_load_expire(const struct record *record)
{
    int64_t expire_ms = 0;
    if ((record->flags & RECORD_EXPIRES) != 0) {
        memcpy(&expire_ms, record->payload, sizeof(expire_ms));
    }
    return expire_ms;
}

/* memcmp is a call with a jump on the length; keys are short, and two overlapping loads do most of
 * them. */
static inline bool record_bytes_equal(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    if (bytes >= 8) {
        size_t at = 0;
        for (; at + 8 < bytes; at += 8) {
            if (load_le64(a + at) != load_le64(b + at)) {
                return false;
            }
        }
        return load_le64(a + bytes - 8) == load_le64(b + bytes - 8);
    }
    if (bytes >= 4) {
        return load_le32(a) == load_le32(b) && load_le32(a + bytes - 4) == load_le32(b + bytes - 4);
    }
    for (size_t at = 0; at < bytes; at++) {
        if (a[at] != b[at]) {
            return false;
        }
    }
    return true;
}

static inline bool record_is_key(const struct record *record, uint32_t hash, uint32_t space,
                                 struct slice key)
{
    return record->hash == hash && record->space == space && record->key_bytes == key.bytes &&
           record_bytes_equal(record_key_at(record), key.data, key.bytes);
}

/* Makes a record without value, in place, of one that has a value: drops its blob and its expiry.
 */
void record_strip(struct record *record, uint16_t marker_flag);

/* Whether `bytes` of inline value fit into the record's memory. */
static inline bool record_holds(const struct record *record, size_t bytes, uint64_t usable)
{
    return sizeof(*record) + record_expire_bytes(record) + record->key_bytes + bytes <= usable;
}

/* Puts another blob into the place of the record's blob, whose reference it returns. */
struct blob *record_swap_blob(struct record *record, struct blob *blob);

#endif
