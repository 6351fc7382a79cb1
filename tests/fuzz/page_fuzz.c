/*
 * page: a page that passes its check can be read in every way without leaving it; its keys ascend;
 * and built anew from what it says it is the same page.
 *
 * Input: a page; what is missing at its end is zero. Its place is always the same.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "store/branch.h"
#include "store/leaf.h"

enum { PAGE_BYTES = STORE_PAGE_BYTES };

static uint64_t seed_of_place(void)
{
    return page_seed(UINT64_C(0x1122334455667788), 3, file_pos_make(1, 0));
}

static void check_inside(struct slice part, const uint8_t *page)
{
    MUST(part.bytes == 0 ||
         (part.data >= page && part.data + part.bytes <= page + page_bytes_used(page)));
}

/* Keys that are not in the page are found between those that are. */
static void check_lookups(const uint8_t *page, struct slice key, uint32_t index)
{
    static uint8_t near[STORE_KEY_BYTES_MAX + 1];
    bool found;
    MUST(keys_find(page, key, &found) == index && found);
    if (key.bytes > 0) {
        memcpy(near, key.data, key.bytes);
    }
    near[key.bytes] = 0;
    uint32_t next = keys_find(page, slice_of(near, key.bytes + 1), &found);
    MUST(next == index + 1);
    if (key.bytes > 0) {
        next = keys_find(page, slice_of(near, key.bytes - 1), &found);
        MUST(next <= index);
    }
}

static void check_keys(const uint8_t *page)
{
    static uint8_t buffers[2][STORE_KEY_BYTES_MAX];
    struct slice last = slice_of(NULL, 0);
    for (uint32_t i = 0; i < page_keys(page); i++) {
        struct page_key key = keys_get(page, i);
        check_inside(key.prefix, page);
        check_inside(key.rest, page);
        uint32_t bytes = page_key_bytes(&key);
        MUST(bytes == keys_bytes(page, i) && bytes <= STORE_KEY_BYTES_MAX);
        page_key_copy(&key, 0, bytes, buffers[i % 2]);
        struct slice name = slice_of(buffers[i % 2], bytes);
        MUST(i == 0 || slice_compare(last, name) < 0);
        MUST(i == 0 || keys_common(page, i) <= bytes);
        check_lookups(page, name, i);
        last = name;
    }
    bool found;
    memset(buffers[0], 0xff, sizeof(buffers[0]));
    MUST(keys_find(page, slice_of(NULL, 0), &found) == 0);
    MUST(keys_find(page, slice_of(buffers[0], sizeof(buffers[0])), &found) <= page_keys(page));
}

/* The builder's page, finished, is the page. */
static void check_same(uint8_t *built, const uint8_t *page)
{
    page_set_id(built, page_id(page));
    page_seal(built, seed_of_place());
    for (uint32_t at = PAGE_HEADER_BYTES; at < PAGE_BYTES; at++) {
        if (built[at] != page[at]) {
            (void)fprintf(stderr, "byte %u is %u, built anew %u\n", at, page[at], built[at]);
            abort();
        }
    }
    MUST(memcmp(built, page, PAGE_BYTES) == 0);
}

static void check_leaf(const uint8_t *page)
{
    static uint8_t built[PAGE_BYTES];
    struct keys_builder builder;
    uint32_t count = leaf_count(page);
    check_keys(page);
    struct page_key first = count > 0 ? keys_get(page, 0) : page_key_of(slice_of(NULL, 0));
    int err = leaf_begin(&builder, built, page_space(page), count, page_prefix_bytes(page), &first);
    MUST(err == 0);
    for (uint32_t i = 0; i < count; i++) {
        struct leaf_entry entry;
        leaf_get(page, i, &entry);
        check_inside(entry.value, page);
        struct page_key key = keys_get(page, i);
        MUST(leaf_add(&builder, &key, &entry) == 0);
    }
    leaf_end(&builder);
    check_same(built, page);
}

static void check_branch(const uint8_t *page)
{
    static uint8_t built[PAGE_BYTES];
    static uint8_t separator[STORE_KEY_BYTES_MAX];
    struct keys_builder builder;
    uint32_t count = branch_count(page);
    check_keys(page);
    for (uint32_t i = 1; i < count; i++) {
        uint32_t bytes = branch_separator_copy(page, i, separator);
        MUST(branch_find(page, slice_of(separator, bytes)) == i);
    }
    struct branch_layout layout = {
        .space = page_space(page),
        .level = page_level(page),
        .count = count,
        .prefix_bytes = page_prefix_bytes(page),
    };
    struct page_key some = count > 1 ? branch_separator(page, 1) : page_key_of(slice_of(NULL, 0));
    MUST(branch_begin(&builder, built, &layout, count > 1 ? &some : NULL, branch_child(page, 0)) ==
         0);
    for (uint32_t i = 1; i < count; i++) {
        struct page_key key = branch_separator(page, i);
        MUST(branch_add(&builder, &key, branch_child(page, i)) == 0);
    }
    branch_end(&builder);
    check_same(built, page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    warnings_catch();
    /* A block of its own, so that reading beyond the page is seen. */
    uint8_t *page = calloc(1, PAGE_BYTES);
    MUST(page != NULL);
    memcpy(page, data, bytes < PAGE_BYTES ? bytes : PAGE_BYTES);
    struct page_source source = {.file = "page", .offset = 0, .seed = seed_of_place()};
    struct page_expect expect = {
        .kind = PAGE_KIND_ANY,
        .id = page_id(page),
        .space = page_space(page),
    };
    int err = page_check(page, &source, &expect);
    if (err == 0 && !page_id_is_none(page_id(page))) { /* nobody asks for that one */
        bool leaf = page_kind(page) == PAGE_KIND_LEAF;
        err = leaf ? leaf_check(page, &source) : branch_check(page, &source);
        if (err == 0) {
            (leaf ? check_leaf : check_branch)(page);
        }
    }
    MUST(err == 0 || err == ERR_CORRUPT || err == ERR_VERSION);
    MUST(err == 0 || warnings_have("page at offset 0"));
    free(page);
    return 0;
}

#ifdef FUZZ_ENGINE
/* Mostly with a checksum that is right. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    static uint8_t page[PAGE_BYTES];
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 16 == 0 || bytes < PAGE_HEADER_BYTES || bytes > PAGE_BYTES) {
        return bytes;
    }
    memset(page, 0, sizeof(page));
    memcpy(page, data, bytes);
    store_le16(page + PAGE_AT_MAGIC, PAGE_MAGIC);
    store_le64(page, checksum64(page + PAGE_AT_MAGIC, PAGE_BYTES - PAGE_AT_MAGIC, seed_of_place()));
    memcpy(data, page, bytes);
    return bytes;
}
#endif
