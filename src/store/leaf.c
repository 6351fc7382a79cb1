#include "store/leaf.h"

#include <string.h>

#include "base/bytes.h"

enum {
    INFO_EXTENT = 1,
    INFO_EXPIRY = 2,
    INFO_TAG = 4,
    INFO_KNOWN = INFO_EXTENT | INFO_EXPIRY | INFO_TAG,

    INFO_BYTES = 1,
    TAG_BYTES = 2,
    EXPIRY_BYTES = 8,
};

static_assert(LEAF_EXTENT_BYTES == 3 * sizeof(uint64_t), "position, bytes, checksum");
static_assert(2 * (KEYS_HEAD_BYTES + KEYS_SLOT_BYTES + KEYS_LONG_BYTES + INFO_BYTES + TAG_BYTES +
                   EXPIRY_BYTES + STORE_INLINE_BYTES_MAX) <=
                  PAGE_CONTENT_BYTES_MAX,
              "any two records fit in a leaf");
static_assert(STORE_KEY_BYTES_MAX + LEAF_EXTENT_BYTES <= STORE_INLINE_BYTES_MAX,
              "a key with an extent is no longer than an inline record");

/* Bytes of an entry that are not its value. */
static inline uint32_t info_bytes(uint32_t info)
{
    return INFO_BYTES + (info & INFO_TAG ? TAG_BYTES : 0) + (info & INFO_EXPIRY ? EXPIRY_BYTES : 0);
}

static inline uint32_t entry_info(const struct leaf_entry *entry)
{
    return (entry->is_extent ? INFO_EXTENT : 0u) | (entry->expire_ms != 0 ? INFO_EXPIRY : 0u) |
           (entry->type != 0 || entry->meta != 0 ? INFO_TAG : 0u);
}

static struct extent extent_decode(const uint8_t *from)
{
    return (struct extent){
        .pos.value = load_le64(from),
        .bytes = load_le64(from + 8),
        .checksum = load_le64(from + 16),
    };
}

void leaf_get(const uint8_t *page, uint32_t index, struct leaf_entry *ret_entry)
{
    struct keys_item item = keys_item(page, index);
    const uint8_t *at = page + item.offset;
    uint32_t info = *at++;
    struct leaf_entry entry = {.is_extent = (info & INFO_EXTENT) != 0};
    if (info & INFO_TAG) {
        entry.type = at[0];
        entry.meta = at[1];
        at += TAG_BYTES;
    }
    if (info & INFO_EXPIRY) {
        entry.expire_ms = (int64_t)load_le64(at);
        at += EXPIRY_BYTES;
    }
    if (entry.is_extent) {
        entry.extent = extent_decode(at);
    } else {
        entry.value = slice_of(at, (size_t)(page + item.end - at));
    }
    *ret_entry = entry;
}

uint32_t leaf_key_copy(const uint8_t *page, uint32_t index, uint8_t *buffer)
{
    struct page_key key = keys_get(page, index);
    uint32_t bytes = page_key_bytes(&key);
    page_key_copy(&key, 0, bytes, buffer);
    return bytes;
}

/* ---- check ---- */

static int corrupt_record(const struct page_source *source, uint32_t index, const char *what)
{
    return err_corrupt(source->file, source->offset, "record %u of the leaf: %s", index, what);
}

static int check_extent(const uint8_t *at, uint32_t bytes, uint32_t index,
                        const struct page_source *source)
{
    if (bytes != LEAF_EXTENT_BYTES) {
        return corrupt_record(source, index, "its extent has a wrong length");
    }
    struct extent extent = extent_decode(at);
    if (extent.bytes == 0 || extent.bytes > STORE_VALUE_BYTES_MAX) {
        return corrupt_record(source, index, "its extent's size is impossible");
    }
    uint64_t pages = div_ceil(extent.bytes, STORE_PAGE_BYTES);
    if (file_pos_file(extent.pos) > FILE_POS_FILE_MAX ||
        pages > FILE_POS_PAGES_MAX - file_pos_page(extent.pos)) {
        return corrupt_record(source, index, "its extent's place is impossible");
    }
    return 0;
}

static int check_record(const uint8_t *page, uint32_t index, const struct page_source *source)
{
    struct keys_item item = keys_item(page, index);
    if (item.offset == item.end) {
        return corrupt_record(source, index, "it is cut");
    }
    const uint8_t *at = page + item.offset;
    uint32_t info = *at;
    if ((info & ~(uint32_t)INFO_KNOWN) != 0) {
        return corrupt_record(source, index, "its info has unknown bits");
    }
    uint32_t bytes = info_bytes(info);
    if (bytes > item.end - item.offset) {
        return corrupt_record(source, index, "it is cut");
    }
    if (info & INFO_TAG && at[INFO_BYTES] == 0 && at[INFO_BYTES + 1] == 0) {
        return corrupt_record(source, index, "its tag is empty");
    }
    if (info & INFO_EXPIRY && load_le64(at + bytes - EXPIRY_BYTES) == 0) {
        return corrupt_record(source, index, "its expiry is zero");
    }
    uint32_t value_bytes = item.end - item.offset - bytes;
    if (info & INFO_EXTENT) {
        return check_extent(at + bytes, value_bytes, index, source);
    }
    if (keys_bytes(page, index) + value_bytes > STORE_INLINE_BYTES_MAX) {
        return corrupt_record(source, index, "it is too large");
    }
    return 0;
}

int leaf_check(const uint8_t *page, const struct page_source *source)
{
    ASSERT(page_kind(page) == PAGE_KIND_LEAF); /* page_check saw it */
    if (page_keys(page) == 0) {
        return err_corrupt(source->file, source->offset, "leaf without a record");
    }
    TRY(keys_check(page, 0, source));
    for (uint32_t index = 0; index < page_keys(page); index++) {
        TRY(check_record(page, index, source));
    }
    return 0;
}

/* ---- building ---- */

uint32_t leaf_entry_bytes(const struct leaf_entry *entry)
{
    return info_bytes(entry_info(entry)) +
           (entry->is_extent ? LEAF_EXTENT_BYTES : (uint32_t)entry->value.bytes);
}

int leaf_begin(struct keys_builder *builder, uint8_t *page, uint32_t space, uint32_t count,
               uint32_t prefix_bytes, const struct page_key *some_key)
{
    ASSERT(count > 0);
    struct keys_layout layout = {
        .kind = PAGE_KIND_LEAF,
        .space = space,
        .count = count,
        .prefix_bytes = prefix_bytes,
    };
    return keys_begin(builder, page, &layout, some_key);
}

static void entry_encode(const struct leaf_entry *entry, uint8_t *to)
{
    uint32_t info = entry_info(entry);
    *to++ = (uint8_t)info;
    if (info & INFO_TAG) {
        to[0] = entry->type;
        to[1] = entry->meta;
        to += TAG_BYTES;
    }
    if (info & INFO_EXPIRY) {
        store_le64(to, (uint64_t)entry->expire_ms);
        to += EXPIRY_BYTES;
    }
    if (entry->is_extent) {
        store_le64(to, entry->extent.pos.value);
        store_le64(to + 8, entry->extent.bytes);
        store_le64(to + 16, entry->extent.checksum);
    } else if (entry->value.bytes > 0) {
        memcpy(to, entry->value.data, entry->value.bytes);
    }
}

int leaf_add(struct keys_builder *builder, const struct page_key *key,
             const struct leaf_entry *entry)
{
    if (entry->is_extent) {
        ASSERT(entry->extent.bytes > 0 && entry->extent.bytes <= STORE_VALUE_BYTES_MAX);
    } else {
        ASSERT(entry->value.bytes + page_key_bytes(key) <= STORE_INLINE_BYTES_MAX);
    }
    uint8_t *body;
    TRY(keys_add(builder, key, leaf_entry_bytes(entry), &body));
    entry_encode(entry, body);
    return 0;
}
