/*
 * records: random keys and records for the tests of pages, and a sorted array of them as the model
 * that the pages are compared with.
 */
#ifndef TESTS_UNIT_STORE_RECORDS_H
#define TESTS_UNIT_STORE_RECORDS_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/slice.h"
#include "store/leaf.h"

/* Kinds of keys, each hard for another part of the format. */
enum key_style {
    KEYS_TINY,   /* 0..6 bytes of very few values: zeros, equal heads, prefixes of each other */
    KEYS_DIGITS, /* "key:" and 12 digits */
    KEYS_DEEP,   /* a prefix of several hundred bytes in common, then a few */
    KEYS_BINARY, /* 1..24 bytes of any value */
    KEYS_LONG,   /* 1..1536 bytes, few values */
    KEYS_HEADS,  /* equal for 8 bytes in groups, then different */
    KEY_STYLES,
};

struct record {
    uint32_t key_bytes;
    uint8_t key[STORE_KEY_BYTES_MAX];
    struct leaf_entry entry;
    uint8_t value[STORE_INLINE_BYTES_MAX];
};

static inline struct slice record_key(const struct record *record)
{
    return slice_of(record->key, record->key_bytes);
}

static inline uint32_t random_key_any(struct random *random, uint8_t *key, uint32_t bytes_min,
                                      uint32_t bytes_max, uint32_t values)
{
    uint32_t bytes = bytes_min + (uint32_t)random_below(random, bytes_max - bytes_min + 1);
    for (uint32_t i = 0; i < bytes; i++) {
        key[i] = (uint8_t)random_below(random, values);
    }
    return bytes;
}

static inline uint32_t random_key(struct random *random, enum key_style style, uint8_t *key)
{
    static const uint8_t few[] = {0, 1, 0x7f, 0x80, 0xff};
    uint32_t bytes;
    switch (style) {
    case KEYS_TINY:
        bytes = random_key_any(random, key, 0, 6, sizeof(few));
        for (uint32_t i = 0; i < bytes; i++) {
            key[i] = few[key[i]];
        }
        return bytes;
    case KEYS_DIGITS:
        memcpy(key, "key:", 4);
        for (uint32_t i = 4; i < 16; i++) {
            key[i] = (uint8_t)('0' + random_below(random, 10));
        }
        return 16;
    case KEYS_DEEP:
        memset(key, 'd', 700);
        return 700 + random_key_any(random, key + 700, 0, 20, 4);
    case KEYS_BINARY:
        return random_key_any(random, key, 1, 24, 256);
    case KEYS_HEADS:
        memset(key, (int)random_below(random, 3), 8);
        return 8 + random_key_any(random, key + 8, 0, 12, 256);
    case KEYS_LONG:
    default:
        return random_key_any(random, key, 1, STORE_KEY_BYTES_MAX, 2);
    }
}

/* A random record for the key that is there: inline of many sizes, extent, with and without the
 * options. */
static inline void random_entry(struct random *random, struct record *record, uint32_t value_max)
{
    struct leaf_entry *entry = &record->entry;
    *entry = (struct leaf_entry){0};
    if (random_below(random, 3) == 0) {
        entry->type = (uint8_t)random_below(random, 256);
        entry->meta = (uint8_t)random_below(random, 256);
    }
    if (random_below(random, 3) == 0) {
        entry->expire_ms = (int64_t)random_u64(random);
    }
    if (random_below(random, 8) == 0) {
        entry->is_extent = true;
        entry->extent.pos = file_pos_make(random_below(random, FILE_POS_FILE_MAX + 1),
                                          (uint32_t)random_below(random, 1 << 16));
        entry->extent.bytes = 1 + random_below(random, STORE_VALUE_BYTES_MAX);
        entry->extent.checksum = random_u64(random);
        return;
    }
    uint64_t room = STORE_INLINE_BYTES_MAX - record->key_bytes;
    uint64_t bytes = random_below(random, (room < value_max ? room : value_max) + 1);
    for (uint64_t i = 0; i < bytes; i++) {
        record->value[i] = (uint8_t)random_u64(random);
    }
    entry->value = slice_of(record->value, bytes);
}

static inline bool entries_same(const struct leaf_entry *a, const struct leaf_entry *b)
{
    if (a->is_extent != b->is_extent || a->type != b->type || a->meta != b->meta ||
        a->expire_ms != b->expire_ms) {
        return false;
    }
    if (a->is_extent) {
        return a->extent.pos.value == b->extent.pos.value && a->extent.bytes == b->extent.bytes &&
               a->extent.checksum == b->extent.checksum;
    }
    return slice_equal(a->value, b->value);
}

/* ---- the model: records in the order of their keys; owned ---- */

enum { MODEL_RECORDS_MAX = 4096 };

struct model {
    struct record *records[MODEL_RECORDS_MAX];
    uint32_t count;
};

static inline uint32_t model_find(const struct model *model, struct slice key, bool *ret_found)
{
    uint32_t low = 0;
    uint32_t high = model->count;
    *ret_found = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(record_key(model->records[middle]), key);
        *ret_found = *ret_found || order == 0;
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return low;
}

/* Puts a copy of `record` in, over one of the same key. */
static inline void model_put(struct model *model, const struct record *record)
{
    bool found;
    uint32_t at = model_find(model, record_key(record), &found);
    struct record *copy = found ? model->records[at] : mem_must_alloc(sizeof(*copy));
    *copy = *record;
    if (!record->entry.is_extent) {
        copy->entry.value.data = copy->value;
    }
    if (!found) {
        memmove(&model->records[at + 1], &model->records[at],
                (model->count - at) * sizeof(model->records[0]));
        model->records[at] = copy;
        model->count++;
    }
}

static inline void model_remove(struct model *model, uint32_t at)
{
    mem_free(model->records[at]);
    model->count--;
    memmove(&model->records[at], &model->records[at + 1],
            (model->count - at) * sizeof(model->records[0]));
}

static inline void model_clear(struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        mem_free(model->records[i]);
    }
    model->count = 0;
}

/* What records [begin, end) share. */
static inline uint32_t model_common(const struct model *model, uint32_t begin, uint32_t end)
{
    struct page_key first = page_key_of(record_key(model->records[begin]));
    struct page_key last = page_key_of(record_key(model->records[end - 1]));
    return page_key_common(&first, &last);
}

/* Builds records [begin, end) into `page`: 0 or ERR_FULL. */
static inline int model_build(const struct model *model, uint32_t begin, uint32_t end,
                              uint32_t prefix_bytes, uint8_t *page)
{
    struct keys_builder builder;
    struct page_key key = page_key_of(record_key(model->records[begin]));
    TRY(leaf_begin(&builder, page, 7, end - begin, prefix_bytes, &key));
    for (uint32_t i = begin; i < end; i++) {
        key = page_key_of(record_key(model->records[i]));
        TRY(leaf_add(&builder, &key, &model->records[i]->entry));
    }
    leaf_end(&builder);
    return 0;
}

/* Fills a model with `count` records of small values that fit one page, and builds it. */
static inline void fill_page(struct random *random, enum key_style style, uint32_t count,
                             struct model *model, uint8_t *page)
{
    struct record record;
    for (uint32_t tries = 0; tries < 4 * count && model->count < count; tries++) {
        record.key_bytes = random_key(random, style, record.key);
        random_entry(random, &record, 3);
        struct model before = *model;
        bool found;
        uint32_t at = model_find(model, record_key(&record), &found);
        if (found) {
            continue;
        }
        model_put(model, &record);
        uint32_t prefix = model_common(model, 0, model->count);
        if (model_build(model, 0, model->count, prefix, page) < 0) {
            model_remove(model, at);
            cr_assert_eq(model->count, before.count);
        }
    }
    uint32_t prefix = model_common(model, 0, model->count);
    /* Any prefix up to the common one is a valid page; mostly take the best. */
    if (random_below(random, 4) == 0) {
        uint32_t shorter = (uint32_t)random_below(random, prefix + 1);
        prefix = model_build(model, 0, model->count, shorter, page) == 0 ? shorter : prefix;
    }
    cr_assert_eq(model_build(model, 0, model->count, prefix, page), 0);
}

#endif
