/*
 * branch_edit: the changes to the children of one branch, collected while a batch works below it.
 *
 * Separators are copied into blocks that never move, so that the changes may point to them. All
 * memory goes at branch_edit_clear. One thread, never suspends.
 */
#ifndef STORE_BRANCH_EDIT_H
#define STORE_BRANCH_EDIT_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/merge.h"

struct branch_edit_block;

struct branch_edit {
    struct branch_change *changes;
    uint32_t count;
    uint32_t capacity;
    struct branch_edit_block *blocks;
};

/* Zeroed memory is an empty edit. Frees everything. */
void branch_edit_clear(struct branch_edit *edit);

/* Child `child` is gone. ERR_MEMORY. */
NODISCARD int branch_edit_remove(struct branch_edit *edit, uint32_t child);

/* A new child `id`, with the lower bound `separator` (copied), behind `child` and what was inserted
 * behind it. ERR_MEMORY. */
NODISCARD int branch_edit_insert(struct branch_edit *edit, uint32_t child, struct page_id id,
                                 struct slice separator);

/* A child `id` without a lower bound before everything else: the old root below a new one.
 * ERR_MEMORY. */
NODISCARD int branch_edit_insert_first(struct branch_edit *edit, struct page_id id);

#endif
