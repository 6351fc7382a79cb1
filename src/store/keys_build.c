#include <string.h>

#include "base/bytes.h"
#include "store/keys.h"

static uint8_t *heads_of(const struct keys_builder *builder)
{
    return builder->page + PAGE_HEADER_BYTES + builder->prefix_bytes;
}

static uint8_t *slots_of(const struct keys_builder *builder)
{
    return heads_of(builder) + (size_t)KEYS_HEAD_BYTES * builder->count;
}

static void header_write(uint8_t *page, const struct keys_layout *layout)
{
    memset(page, 0, PAGE_HEADER_BYTES);
    store_le16(page + PAGE_AT_MAGIC, PAGE_MAGIC);
    page[PAGE_AT_VERSION] = PAGE_VERSION;
    page[PAGE_AT_KIND] = (uint8_t)layout->kind;
    store_le32(page + PAGE_AT_ID, PAGE_ID_NONE.value);
    store_le32(page + PAGE_AT_SPACE, layout->space);
    store_le16(page + PAGE_AT_KEYS, (uint16_t)layout->count);
    store_le16(page + PAGE_AT_PREFIX_BYTES, (uint16_t)layout->prefix_bytes);
    page[PAGE_AT_LEVEL] = (uint8_t)layout->level;
}

int keys_begin(struct keys_builder *builder, uint8_t *page, const struct keys_layout *layout,
               const struct page_key *some_key)
{
    ASSERT(layout->kind == PAGE_KIND_LEAF ? layout->level == 0 : layout->level > 0);
    ASSERT(layout->level <= PAGE_LEVEL_MAX);
    ASSERT(layout->prefix_bytes <= STORE_KEY_BYTES_MAX);
    ASSERT(layout->count <= PAGE_CONTENT_BYTES_MAX && layout->extra <= PAGE_CONTENT_BYTES_MAX);
    uint32_t items = PAGE_HEADER_BYTES + layout->prefix_bytes +
                     (KEYS_HEAD_BYTES + KEYS_SLOT_BYTES) * layout->count + layout->extra;
    if (items > STORE_PAGE_BYTES) {
        return ERR_FULL;
    }
    header_write(page, layout);
    if (layout->prefix_bytes > 0) {
        page_key_copy(some_key, 0, layout->prefix_bytes, page + PAGE_HEADER_BYTES);
    }
    *builder = (struct keys_builder){
        .page = page,
        .count = layout->count,
        .prefix_bytes = layout->prefix_bytes,
        .at = items,
    };
    return 0;
}

static void slot_write(const struct keys_builder *builder, uint32_t index, uint32_t offset,
                       uint32_t code)
{
    ASSERT(index < builder->count);
    uint32_t slot = code << KEYS_SLOT_SHIFT | (offset - PAGE_HEADER_BYTES);
    store_le16(slots_of(builder) + (size_t)KEYS_SLOT_BYTES * index, (uint16_t)slot);
}

static void head_write(const struct keys_builder *builder, uint32_t index, uint32_t head)
{
    uint8_t *heads = heads_of(builder);
    ASSERT(index == 0 ||
           load_le32(heads + (size_t)KEYS_HEAD_BYTES * (index - 1)) <= head); /* keys ascend */
    store_le32(heads + (size_t)KEYS_HEAD_BYTES * index, head);
}

int keys_add(struct keys_builder *builder, const struct page_key *key, uint32_t body,
             uint8_t **ret_body)
{
    uint32_t key_bytes = page_key_bytes(key);
    ASSERT(builder->added < builder->count);
    ASSERT(key_bytes >= builder->prefix_bytes && key_bytes <= STORE_KEY_BYTES_MAX);
    uint32_t item =
        keys_cost(key_bytes, builder->prefix_bytes) - KEYS_HEAD_BYTES - KEYS_SLOT_BYTES + body;
    if (item > STORE_PAGE_BYTES - builder->at) {
        return ERR_FULL;
    }
    uint32_t suffix_bytes = key_bytes - builder->prefix_bytes;
    uint32_t head_end = (uint32_t)min_u64(key_bytes, builder->prefix_bytes + KEYS_HEAD_BYTES);
    uint8_t head[KEYS_HEAD_BYTES] = {0};
    page_key_copy(key, builder->prefix_bytes, head_end, head);
    head_write(builder, builder->added, load_be32(head));

    uint8_t *to = builder->page + builder->at;
    if (suffix_bytes >= KEYS_SLOT_LONG) {
        slot_write(builder, builder->added, builder->at, KEYS_SLOT_LONG);
        store_le16(to, (uint16_t)suffix_bytes);
        to += KEYS_LONG_BYTES;
    } else {
        slot_write(builder, builder->added, builder->at, suffix_bytes);
    }
    page_key_copy(key, head_end, key_bytes, to);
    *ret_body = to + (key_bytes - head_end);
    builder->added++;
    builder->at += item;
    return 0;
}

int keys_add_run(struct keys_builder *builder, const uint8_t *from, uint32_t index, uint32_t count)
{
    ASSERT(page_prefix_bytes(from) == builder->prefix_bytes);
    ASSERT(count > 0 && count <= page_keys(from) - index);
    ASSERT(count <= builder->count - builder->added);
    const uint8_t *heads = from + PAGE_HEADER_BYTES + builder->prefix_bytes;
    const uint8_t *slots = heads + (size_t)KEYS_HEAD_BYTES * page_keys(from);
    uint32_t start = load_le16(slots + (size_t)KEYS_SLOT_BYTES * index) & KEYS_SLOT_OFFSET;
    uint32_t begin = PAGE_HEADER_BYTES + start;
    uint32_t end = keys_item(from, index + count - 1).end;
    if (end - begin > STORE_PAGE_BYTES - builder->at) {
        return ERR_FULL;
    }
    head_write(builder, builder->added, load_le32(heads + (size_t)KEYS_HEAD_BYTES * index));
    memcpy(heads_of(builder) + (size_t)KEYS_HEAD_BYTES * builder->added,
           heads + (size_t)KEYS_HEAD_BYTES * index, (size_t)KEYS_HEAD_BYTES * count);
    memcpy(builder->page + builder->at, from + begin, end - begin);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = load_le16(slots + (size_t)KEYS_SLOT_BYTES * (index + i));
        uint32_t offset = (slot & KEYS_SLOT_OFFSET) - start + builder->at;
        slot_write(builder, builder->added + i, offset, slot >> KEYS_SLOT_SHIFT);
    }
    builder->added += count;
    builder->at += end - begin;
    return 0;
}

void keys_end(struct keys_builder *builder)
{
    ASSERT(builder->added == builder->count);
    ASSERT(builder->at <= STORE_PAGE_BYTES);
    store_le16(builder->page + PAGE_AT_CONTENT_END, (uint16_t)builder->at);
    memset(builder->page + builder->at, 0, STORE_PAGE_BYTES - builder->at);
}
