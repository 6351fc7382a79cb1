/*
 * keys: the key directory, the part that leaves and branches have in common, and its search.
 *
 * The keys of a page are strictly ascending. What all of them share is stored once (prefix); the
 * next four bytes of each key stand in an array of their own (heads), big-endian as a number and
 * filled up with zeros, so that the order of the heads is the order of the keys wherever heads
 * differ. A search counts heads with vector compares and looks at one key, as a rule. What follows
 * the head (rest) lies at the beginning of the key's item in the content. Layout, n = page_keys:
 *
 *     32              prefix, p bytes
 *     32+p            u32 heads[n]
 *     32+p+4n         u16 slots[n]   bits 0..11: offset of the item in the page, ascending
 *                                    bits 12..15: suffix bytes (what follows the prefix, head
 *                                    included) if below 15; 15: a u16 at the item's start says
 *     32+p+6n         what the kind says (a branch: its children); then the items, without a gap
 *     item            [u16 suffix bytes] rest; then what the kind says (a leaf: the record)
 *
 * An item ends where the next begins, the last one at the header's content end.
 *
 * A key that lies in a page is in three runs: struct page_key. Pure functions, any thread.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/page.h"

enum {
    KEYS_HEAD_BYTES = 4,
    KEYS_SLOT_BYTES = 2,
    KEYS_SLOT_LONG = 15, /* the code for "see the item" */
    KEYS_LONG_BYTES = 2, /* of that length in the item */
    KEYS_SLOT_SHIFT = 12,
    KEYS_SLOT_OFFSET = 0xfff,
};

/* A key in three runs of bytes, one after the other; borrowed from a page or from anywhere. */
struct page_key {
    struct slice prefix;
    struct slice rest;
    uint8_t head[KEYS_HEAD_BYTES];
    uint8_t head_bytes; /* of head in use; KEYS_HEAD_BYTES if there is a rest */
};

/* A key that lies in one piece. */
static inline struct page_key page_key_of(struct slice key)
{
    return (struct page_key){.prefix = key};
}

static inline uint32_t page_key_bytes(const struct page_key *key)
{
    return (uint32_t)(key->prefix.bytes + key->head_bytes + key->rest.bytes);
}

/* Copies bytes [from, end) of the key to `to`. */
void page_key_copy(const struct page_key *key, uint32_t from, uint32_t end, uint8_t *to);

/* How many bytes the two keys share at the start. */
uint32_t page_key_common(const struct page_key *a, const struct page_key *b);

/* Order of bytes: <0, 0, >0. */
int page_key_compare(const struct page_key *a, const struct page_key *b);

/* ---- in a checked page ---- */

/* Key `index` of a checked page, index < page_keys. */
struct page_key keys_get(const uint8_t *page, uint32_t index);

/* Its length. */
uint32_t keys_bytes(const uint8_t *page, uint32_t index);

/* The first key that is not below `key` (page_keys if there is none); *ret_found: it is equal. */
uint32_t keys_find(const uint8_t *page, struct slice key, bool *ret_found);

/* What key `index` - 1 and key `index` share. 0 < index < page_keys. */
uint32_t keys_common(const uint8_t *page, uint32_t index);

/* The item's bytes behind its key: [offset, end) in the page. */
struct keys_item {
    uint32_t offset;
    uint32_t end;
};
struct keys_item keys_item(const uint8_t *page, uint32_t index);

/* Checks a directory whose items begin `extra` bytes behind the slots: every offset inside the
 * page, no gap, lengths possible, keys strictly ascending. 0 or ERR_CORRUPT. The header was checked
 * by page_check. */
NODISCARD int keys_check(const uint8_t *page, uint32_t extra, const struct page_source *source);

/* ---- building ---- */

/* Bytes that a key costs beside the shared prefix: head, slot, length if long, rest. */
static inline uint32_t keys_cost(uint32_t key_bytes, uint32_t prefix_bytes)
{
    uint32_t suffix = key_bytes - prefix_bytes;
    uint32_t rest = suffix > KEYS_HEAD_BYTES ? suffix - KEYS_HEAD_BYTES : 0;
    uint32_t longer = suffix >= KEYS_SLOT_LONG ? KEYS_LONG_BYTES : 0;
    return KEYS_HEAD_BYTES + KEYS_SLOT_BYTES + longer + rest;
}

/* A page under construction, in the caller's 4 KiB. */
struct keys_builder {
    uint8_t *page;
    uint32_t count; /* keys it will have */
    uint32_t added;
    uint32_t prefix_bytes;
    uint32_t at; /* where the next item begins */
};

/* Begins a page of `count` keys, of which `some_key` is one, whose first prefix_bytes bytes all
 * share. `extra` bytes are kept free behind the slots. ERR_FULL if directory and extra alone do not
 * fit. */
struct keys_layout {
    enum page_kind kind;
    uint32_t level;
    uint32_t space;
    uint32_t count;
    uint32_t prefix_bytes;
    uint32_t extra;
};
NODISCARD int keys_begin(struct keys_builder *builder, uint8_t *page,
                         const struct keys_layout *layout, const struct page_key *some_key);

/* Adds the next key and room for `body` bytes behind it; *ret_body is where they go. ERR_FULL if
 * that does not fit: the page is as before. Keys ascend (asserted by heads). */
NODISCARD int keys_add(struct keys_builder *builder, const struct page_key *key, uint32_t body,
                       uint8_t **ret_body);

/* Adds `count` items of a checked page as they are: same prefix bytes. ERR_FULL as above. */
NODISCARD int keys_add_run(struct keys_builder *builder, const uint8_t *from, uint32_t index,
                           uint32_t count);

/* All keys are there (asserted): writes the content end and zeros what is left. */
void keys_end(struct keys_builder *builder);

#endif
