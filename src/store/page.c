#include "store/page.h"

#include "base/hash.h"
#include "base/logger.h"
#include "base/plant.h"

static_assert(PAGE_HEADER_BYTES == 32, "the header is what page.h says");
static_assert(PAGE_AT_ZERO == 27, "five zero bytes end the header");
static_assert(sizeof(struct page_id) == 4 && sizeof(struct file_pos) == 8, "plain numbers");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the search reads heads as they lie in the page");

/* Everything behind the checksum is under it. */
enum { CHECKED_FROM = PAGE_AT_MAGIC };

uint64_t page_seed(uint64_t store_id, uint32_t partition, struct file_pos pos)
{
    if (PLANTED(CHECKSUM_WITHOUT_IDENTITY)) {
        return 0;
    }
    uint8_t identity[20];
    store_le64(identity, store_id);
    store_le32(identity + 8, partition);
    store_le64(identity + 12, pos.value);
    return checksum64(identity, sizeof(identity), 0);
}

void page_set_id(uint8_t *page, struct page_id id)
{
    ASSERT(!page_id_is_none(id));
    store_le32(page + PAGE_AT_ID, id.value);
}

static uint64_t page_checksum(const uint8_t *page, uint64_t seed)
{
    return checksum64(page + CHECKED_FROM, STORE_PAGE_BYTES - CHECKED_FROM, seed);
}

void page_seal(uint8_t *page, uint64_t seed)
{
    ASSERT(load_le16(page + PAGE_AT_MAGIC) == PAGE_MAGIC);
    ASSERT(!page_id_is_none(page_id(page)));
    store_le64(page + PAGE_AT_CHECKSUM, page_checksum(page, seed));
}

static int check_format(const uint8_t *page, const struct page_source *source)
{
    uint32_t magic = load_le16(page + PAGE_AT_MAGIC);
    uint32_t version = page[PAGE_AT_VERSION];
    if (magic != PAGE_MAGIC) {
        return err_corrupt(source->file, source->offset, "page magic is %#x, not %#x", magic,
                           PAGE_MAGIC);
    }
    if (version > PAGE_VERSION) {
        LOGGER_WARNING("%s at offset %llu: page format %u, this program knows %u", source->file,
                       (unsigned long long)source->offset, version, PAGE_VERSION);
        return ERR_VERSION;
    }
    if (version != PAGE_VERSION) {
        return err_corrupt(source->file, source->offset, "page format %u never was", version);
    }
    return 0;
}

static int check_identity(const uint8_t *page, const struct page_source *source,
                          const struct page_expect *expect)
{
    uint32_t kind = page[PAGE_AT_KIND];
    if (kind != PAGE_KIND_LEAF && kind != PAGE_KIND_BRANCH) {
        return err_corrupt(source->file, source->offset, "page kind %u is unknown", kind);
    }
    if (expect->kind != PAGE_KIND_ANY && kind != expect->kind) {
        return err_corrupt(source->file, source->offset, "page kind is %u, not %u", kind,
                           (unsigned)expect->kind);
    }
    if (page_id(page).value != expect->id.value && !PLANTED(CHECKSUM_WITHOUT_IDENTITY)) {
        return err_corrupt(source->file, source->offset, "page is %u, not %u", page_id(page).value,
                           expect->id.value);
    }
    if (page_space(page) != expect->space) {
        return err_corrupt(source->file, source->offset, "page is of space %u, not %u",
                           page_space(page), expect->space);
    }
    return 0;
}

static int check_bounds(const uint8_t *page, const struct page_source *source)
{
    bool leaf = page_kind(page) == PAGE_KIND_LEAF;
    uint32_t level = page_level(page);
    if (leaf ? level != 0 : level == 0 || level > PAGE_LEVEL_MAX) {
        return err_corrupt(source->file, source->offset, "page of kind %u has level %u",
                           (unsigned)page_kind(page), level);
    }
    for (uint32_t at = PAGE_AT_ZERO; at < PAGE_HEADER_BYTES; at++) {
        if (page[at] != 0) {
            return err_corrupt(source->file, source->offset, "page header byte %u is not zero", at);
        }
    }
    if (page_bytes_used(page) < PAGE_HEADER_BYTES || page_bytes_used(page) > STORE_PAGE_BYTES) {
        return err_corrupt(source->file, source->offset, "page content ends at %u",
                           page_bytes_used(page));
    }
    if (page_prefix_bytes(page) > STORE_KEY_BYTES_MAX) {
        return err_corrupt(source->file, source->offset, "page prefix has %u bytes",
                           page_prefix_bytes(page));
    }
    for (uint32_t at = page_bytes_used(page); at < STORE_PAGE_BYTES; at++) {
        if (page[at] != 0) {
            return err_corrupt(source->file, source->offset, "page byte %u, of its padding, is %u",
                               at, page[at]);
        }
    }
    return 0;
}

int page_check(const uint8_t *page, const struct page_source *source,
               const struct page_expect *expect)
{
    uint64_t stored = load_le64(page + PAGE_AT_CHECKSUM);
    if (stored != page_checksum(page, source->seed)) {
        return err_corrupt(source->file, source->offset,
                           "page checksum is wrong (wanted page %u of space %u)", expect->id.value,
                           expect->space);
    }
    TRY(check_format(page, source));
    TRY(check_identity(page, source, expect));
    return check_bounds(page, source);
}
