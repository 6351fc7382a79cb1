/*
 * branch: an inner page: children by page id, and the separators between them. Format, reading,
 * building; keys.h has the directory and search.
 *
 * A branch of n separators has n + 1 children. Child i holds the keys from separator i (that key
 * included; child 0: from the branch's own lower bound) to separator i + 1 (excluded). Separators
 * are as short as they can be: keys need not exist. Behind the slots:
 *
 *     32+p+6n   u32 children[n+1]   page ids
 *
 * and the items are the keys' rests, nothing else. A branch with one child and no separator is
 * possible.
 *
 * Pure functions over checked pages, any thread.
 */
#ifndef STORE_BRANCH_H
#define STORE_BRANCH_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/keys.h"
#include "store/page.h"

enum {
    BRANCH_CHILD_BYTES = 4,
    BRANCH_CHILDREN_MAX = 1 + (PAGE_CONTENT_BYTES_MAX - BRANCH_CHILD_BYTES) /
                                  (KEYS_HEAD_BYTES + KEYS_SLOT_BYTES + BRANCH_CHILD_BYTES),
};

/* Children. */
static inline uint32_t branch_count(const uint8_t *page)
{
    return page_keys(page) + 1;
}

/* Child `index` < branch_count. */
struct page_id branch_child(const uint8_t *page, uint32_t index);

/* The child that holds `key`. */
uint32_t branch_find(const uint8_t *page, struct slice key);

/* The lower bound of child `index`, 0 < index < branch_count. */
static inline struct page_key branch_separator(const uint8_t *page, uint32_t index)
{
    return keys_get(page, index - 1);
}

/* Copies that separator to `buffer` (STORE_KEY_BYTES_MAX bytes of room); returns its length. */
uint32_t branch_separator_copy(const uint8_t *page, uint32_t index, uint8_t *buffer);

/* After page_check: everything inside the page, order, children. 0 or ERR_CORRUPT. */
NODISCARD int branch_check(const uint8_t *page, const struct page_source *source);

/* ---- building ---- */

struct branch_layout {
    uint32_t space;
    uint32_t level;        /* 1: over leaves */
    uint32_t count;        /* children, at least 1 */
    uint32_t prefix_bytes; /* that all separators share */
};

/* `some_separator` is one of the page's separators, NULL if there is only one child. ERR_FULL if
 * heads, slots and children alone do not fit. */
NODISCARD int branch_begin(struct keys_builder *builder, uint8_t *page,
                           const struct branch_layout *layout,
                           const struct page_key *some_separator, struct page_id first_child);
/* The next child and its lower bound. ERR_FULL if it does not fit. */
NODISCARD int branch_add(struct keys_builder *builder, const struct page_key *separator,
                         struct page_id child);
static inline void branch_end(struct keys_builder *builder)
{
    keys_end(builder);
}

#endif
