#include "store/leaf.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "records.h"

static const struct page_source here = {.file = "data-1.dat", .offset = 8192, .seed = 77};

static void quiet(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
}

static void compare_page(const struct model *model, uint32_t begin, uint32_t end,
                         const uint8_t *page)
{
    static uint8_t key[STORE_KEY_BYTES_MAX];
    cr_assert_eq(leaf_check(page, &here), 0);
    cr_assert_eq(leaf_count(page), end - begin);
    for (uint32_t i = begin; i < end; i++) {
        const struct record *record = model->records[i];
        struct leaf_entry entry;
        uint32_t index;
        cr_assert(leaf_find(page, record_key(record), &index));
        cr_assert_eq(index, i - begin);
        leaf_get(page, index, &entry);
        cr_assert(entries_same(&entry, &record->entry));
        cr_assert_eq(leaf_value_bytes(&entry), leaf_value_bytes(&record->entry));
        uint32_t bytes = leaf_key_copy(page, index, key);
        cr_assert(slice_equal(slice_of(key, bytes), record_key(record)));
    }
}

Test(leaf, random_records_come_back_as_they_went_in)
{
    static struct model model;
    static struct record record;
    struct random random;
    random_seed(&random, 21);
    uint8_t page[STORE_PAGE_BYTES];
    for (int round = 0; round < 3000; round++) {
        enum key_style style = (enum key_style)(round % KEY_STYLES);
        uint32_t value_max = (uint32_t)1 << random_below(&random, 11);
        for (int i = 0; i < 40; i++) {
            record.key_bytes = random_key(&random, style, record.key);
            random_entry(&random, &record, value_max);
            model_put(&model, &record);
        }
        uint32_t end = 1;
        while (end < model.count &&
               model_build(&model, 0, end + 1, model_common(&model, 0, end + 1), page) == 0) {
            end++;
        }
        cr_assert(end >= 2, "any two records fit");
        memset(page, 0xa5, sizeof(page));
        cr_assert_eq(model_build(&model, 0, end, model_common(&model, 0, end), page), 0);
        compare_page(&model, 0, end, page);
        for (uint32_t at = page_bytes_used(page); at < STORE_PAGE_BYTES; at++) {
            cr_assert_eq(page[at], 0, "padding");
        }
        model_clear(&model);
    }
}

Test(leaf, takes_any_two_records_of_the_largest_size)
{
    static struct model model;
    static struct record record;
    uint8_t page[STORE_PAGE_BYTES];
    for (int i = 0; i < 2; i++) {
        record.key_bytes = STORE_KEY_BYTES_MAX;
        memset(record.key, i == 0 ? 'a' : 'z', STORE_KEY_BYTES_MAX);
        memset(record.value, 'v', sizeof(record.value));
        record.entry = (struct leaf_entry){
            .value = slice_of(record.value, STORE_INLINE_BYTES_MAX - STORE_KEY_BYTES_MAX),
            .expire_ms = INT64_MIN,
            .type = 255,
            .meta = 255,
        };
        model_put(&model, &record);
    }
    cr_assert_eq(model_build(&model, 0, 2, 0, page), 0);
    compare_page(&model, 0, 2, page);
    model_clear(&model);
}

/* Builds one record of a 1-byte key beside `others` of the largest values: what is left decides. */
static int build_with_last(uint32_t last_bytes, uint8_t *page)
{
    static uint8_t value[STORE_INLINE_BYTES_MAX];
    struct keys_builder builder;
    struct page_key key = page_key_of(slice_cstr("a"));
    struct leaf_entry entry = {.value = slice_of(value, STORE_INLINE_BYTES_MAX - 1)};
    TRY(leaf_begin(&builder, page, 7, 3, 0, &key));
    TRY(leaf_add(&builder, &key, &entry));
    key = page_key_of(slice_cstr("b"));
    TRY(leaf_add(&builder, &key, &entry));
    key = page_key_of(slice_cstr("c"));
    entry.value = slice_of(value, last_bytes);
    uint32_t at = builder.at;
    int err = leaf_add(&builder, &key, &entry);
    if (err < 0) {
        cr_assert_eq(builder.at, at);
        cr_assert_eq(builder.added, 2);
        entry.value = slice_of(value, 0);
        TRY(leaf_add(&builder, &key, &entry));
        leaf_end(&builder);
        return err;
    }
    leaf_end(&builder);
    return 0;
}

Test(leaf, is_filled_to_its_last_byte_and_not_beyond)
{
    uint8_t page[STORE_PAGE_BYTES];
    /* header, 3 x (head, slot, info), two values */
    uint32_t left = STORE_PAGE_BYTES - 32 - 3 * 7 - 2 * (STORE_INLINE_BYTES_MAX - 1);
    cr_assert_eq(build_with_last(left, page), 0);
    cr_assert_eq(page_bytes_used(page), STORE_PAGE_BYTES);
    cr_assert_eq(leaf_check(page, &here), 0);
    cr_assert_eq(build_with_last(left + 1, page), ERR_FULL);
    cr_assert_eq(leaf_check(page, &here), 0); /* a refusal leaves the page usable */
    cr_assert_eq(leaf_count(page), 3);
}

Test(leaf, holds_the_smallest_records_up_to_the_limit)
{
    uint8_t page[STORE_PAGE_BYTES];
    uint8_t bytes[2];
    struct keys_builder builder;
    struct leaf_entry empty = {0};
    struct page_key key = page_key_of(slice_of(bytes, 2));
    cr_assert_eq(leaf_begin(&builder, page, 7, LEAF_ENTRIES_MAX, 0, &key), 0);
    for (uint32_t i = 0; i < LEAF_ENTRIES_MAX; i++) {
        store_be16(bytes, (uint16_t)i);
        cr_assert_eq(leaf_add(&builder, &key, &empty), 0);
    }
    leaf_end(&builder);
    cr_assert_eq(leaf_check(page, &here), 0);
    cr_assert_eq(leaf_count(page), LEAF_ENTRIES_MAX);
    cr_assert_eq(leaf_begin(&builder, page, 7, LEAF_ENTRIES_MAX + 1, 0, &key), 0);
    int err = 0;
    uint32_t added = 0;
    for (; added < LEAF_ENTRIES_MAX + 1 && err == 0; added++) {
        store_be16(bytes, (uint16_t)added);
        err = leaf_add(&builder, &key, &empty);
    }
    cr_assert_eq(err, ERR_FULL);
    cr_assert_eq(added - 1, PAGE_CONTENT_BYTES_MAX - 6 * (LEAF_ENTRIES_MAX + 1));
    cr_assert_eq(leaf_begin(&builder, page, 7, 4064 / 6 + 1, 0, &key), ERR_FULL);
}

Test(leaf, stores_what_is_default_in_no_bytes)
{
    struct leaf_entry entry = {.value = slice_cstr("12345")};
    cr_assert_eq(leaf_entry_bytes(&entry), 6);
    entry.meta = 1;
    cr_assert_eq(leaf_entry_bytes(&entry), 8);
    entry.expire_ms = 5;
    cr_assert_eq(leaf_entry_bytes(&entry), 16);
    entry = (struct leaf_entry){.is_extent = true};
    cr_assert_eq(leaf_entry_bytes(&entry), 25);
}

/* ---- damage that has a right checksum ---- */

/* One record of key "k", type 1, expiry 5 and an extent: info at 38, tag 39, expiry 41, extent 49,
 * end 73. */
static void one_record(uint8_t *page)
{
    struct keys_builder builder;
    struct page_key key = page_key_of(slice_cstr("k"));
    struct leaf_entry entry = {
        .is_extent = true,
        .extent = {.pos = file_pos_make(3, 4), .bytes = 5000, .checksum = 6},
        .expire_ms = 5,
        .type = 1,
    };
    cr_assert_eq(leaf_begin(&builder, page, 7, 1, 0, &key), 0);
    cr_assert_eq(leaf_add(&builder, &key, &entry), 0);
    leaf_end(&builder);
    cr_assert_eq(leaf_check(page, &here), 0);
    cr_assert_eq(page_bytes_used(page), 73);
}

static int check_with(uint32_t at, uint64_t value, uint32_t bytes)
{
    uint8_t page[STORE_PAGE_BYTES];
    uint8_t image[8];
    one_record(page);
    store_le64(image, value);
    memcpy(page + at, image, bytes);
    return leaf_check(page, &here);
}

Test(leaf, a_record_that_makes_no_sense_is_refused, .init = quiet)
{
    cr_assert_eq(check_with(PAGE_AT_KEYS, 0, 2), ERR_CORRUPT);
    cr_assert_eq(check_with(PAGE_AT_CONTENT_END, 38, 2), ERR_CORRUPT); /* nothing of it there */
    cr_assert_eq(check_with(PAGE_AT_CONTENT_END, 45, 2), ERR_CORRUPT); /* its expiry is cut */
    cr_assert_eq(check_with(PAGE_AT_CONTENT_END, 72, 2), ERR_CORRUPT);
    cr_assert_eq(check_with(PAGE_AT_CONTENT_END, 74, 2), ERR_CORRUPT);
    cr_assert_eq(check_with(38, 0x0f, 1), ERR_CORRUPT); /* an unknown bit */
    cr_assert_eq(check_with(38, 0x87, 1), ERR_CORRUPT);
    cr_assert_eq(check_with(39, 0, 2), ERR_CORRUPT);
    cr_assert_eq(check_with(41, 0, 8), ERR_CORRUPT);
    cr_assert_eq(check_with(49, UINT64_MAX, 8), ERR_CORRUPT);
    cr_assert_eq(check_with(49, FILE_POS_PAGES_MAX - 1, 8), ERR_CORRUPT); /* two pages */
    cr_assert_eq(check_with(49, FILE_POS_PAGES_MAX - 2, 8), 0);
    cr_assert_eq(check_with(57, 0, 8), ERR_CORRUPT);
    cr_assert_eq(check_with(57, STORE_VALUE_BYTES_MAX, 8), 0);
    cr_assert_eq(check_with(57, STORE_VALUE_BYTES_MAX + 1ul, 8), ERR_CORRUPT);
}

Test(leaf, a_record_larger_than_any_that_was_put_is_refused, .init = quiet)
{
    static uint8_t value[STORE_INLINE_BYTES_MAX];
    uint8_t page[STORE_PAGE_BYTES];
    struct keys_builder builder;
    struct page_key key = page_key_of(slice_cstr("k"));
    struct leaf_entry entry = {.value = slice_of(value, STORE_INLINE_BYTES_MAX - 1)};
    cr_assert_eq(leaf_begin(&builder, page, 7, 1, 0, &key), 0);
    cr_assert_eq(leaf_add(&builder, &key, &entry), 0);
    leaf_end(&builder);
    cr_assert_eq(leaf_check(page, &here), 0);
    store_le16(page + PAGE_AT_CONTENT_END, (uint16_t)(page_bytes_used(page) + 1));
    cr_assert_eq(leaf_check(page, &here), ERR_CORRUPT);
}

/* Uses everything of a page that passed its checks. */
static uint64_t use_all(struct random *random, const uint8_t *page)
{
    static uint8_t key[STORE_KEY_BYTES_MAX];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < leaf_count(page); i++) {
        struct leaf_entry entry;
        leaf_get(page, i, &entry);
        sum += hash64(entry.value.data, entry.value.bytes, entry.extent.bytes);
        uint32_t bytes = leaf_key_copy(page, i, key);
        uint32_t index;
        cr_assert(leaf_find(page, slice_of(key, bytes), &index));
        cr_assert_eq(index, i);
        sum += i > 0 ? keys_common(page, i) : 0;
    }
    for (int i = 0; i < 8; i++) {
        uint32_t index;
        uint32_t bytes = random_key(random, (enum key_style)(i % KEY_STYLES), key);
        sum += leaf_find(page, slice_of(key, bytes), &index);
        cr_assert(index <= leaf_count(page));
    }
    return sum;
}

/* Changes some bytes of the header's lengths, the directory or anything. */
static void damage(struct random *random, uint8_t *page)
{
    uint64_t changes = 1 + random_below(random, 4);
    for (uint64_t i = 0; i < changes; i++) {
        uint64_t where = random_below(random, 4);
        uint64_t at = where == 0   ? PAGE_AT_KEYS + random_below(random, 6)
                      : where == 1 ? PAGE_HEADER_BYTES + random_below(random, 200)
                                   : 8 + random_below(random, STORE_PAGE_BYTES - 8);
        page[at] = random_below(random, 2) ? (uint8_t)random_u64(random)
                                           : (uint8_t)(page[at] ^ 1 << random_below(random, 8));
    }
}

Test(leaf, no_page_with_a_right_checksum_leads_outside, .init = quiet)
{
    static struct model model;
    static struct record record;
    struct random random;
    random_seed(&random, 22);
    uint8_t page[STORE_PAGE_BYTES], broken[STORE_PAGE_BYTES];
    struct page_expect expect = {.kind = PAGE_KIND_LEAF, .id = {1}, .space = 7};
    uint32_t passed = 0, refused = 0;
    for (int round = 0; round < 600; round++) {
        enum key_style style = (enum key_style)(round % KEY_STYLES);
        for (int i = 0; i < 12; i++) {
            record.key_bytes = random_key(&random, style, record.key);
            random_entry(&random, &record, 60);
            model_put(&model, &record);
        }
        uint32_t end = model.count;
        while (model_build(&model, 0, end, model_common(&model, 0, end), page) < 0) {
            end--;
        }
        page_set_id(page, expect.id);
        for (int variant = 0; variant < 100; variant++) {
            memcpy(broken, page, sizeof(page));
            damage(&random, broken);
            store_le64(broken, checksum64(broken + 8, STORE_PAGE_BYTES - 8, here.seed));
            if (page_check(broken, &here, &expect) < 0 || leaf_check(broken, &here) < 0) {
                refused++;
                continue;
            }
            passed++;
            use_all(&random, broken);
        }
        model_clear(&model);
    }
    cr_assert(passed > 5000 && refused > 5000, "%u passed, %u refused", passed, refused);
}

Test(leaf, random_bytes_behind_a_good_header_lead_nowhere, .init = quiet)
{
    struct random random;
    random_seed(&random, 23);
    uint8_t page[STORE_PAGE_BYTES];
    one_record(page);
    for (int round = 0; round < 20000; round++) {
        for (uint32_t at = PAGE_HEADER_BYTES; at < 128; at++) {
            page[at] = (uint8_t)random_u64(&random);
        }
        store_le16(page + PAGE_AT_KEYS, (uint16_t)random_below(&random, 4));
        store_le16(page + PAGE_AT_PREFIX_BYTES, (uint16_t)random_below(&random, 9));
        store_le16(page + PAGE_AT_CONTENT_END, (uint16_t)(32 + random_below(&random, 96)));
        if (leaf_check(page, &here) == 0) {
            use_all(&random, page);
        }
    }
}
