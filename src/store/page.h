/*
 * page: what all pages of a data file have in common: names, header, checksum.
 *
 * A page is 4096 bytes, never changes once written, and says itself what it is. Its checksum is
 * seeded with the place where it lies (store, partition, file, page of the file), so a page that
 * was written to or read from a wrong place, a page of another store, and an old page in a recycled
 * place do not verify, even though their bytes are whole. All integers are little-endian.
 *
 *     0  u64  checksum      XXH3-64 of bytes 8..4095, seeded by page_seed
 *     8  u16  magic         0x6773 ("sg")
 *    10  u8   version       1
 *    11  u8   kind          enum page_kind
 *    12  u32  page id       the logical name
 *    16  u32  space         the tree it belongs to
 *    20  u16  keys          keys of the directory (keys.h): a leaf's records, a branch's separators
 *    22  u16  prefix bytes  of the prefix that all its keys share, which follows the header
 *    24  u16  content end   the first byte that is padding; all from here on is zero
 *    26  u8   level         0 leaf, 1 a branch over leaves, ...
 *    27  5 bytes zero
 *    32  prefix, heads, slots (keys.h); then what the kind says (leaf.h, branch.h)
 *
 * A page from a device goes through page_check and then leaf_check or branch_check; after that no
 * access needs a bounds check. Pure functions, any thread.
 */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/store.h"

/* The logical name of a page, within its partition. */
struct page_id {
    uint32_t value;
};

#define PAGE_ID_NONE ((struct page_id){.value = UINT32_MAX})

static inline bool page_id_is_none(struct page_id id)
{
    return id.value == UINT32_MAX;
}

/* A page of a data file: the file's number in the upper 40 bits, the page's index in the lower 24.
 */
struct file_pos {
    uint64_t value;
};

#define FILE_POS_NONE ((struct file_pos){.value = UINT64_MAX})

enum {
    FILE_POS_PAGE_BITS = 24,
    FILE_POS_PAGES_MAX = 1 << FILE_POS_PAGE_BITS, /* pages of one file */
};
/* The largest file number. */
#define FILE_POS_FILE_MAX ((UINT64_C(1) << (64 - FILE_POS_PAGE_BITS)) - 2)

static inline struct file_pos file_pos_make(uint64_t file, uint32_t page)
{
    ASSERT(file <= FILE_POS_FILE_MAX);
    ASSERT(page < FILE_POS_PAGES_MAX);
    return (struct file_pos){.value = file << FILE_POS_PAGE_BITS | page};
}

static inline uint64_t file_pos_file(struct file_pos pos)
{
    return pos.value >> FILE_POS_PAGE_BITS;
}

static inline uint32_t file_pos_page(struct file_pos pos)
{
    return (uint32_t)(pos.value & (FILE_POS_PAGES_MAX - 1));
}

/* The position in the file, in bytes. */
static inline uint64_t file_pos_offset(struct file_pos pos)
{
    return (uint64_t)file_pos_page(pos) * STORE_PAGE_BYTES;
}

static inline bool file_pos_is_none(struct file_pos pos)
{
    return pos.value == UINT64_MAX;
}

enum page_kind {
    PAGE_KIND_ANY = 0, /* never on disk; as an expectation: leaf or branch */
    PAGE_KIND_LEAF = 1,
    PAGE_KIND_BRANCH = 2,
};

enum {
    PAGE_MAGIC = 0x6773,
    PAGE_VERSION = 1,
    PAGE_HEADER_BYTES = 32,
    PAGE_CONTENT_BYTES_MAX = STORE_PAGE_BYTES - PAGE_HEADER_BYTES,
    PAGE_LEVEL_MAX = 15, /* far more than 2^32 pages can need */
};

/* Byte offsets of the header's fields. */
enum {
    PAGE_AT_CHECKSUM = 0,
    PAGE_AT_MAGIC = 8,
    PAGE_AT_VERSION = 10,
    PAGE_AT_KIND = 11,
    PAGE_AT_ID = 12,
    PAGE_AT_SPACE = 16,
    PAGE_AT_KEYS = 20,
    PAGE_AT_PREFIX_BYTES = 22,
    PAGE_AT_CONTENT_END = 24,
    PAGE_AT_LEVEL = 26,
    PAGE_AT_ZERO = 27,
};

static inline enum page_kind page_kind(const uint8_t *page)
{
    return (enum page_kind)page[PAGE_AT_KIND];
}

static inline struct page_id page_id(const uint8_t *page)
{
    return (struct page_id){.value = load_le32(page + PAGE_AT_ID)};
}

static inline uint32_t page_space(const uint8_t *page)
{
    return load_le32(page + PAGE_AT_SPACE);
}

static inline uint32_t page_level(const uint8_t *page)
{
    return page[PAGE_AT_LEVEL];
}

static inline uint32_t page_keys(const uint8_t *page)
{
    return load_le16(page + PAGE_AT_KEYS);
}

static inline uint32_t page_prefix_bytes(const uint8_t *page)
{
    return load_le16(page + PAGE_AT_PREFIX_BYTES);
}

/* Bytes in use, header included. */
static inline uint32_t page_bytes_used(const uint8_t *page)
{
    return load_le16(page + PAGE_AT_CONTENT_END);
}

/* The seed for whatever lies at `pos`: pages, and extents (by their first page). Not a secret: it
 * tells accidents, not attackers. */
uint64_t page_seed(uint64_t store_id, uint32_t partition, struct file_pos pos);

/* Names a finished page: builders leave the id open, since it is the tree that hands ids out. */
void page_set_id(uint8_t *page, struct page_id id);

/* Writes the checksum; the last thing before a page goes out, once its place is known. */
void page_seal(uint8_t *page, uint64_t seed);

/* Where a page was read, for the check and its messages. */
struct page_source {
    const char *file; /* borrowed path, for messages only */
    uint64_t offset;  /* in bytes, in the file */
    uint64_t seed;    /* page_seed of the place */
};

/* What the reader expects to find. */
struct page_expect {
    enum page_kind kind; /* PAGE_KIND_ANY: leaf or branch */
    struct page_id id;
    uint32_t space;
};

/* Checksum, magic, version, identity, header bounds. 0; ERR_CORRUPT, logged with file and offset;
 * or ERR_VERSION for a whole page of a newer format. */
NODISCARD int page_check(const uint8_t *page, const struct page_source *source,
                         const struct page_expect *expect);

#endif
