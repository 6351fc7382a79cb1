#include "store/branch.h"

#include "base/bytes.h"

static inline const uint8_t *children_of(const uint8_t *page)
{
    return page + PAGE_HEADER_BYTES + page_prefix_bytes(page) +
           (size_t)(KEYS_HEAD_BYTES + KEYS_SLOT_BYTES) * page_keys(page);
}

struct page_id branch_child(const uint8_t *page, uint32_t index)
{
    ASSERT(index < branch_count(page));
    const uint8_t *at = children_of(page) + (size_t)BRANCH_CHILD_BYTES * index;
    return (struct page_id){.value = load_le32(at)};
}

uint32_t branch_find(const uint8_t *page, struct slice key)
{
    bool found;
    uint32_t index = keys_find(page, key, &found);
    return index + found;
}

uint32_t branch_separator_copy(const uint8_t *page, uint32_t index, uint8_t *buffer)
{
    struct page_key key = branch_separator(page, index);
    uint32_t bytes = page_key_bytes(&key);
    page_key_copy(&key, 0, bytes, buffer);
    return bytes;
}

int branch_check(const uint8_t *page, const struct page_source *source)
{
    ASSERT(page_kind(page) == PAGE_KIND_BRANCH); /* page_check saw it */
    TRY(keys_check(page, BRANCH_CHILD_BYTES * branch_count(page), source));
    for (uint32_t index = 0; index < page_keys(page); index++) {
        struct keys_item item = keys_item(page, index);
        if (item.offset != item.end) {
            return err_corrupt(source->file, source->offset,
                               "separator %u of the branch has %u bytes too many", index,
                               item.end - item.offset);
        }
    }
    for (uint32_t index = 0; index < branch_count(page); index++) {
        if (page_id_is_none(branch_child(page, index))) {
            return err_corrupt(source->file, source->offset, "child %u of the branch has no page",
                               index);
        }
    }
    return 0;
}

/* ---- building ---- */

/* Where child `index` goes in a page under construction. */
static uint8_t *child_of(const struct keys_builder *builder, uint32_t index)
{
    ASSERT(index <= builder->count);
    return builder->page + PAGE_HEADER_BYTES + builder->prefix_bytes +
           (size_t)(KEYS_HEAD_BYTES + KEYS_SLOT_BYTES) * builder->count +
           (size_t)BRANCH_CHILD_BYTES * index;
}

int branch_begin(struct keys_builder *builder, uint8_t *page, const struct branch_layout *layout,
                 const struct page_key *some_separator, struct page_id first_child)
{
    ASSERT(layout->count > 0);
    ASSERT(!page_id_is_none(first_child));
    struct keys_layout keys = {
        .kind = PAGE_KIND_BRANCH,
        .level = layout->level,
        .space = layout->space,
        .count = layout->count - 1,
        .prefix_bytes = layout->prefix_bytes,
        .extra = BRANCH_CHILD_BYTES * layout->count,
    };
    TRY(keys_begin(builder, page, &keys, some_separator));
    store_le32(child_of(builder, 0), first_child.value);
    return 0;
}

int branch_add(struct keys_builder *builder, const struct page_key *separator, struct page_id child)
{
    ASSERT(!page_id_is_none(child));
    uint8_t *body;
    TRY(keys_add(builder, separator, 0, &body));
    store_le32(child_of(builder, builder->added), child.value);
    return 0;
}
