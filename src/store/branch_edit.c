#include "store/branch_edit.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    BLOCK_BYTES_MIN = 512, /* most edits have a separator or two */
    BLOCK_BYTES_MAX = 64 * 1024,
};

struct branch_edit_block {
    struct branch_edit_block *older;
    uint32_t bytes;
    uint32_t capacity;
    uint8_t data[];
};

void branch_edit_clear(struct branch_edit *edit)
{
    while (edit->blocks != NULL) {
        struct branch_edit_block *block = edit->blocks;
        edit->blocks = block->older;
        mem_free(block);
    }
    mem_free(edit->changes);
    *edit = (struct branch_edit){0};
}

static int edit_add(struct branch_edit *edit, const struct branch_change *change)
{
    if (edit->count == edit->capacity) {
        uint32_t capacity = edit->capacity == 0 ? 4 : edit->capacity * 2;
        struct branch_change *bigger = mem_realloc(edit->changes, capacity * sizeof(*bigger));
        if (bigger == NULL) {
            return ERR_MEMORY;
        }
        edit->changes = bigger;
        edit->capacity = capacity;
    }
    edit->changes[edit->count++] = *change;
    return 0;
}

/* A copy that lives as long as the edit. */
static int edit_copy(struct branch_edit *edit, struct slice from, struct slice *ret_copy)
{
    ASSERT(from.bytes <= STORE_KEY_BYTES_MAX);
    struct branch_edit_block *block = edit->blocks;
    if (block == NULL || block->capacity - block->bytes < from.bytes) {
        uint64_t capacity = block == NULL ? BLOCK_BYTES_MIN : block->capacity * 2ull;
        capacity = max_u64(min_u64(capacity, BLOCK_BYTES_MAX), from.bytes);
        block = mem_alloc(sizeof(*block) + capacity);
        if (block == NULL) {
            return ERR_MEMORY;
        }
        *block = (struct branch_edit_block){edit->blocks, 0, (uint32_t)capacity};
        edit->blocks = block;
    }
    uint8_t *to = block->data + block->bytes;
    if (from.bytes > 0) {
        memcpy(to, from.data, from.bytes);
    }
    block->bytes += (uint32_t)from.bytes;
    *ret_copy = slice_of(to, from.bytes);
    return 0;
}

int branch_edit_remove(struct branch_edit *edit, uint32_t child)
{
    struct branch_change change = {.child = child, .remove = true};
    return edit_add(edit, &change);
}

int branch_edit_insert(struct branch_edit *edit, uint32_t child, struct page_id id,
                       struct slice separator)
{
    struct branch_change change = {.child = child, .id = id};
    TRY(edit_copy(edit, separator, &change.separator));
    return edit_add(edit, &change);
}

int branch_edit_insert_first(struct branch_edit *edit, struct page_id id)
{
    struct branch_change change = {.id = id};
    TRY(edit_add(edit, &change));
    memmove(edit->changes + 1, edit->changes, (edit->count - 1) * sizeof(change));
    edit->changes[0] = change;
    return 0;
}
