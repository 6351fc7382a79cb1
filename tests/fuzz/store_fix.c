#include "store_fix.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/logger.h"
#include "fuzz.h"
#include "store/leaf.h"
#include "store/manifest_format.h"
#include "store_rig.h"

enum {
    /* Places in a manifest's header (manifest_format.h). */
    AT_SEQUENCE = 16,
    AT_BODY_BYTES = 28,
    AT_BODY_CHECKSUM = 32,
    AT_PREVIOUS = 40,
    AT_OFFSET = 48,
};

void fix_manifest(uint8_t *blocks, uint32_t count, bool chain)
{
    uint64_t seed = manifest_seed(RIG_STORE_ID, RIG_PARTITION, 1);
    uint64_t previous = 0;
    uint64_t sequence = 0;
    uint32_t at = 0;
    while (at < count) {
        uint8_t *record = blocks + (size_t)at * BLOCK_BYTES;
        uint32_t left = (count - at) * BLOCK_BYTES;
        if (load_le32(record + AT_BODY_BYTES) > left - MANIFEST_HEADER_BYTES) {
            store_le32(record + AT_BODY_BYTES, left - MANIFEST_HEADER_BYTES);
        }
        uint32_t bytes = manifest_record_bytes(load_le32(record + AT_BODY_BYTES));
        if (chain) {
            sequence = at == 0 ? load_le64(record + AT_SEQUENCE) : sequence + 1;
            store_le32(record + 8, MANIFEST_MAGIC);
            store_le64(record + AT_SEQUENCE, sequence);
            store_le64(record + AT_PREVIOUS, previous);
            store_le64(record + AT_OFFSET, (uint64_t)at * BLOCK_BYTES);
        }
        store_le64(record + AT_BODY_CHECKSUM,
                   checksum64(record + MANIFEST_HEADER_BYTES, bytes - MANIFEST_HEADER_BYTES, seed));
        previous = checksum64(record + 8, MANIFEST_HEADER_BYTES - 8, seed);
        store_le64(record, previous);
        at += bytes / BLOCK_BYTES;
    }
}

static uint64_t place_seed(uint32_t page)
{
    return page_seed(RIG_STORE_ID, RIG_PARTITION, file_pos_make(1, page));
}

static void seal(uint8_t *page, uint32_t index)
{
    store_le64(page,
               checksum64(page + PAGE_AT_MAGIC, BLOCK_BYTES - PAGE_AT_MAGIC, place_seed(index)));
}

/* The checksums of a whole leaf's extents. */
static void fix_extents(uint8_t *page, const uint8_t *blocks, uint32_t count)
{
    for (uint32_t i = 0; i < leaf_count(page); i++) {
        struct leaf_entry entry;
        leaf_get(page, i, &entry);
        uint64_t first = file_pos_page(entry.extent.pos);
        if (!entry.is_extent || file_pos_file(entry.extent.pos) != 1 ||
            entry.extent.bytes > (uint64_t)count * BLOCK_BYTES ||
            first + div_ceil(entry.extent.bytes, BLOCK_BYTES) > count) {
            continue;
        }
        struct keys_item item = keys_item(page, i);
        store_le64(page + item.end - 8, checksum64(blocks + first * BLOCK_BYTES, entry.extent.bytes,
                                                   place_seed((uint32_t)first)));
    }
}

void fix_data(uint8_t *blocks, uint32_t count)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *page = blocks + (size_t)i * BLOCK_BYTES;
        if (load_le16(page + PAGE_AT_MAGIC) != PAGE_MAGIC) {
            continue;
        }
        seal(page, i);
        struct page_source source = {.file = "", .seed = place_seed(i)};
        struct page_expect expect = {PAGE_KIND_LEAF, page_id(page), page_space(page)};
        if (page_check(page, &source, &expect) == 0 && leaf_check(page, &source) == 0) {
            fix_extents(page, blocks, count);
            seal(page, i);
        }
    }
    logger_set_level(LOGGER_LEVEL_NOTICE);
}
