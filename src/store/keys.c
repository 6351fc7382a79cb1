#include "store/keys.h"

#include <string.h>

#include "base/bytes.h"

static_assert(KEYS_SLOT_OFFSET + 1 >= PAGE_CONTENT_BYTES_MAX + 1, "a slot reaches the page's end");
static_assert(KEYS_SLOT_OFFSET >> KEYS_SLOT_SHIFT == 0, "offset and length code do not meet");
static_assert(KEYS_SLOT_LONG << KEYS_SLOT_SHIFT <= UINT16_MAX, "a slot is a u16");

/* Four heads at once: a vector of the compiler's, which becomes SSE2, AVX2 or NEON as the target
 * has it. */
typedef uint32_t heads_vector __attribute__((vector_size(16)));
enum { LANES = sizeof(heads_vector) / sizeof(uint32_t) };

/* Above this many heads, halving comes before counting: at ~3 ns a step it then pays. */
enum { COUNT_MAX = 48 };

/* ---- short runs of bytes ----
 *
 * memcmp and memcpy of a variable short length cost a call and unpredictable branches each; most
 * rests and prefixes here have less than 16 bytes. Two loads that may overlap cover 8..16
 * bytes, 4..7, 1..3. */

/* At most 3 bytes, as a number in their order. */
static inline uint32_t load_tiny(const uint8_t *from, size_t bytes)
{
    return bytes == 0 ? 0
                      : (uint32_t)from[0] << 16 | (uint32_t)from[bytes >> 1] << 8 | from[bytes - 1];
}

/* At most 7 bytes, as a number in their order: of two runs of equal length. */
static inline uint64_t load_short(const uint8_t *from, size_t bytes)
{
    if (bytes >= 4) {
        return (uint64_t)load_be32(from) << 32 | load_be32(from + bytes - 4);
    }
    return load_tiny(from, bytes);
}

static inline int order_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* memcmp, for runs that are mostly short. */
static inline int compare_run(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    if (bytes < 8) {
        return order_u64(load_short(a, bytes), load_short(b, bytes));
    }
    if (UNLIKELY(bytes > 64)) {
        return memcmp(a, b, bytes);
    }
    for (size_t at = 0; at + 8 < bytes; at += 8) {
        uint64_t x = load_be64(a + at);
        uint64_t y = load_be64(b + at);
        if (x != y) {
            return order_u64(x, y);
        }
    }
    return order_u64(load_be64(a + bytes - 8), load_be64(b + bytes - 8));
}

/* Whether two runs are equal; cheaper than their order. */
static inline __attribute__((always_inline)) bool equal_run(const uint8_t *a, const uint8_t *b,
                                                            size_t bytes)
{
    if (bytes < 4) {
        return load_tiny(a, bytes) == load_tiny(b, bytes);
    }
    if (bytes < 8) {
        return ((load_le32(a) ^ load_le32(b)) |
                (load_le32(a + bytes - 4) ^ load_le32(b + bytes - 4))) == 0;
    }
    if (UNLIKELY(bytes > 16)) {
        return memcmp(a, b, bytes) == 0;
    }
    return ((load_le64(a) ^ load_le64(b)) |
            (load_le64(a + bytes - 8) ^ load_le64(b + bytes - 8))) == 0;
}

/* The bytes that two runs of `bytes` bytes share at the start. */
static inline size_t common_run(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t difference = load_be64(a + at) ^ load_be64(b + at);
        if (difference != 0) {
            return at + (size_t)__builtin_clzll(difference) / 8;
        }
    }
    while (at < bytes && a[at] == b[at]) {
        at++;
    }
    return at;
}

/* The first four of `bytes` bytes as a number, zeros for what is not there. */
static inline uint32_t head_of(const uint8_t *from, size_t bytes)
{
    if (LIKELY(bytes >= KEYS_HEAD_BYTES)) {
        return load_be32(from);
    }
    uint32_t head = 0;
    for (size_t at = 0; at < bytes; at++) {
        head |= (uint32_t)from[at] << (24 - 8 * at);
    }
    return head;
}

/* ---- the parts of a page ---- */

static inline const uint8_t *heads_of(const uint8_t *page)
{
    return page + PAGE_HEADER_BYTES + page_prefix_bytes(page);
}

static inline uint32_t head_at(const uint8_t *page, uint32_t index)
{
    return load_le32(heads_of(page) + (size_t)KEYS_HEAD_BYTES * index);
}

static inline uint32_t slots_offset(const uint8_t *page)
{
    return PAGE_HEADER_BYTES + page_prefix_bytes(page) + KEYS_HEAD_BYTES * page_keys(page);
}

static inline uint32_t slot_at(const uint8_t *page, uint32_t index)
{
    return load_le16(page + slots_offset(page) + (size_t)KEYS_SLOT_BYTES * index);
}

static inline uint32_t slot_offset(uint32_t slot)
{
    return PAGE_HEADER_BYTES + (slot & KEYS_SLOT_OFFSET);
}

static inline uint32_t item_end(const uint8_t *page, uint32_t index)
{
    return index + 1 < page_keys(page) ? slot_offset(slot_at(page, index + 1))
                                       : page_bytes_used(page);
}

/* What of a key stands behind the prefix: its length, and where its rest lies. */
struct suffix {
    uint32_t bytes;
    const uint8_t *rest;
};

static inline struct suffix suffix_at(const uint8_t *page, uint32_t index)
{
    uint32_t slot = slot_at(page, index);
    const uint8_t *item = page + slot_offset(slot);
    uint32_t code = slot >> KEYS_SLOT_SHIFT;
    if (LIKELY(code != KEYS_SLOT_LONG)) {
        return (struct suffix){.bytes = code, .rest = item};
    }
    return (struct suffix){.bytes = load_le16(item), .rest = item + KEYS_LONG_BYTES};
}

static inline uint32_t rest_bytes(uint32_t suffix_bytes)
{
    return suffix_bytes > KEYS_HEAD_BYTES ? suffix_bytes - KEYS_HEAD_BYTES : 0;
}

/* ---- keys in runs ---- */

struct page_key keys_get(const uint8_t *page, uint32_t index)
{
    ASSERT(index < page_keys(page));
    struct suffix suffix = suffix_at(page, index);
    struct page_key key = {
        .prefix = slice_of(page + PAGE_HEADER_BYTES, page_prefix_bytes(page)),
        .rest = slice_of(suffix.rest, rest_bytes(suffix.bytes)),
        .head_bytes = (uint8_t)min_u64(suffix.bytes, KEYS_HEAD_BYTES),
    };
    store_be32(key.head, head_at(page, index));
    return key;
}

uint32_t keys_bytes(const uint8_t *page, uint32_t index)
{
    ASSERT(index < page_keys(page));
    return page_prefix_bytes(page) + suffix_at(page, index).bytes;
}

static inline struct slice run_of(const struct page_key *key, uint32_t run)
{
    return run == 0 ? key->prefix : run == 1 ? slice_of(key->head, key->head_bytes) : key->rest;
}

enum { RUNS = 3 };

void page_key_copy(const struct page_key *key, uint32_t from, uint32_t end, uint8_t *to)
{
    ASSERT(from <= end && end <= page_key_bytes(key));
    size_t start = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        struct slice bytes = run_of(key, run);
        size_t low = from > start ? from - start : 0;
        size_t high = end > start ? end - start : 0;
        high = high < bytes.bytes ? high : bytes.bytes;
        if (low < high) {
            memcpy(to, bytes.data + low, high - low);
            to += high - low;
        }
        start += bytes.bytes;
    }
}

uint32_t page_key_common(const struct page_key *a, const struct page_key *b)
{
    struct slice x = a->prefix;
    struct slice y = b->prefix;
    size_t common = 0;
    for (uint32_t x_run = 0, y_run = 0;;) {
        size_t bytes = x.bytes < y.bytes ? x.bytes : y.bytes;
        size_t equal = bytes == 0 ? 0 : common_run(x.data, y.data, bytes);
        common += equal;
        if (equal < bytes) {
            return (uint32_t)common;
        }
        x = slice_skip(x, bytes);
        y = slice_skip(y, bytes);
        while (x.bytes == 0 && ++x_run < RUNS) {
            x = run_of(a, x_run);
        }
        while (y.bytes == 0 && ++y_run < RUNS) {
            y = run_of(b, y_run);
        }
        if (x.bytes == 0 || y.bytes == 0) {
            return (uint32_t)common;
        }
    }
}

static uint8_t byte_at(const struct page_key *key, uint32_t at)
{
    uint8_t byte = 0;
    page_key_copy(key, at, at + 1, &byte);
    return byte;
}

int page_key_compare(const struct page_key *a, const struct page_key *b)
{
    uint32_t common = page_key_common(a, b);
    uint32_t a_bytes = page_key_bytes(a);
    uint32_t b_bytes = page_key_bytes(b);
    if (common == a_bytes || common == b_bytes) {
        return (a_bytes > b_bytes) - (a_bytes < b_bytes);
    }
    return (int)byte_at(a, common) - (int)byte_at(b, common);
}

uint32_t keys_common(const uint8_t *page, uint32_t index)
{
    ASSERT(index > 0 && index < page_keys(page));
    struct suffix a = suffix_at(page, index - 1);
    struct suffix b = suffix_at(page, index);
    uint32_t difference = head_at(page, index - 1) ^ head_at(page, index);
    uint32_t shorter = a.bytes < b.bytes ? a.bytes : b.bytes;
    uint32_t common = difference == 0 ? KEYS_HEAD_BYTES : (uint32_t)__builtin_clz(difference) / 8;
    if (common == KEYS_HEAD_BYTES && shorter > KEYS_HEAD_BYTES) {
        common += (uint32_t)common_run(a.rest, b.rest, shorter - KEYS_HEAD_BYTES);
    }
    /* Equal heads may be equal zeros that stand for nothing. */
    return page_prefix_bytes(page) + (common < shorter ? common : shorter);
}

struct keys_item keys_item(const uint8_t *page, uint32_t index)
{
    ASSERT(index < page_keys(page));
    struct suffix suffix = suffix_at(page, index);
    return (struct keys_item){
        .offset = (uint32_t)(suffix.rest - page) + rest_bytes(suffix.bytes),
        .end = item_end(page, index),
    };
}

/* ---- search ---- */

static inline heads_vector heads_load(const uint8_t *heads, uint32_t index)
{
    heads_vector vector;
    memcpy(&vector, heads + (size_t)KEYS_HEAD_BYTES * index, sizeof(vector));
    return vector;
}

/*
 * How many of the ascending heads[0..count) are below `head`. Many are halved without a branch
 * until few are left, and those are counted, four in a step: with lines that come from memory,
 * loads that do not wait for each other beat a search that touches less. The last step may look at
 * up to three heads that are none, and masks them: slots and items follow the heads, so the bytes
 * are inside the page.
 */
static inline uint32_t heads_below(const uint8_t *heads, uint32_t count, uint32_t head)
{
    uint32_t base = 0;
    while (count > COUNT_MAX) {
        uint32_t half = count / 2;
        uint32_t last = load_le32(heads + (size_t)KEYS_HEAD_BYTES * (base + half - 1));
        base = last < head ? base + half : base;
        count -= half;
    }
    heads_vector needle = {head, head, head, head};
    heads_vector below = {0};
    heads_vector lane = {0, 1, 2, 3};
    uint32_t at = 0;
    for (; at + LANES <= count; at += LANES) {
        below -= (heads_vector)(heads_load(heads, base + at) < needle);
    }
    if (at < count) {
        heads_vector left = (heads_vector){} + (count - at);
        below -=
            (heads_vector)(heads_load(heads, base + at) < needle) & (heads_vector)(lane < left);
    }
    return base + below[0] + below[1] + below[2] + below[3];
}

/* Order of key `index` and a key with the same prefix and head, of which `suffix` is left. */
static inline int compare_rest(const uint8_t *page, uint32_t index, struct slice suffix)
{
    struct suffix own = suffix_at(page, index);
    uint32_t a = rest_bytes(own.bytes);
    uint32_t b = rest_bytes((uint32_t)suffix.bytes);
    uint32_t common = a < b ? a : b;
    if (common > 0) {
        int order = compare_run(own.rest, suffix.data + KEYS_HEAD_BYTES, common);
        if (order != 0) {
            return order;
        }
    }
    return (own.bytes > suffix.bytes) - (own.bytes < suffix.bytes);
}

/* The lower bound among the keys from `low` on that have this head. */
static __attribute__((noinline)) uint32_t
find_in_run(const uint8_t *page, uint32_t low, uint32_t head, struct slice suffix, bool *ret_found)
{
    uint32_t high = page_keys(page);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = head_at(page, middle) != head ? 1 : compare_rest(page, middle, suffix);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *ret_found = false;
    return low;
}

/* The key does not have the page's prefix: everything is above or everything is below it. */
static __attribute__((noinline)) uint32_t find_outside(const uint8_t *page, struct slice key,
                                                       bool *ret_found)
{
    struct slice prefix = slice_of(page + PAGE_HEADER_BYTES, page_prefix_bytes(page));
    *ret_found = false;
    return slice_compare(key, prefix) < 0 ? 0 : page_keys(page);
}

/*
 * The quick way is for a key that is there, alone with its head, or whose head is not there;
 * *ret_found is written last, since a store through it makes the compiler load everything of the
 * page again.
 */
uint32_t keys_find(const uint8_t *page, struct slice key, bool *ret_found)
{
    uint32_t count = page_keys(page);
    uint32_t prefix_bytes = page_prefix_bytes(page);
    if (UNLIKELY(key.bytes < prefix_bytes ||
                 !equal_run(key.data, page + PAGE_HEADER_BYTES, prefix_bytes))) {
        return find_outside(page, key, ret_found);
    }
    struct slice suffix = slice_skip(key, prefix_bytes);
    uint32_t head = head_of(suffix.data, suffix.bytes);
    uint32_t low = heads_below(heads_of(page), count, head);
    if (low == count || head_at(page, low) != head) {
        *ret_found = false;
        return low;
    }
    struct suffix own = suffix_at(page, low);
    uint32_t rest = rest_bytes(own.bytes);
    if (LIKELY(own.bytes == suffix.bytes) &&
        (rest == 0 || equal_run(own.rest, suffix.data + KEYS_HEAD_BYTES, rest))) {
        *ret_found = true;
        return low;
    }
    return find_in_run(page, low, head, suffix, ret_found);
}

/* ---- check ---- */

static int corrupt_key(const struct page_source *source, uint32_t index, const char *what)
{
    return err_corrupt(source->file, source->offset, "key %u of the page: %s", index, what);
}

/* Length and padding of key `index`, whose item is [offset, end). */
static int check_key(const uint8_t *page, uint32_t index, uint32_t end,
                     const struct page_source *source)
{
    uint32_t slot = slot_at(page, index);
    uint32_t offset = slot_offset(slot);
    uint32_t suffix = slot >> KEYS_SLOT_SHIFT;
    if (suffix == KEYS_SLOT_LONG) {
        if (end - offset < KEYS_LONG_BYTES) {
            return corrupt_key(source, index, "its length is cut");
        }
        suffix = load_le16(page + offset);
        offset += KEYS_LONG_BYTES;
        if (suffix < KEYS_SLOT_LONG) {
            return corrupt_key(source, index, "its length has two forms");
        }
    }
    if (suffix + page_prefix_bytes(page) > STORE_KEY_BYTES_MAX) {
        return corrupt_key(source, index, "it is too long");
    }
    if (rest_bytes(suffix) > end - offset) {
        return corrupt_key(source, index, "it is longer than its item");
    }
    if (suffix < KEYS_HEAD_BYTES && (head_at(page, index) & UINT32_MAX >> (8 * suffix)) != 0) {
        return corrupt_key(source, index, "its head is not filled up with zeros");
    }
    return 0;
}

/* Both keys passed check_key. */
static bool ascends(const uint8_t *page, uint32_t index)
{
    uint32_t before = head_at(page, index - 1);
    uint32_t head = head_at(page, index);
    if (before != head) {
        return before < head;
    }
    struct suffix a = suffix_at(page, index - 1);
    struct suffix b = suffix_at(page, index);
    uint32_t common = rest_bytes(a.bytes < b.bytes ? a.bytes : b.bytes);
    int order = common == 0 ? 0 : compare_run(a.rest, b.rest, common);
    return order < 0 || (order == 0 && a.bytes < b.bytes);
}

int keys_check(const uint8_t *page, uint32_t extra, const struct page_source *source)
{
    uint32_t count = page_keys(page);
    uint32_t items = slots_offset(page) + KEYS_SLOT_BYTES * count + extra;
    uint32_t content_end = page_bytes_used(page);
    if (items > content_end) {
        return err_corrupt(source->file, source->offset,
                           "page of %u keys ends at %u, inside its directory", count, content_end);
    }
    uint32_t offset = count > 0 ? slot_offset(slot_at(page, 0)) : content_end;
    if (offset != items) {
        return err_corrupt(source->file, source->offset, "page items begin at %u, not at %u",
                           offset, items);
    }
    for (uint32_t index = 0; index < count; index++) {
        uint32_t end = item_end(page, index);
        if (end < offset || end > content_end) {
            return corrupt_key(source, index, "its item is outside the page");
        }
        TRY(check_key(page, index, end, source));
        if (index > 0 && !ascends(page, index)) {
            return corrupt_key(source, index, "it is not above the one before");
        }
        offset = end;
    }
    return 0;
}
