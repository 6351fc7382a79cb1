#include "store/branch.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "records.h"

static const struct page_source here = {.file = "data-1.dat", .offset = 8192, .seed = 78};

static void quiet(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
}

/* A branch whose separators are the model's keys; child i is page 100 + i. */
static int build(const struct model *model, uint32_t separators, uint32_t prefix_bytes,
                 uint8_t *page)
{
    struct keys_builder builder;
    struct branch_layout layout = {
        .space = 7,
        .level = 2,
        .count = separators + 1,
        .prefix_bytes = prefix_bytes,
    };
    struct page_key key = {0};
    if (separators > 0) {
        key = page_key_of(record_key(model->records[0]));
    }
    TRY(branch_begin(&builder, page, &layout, &key, (struct page_id){100}));
    for (uint32_t i = 0; i < separators; i++) {
        key = page_key_of(record_key(model->records[i]));
        TRY(branch_add(&builder, &key, (struct page_id){101 + i}));
    }
    branch_end(&builder);
    return 0;
}

/* Fills the model with separators as long as they fit. */
static void fill(struct random *random, enum key_style style, uint32_t count, struct model *model,
                 uint8_t *page)
{
    static struct record record;
    for (uint32_t tries = 0; tries < 3 * count && model->count < count; tries++) {
        record.key_bytes = random_key(random, style, record.key);
        model_put(model, &record);
    }
    while (build(model, model->count, model_common(model, 0, model->count), page) < 0) {
        model_remove(model, (uint32_t)random_below(random, model->count));
    }
}

static void compare_find(const struct model *model, const uint8_t *page, struct slice key)
{
    bool found;
    uint32_t expected = model_find(model, key, &found) + found;
    cr_assert_eq(branch_find(page, key), expected);
}

Test(branch, leads_every_key_to_the_child_that_holds_it)
{
    static struct model model;
    static uint8_t key[STORE_KEY_BYTES_MAX];
    struct random random;
    random_seed(&random, 31);
    uint8_t page[STORE_PAGE_BYTES];
    static const uint32_t counts[] = {1, 2, 5, 30, 100, 450};
    for (int round = 0; round < 6 * KEY_STYLES * 4; round++) {
        enum key_style style = (enum key_style)(round % KEY_STYLES);
        fill(&random, style, counts[round / KEY_STYLES % 6], &model, page);
        cr_assert_eq(branch_check(page, &here), 0);
        cr_assert_eq(branch_count(page), model.count + 1);
        for (uint32_t i = 0; i < model.count; i++) {
            struct slice own = record_key(model.records[i]);
            compare_find(&model, page, own);
            cr_assert_eq(branch_find(page, own), i + 1);
            cr_assert_eq(branch_child(page, i + 1).value, 101 + i);
            uint32_t bytes = branch_separator_copy(page, i + 1, key);
            cr_assert(slice_equal(slice_of(key, bytes), own));
            compare_find(&model, page, slice_of(key, bytes / 2));
            compare_find(&model, page, slice_of(key, random_key(&random, style, key)));
        }
        cr_assert_eq(branch_child(page, 0).value, 100);
        compare_find(&model, page, slice_of(NULL, 0));
        model_clear(&model);
    }
}

Test(branch, may_have_one_child_and_no_separator)
{
    uint8_t page[STORE_PAGE_BYTES];
    cr_assert_eq(build(NULL, 0, 0, page), 0);
    cr_assert_eq(branch_check(page, &here), 0);
    cr_assert_eq(branch_count(page), 1);
    cr_assert_eq(branch_find(page, slice_cstr("any")), 0);
    cr_assert_eq(branch_find(page, slice_of(NULL, 0)), 0);
}

/* `count` children with separators of 4 bytes, which cost no item. */
static int build_many(uint32_t count, uint8_t *page)
{
    struct keys_builder builder;
    struct branch_layout layout = {.space = 7, .level = 1, .count = count};
    uint8_t bytes[4];
    struct page_key key = page_key_of(slice_of(bytes, 4));
    TRY(branch_begin(&builder, page, &layout, &key, (struct page_id){0}));
    for (uint32_t i = 1; i < count; i++) {
        store_be32(bytes, i);
        TRY(branch_add(&builder, &key, (struct page_id){i}));
    }
    branch_end(&builder);
    return 0;
}

Test(branch, holds_its_limit_of_children_and_not_one_more)
{
    uint8_t page[STORE_PAGE_BYTES];
    uint8_t bytes[4];
    cr_assert_eq(build_many(BRANCH_CHILDREN_MAX, page), 0);
    cr_assert_eq(branch_check(page, &here), 0);
    for (uint32_t i = 0; i < BRANCH_CHILDREN_MAX; i++) {
        store_be32(bytes, i);
        cr_assert_eq(branch_find(page, slice_of(bytes, 4)), i);
    }
    cr_assert_eq(build_many(BRANCH_CHILDREN_MAX + 1, page), ERR_FULL);
}

/* Two long separators leave `last` bytes for a third. */
static int build_with_last(uint32_t last_bytes, uint8_t *page)
{
    static uint8_t bytes[STORE_KEY_BYTES_MAX];
    struct keys_builder builder;
    struct branch_layout layout = {.space = 7, .level = 1, .count = 4};
    struct page_key key = page_key_of(slice_of(bytes, STORE_KEY_BYTES_MAX));
    TRY(branch_begin(&builder, page, &layout, &key, (struct page_id){0}));
    for (uint8_t i = 1; i < 3; i++) {
        memset(bytes, i, sizeof(bytes));
        TRY(branch_add(&builder, &key, (struct page_id){i}));
    }
    memset(bytes, 3, sizeof(bytes));
    key = page_key_of(slice_of(bytes, last_bytes));
    TRY(branch_add(&builder, &key, (struct page_id){3}));
    branch_end(&builder);
    return 0;
}

Test(branch, is_filled_to_its_last_byte_and_not_beyond)
{
    uint8_t page[STORE_PAGE_BYTES];
    /* header, 3 x (head, slot), 4 children, two items of length and rest; the third the same */
    uint32_t left = STORE_PAGE_BYTES - 32 - 18 - 16 - 2 * (2 + STORE_KEY_BYTES_MAX - 4);
    uint32_t last = left - 2 + 4;
    cr_assert_eq(build_with_last(last, page), 0);
    cr_assert_eq(page_bytes_used(page), STORE_PAGE_BYTES);
    cr_assert_eq(branch_check(page, &here), 0);
    cr_assert_eq(build_with_last(last + 1, page), ERR_FULL);
}

/* Uses everything of a page that passed its checks. */
static void use_all(struct random *random, const uint8_t *page)
{
    static uint8_t key[STORE_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < branch_count(page); i++) {
        cr_assert_not(page_id_is_none(branch_child(page, i)));
        if (i > 0) {
            uint32_t bytes = branch_separator_copy(page, i, key);
            cr_assert_eq(branch_find(page, slice_of(key, bytes)), i);
        }
    }
    for (int i = 0; i < 8; i++) {
        uint32_t bytes = random_key(random, (enum key_style)(i % KEY_STYLES), key);
        cr_assert(branch_find(page, slice_of(key, bytes)) < branch_count(page));
    }
}

Test(branch, no_page_with_a_right_checksum_leads_outside, .init = quiet)
{
    static struct model model;
    struct random random;
    random_seed(&random, 32);
    uint8_t page[STORE_PAGE_BYTES], broken[STORE_PAGE_BYTES];
    struct page_expect expect = {.kind = PAGE_KIND_BRANCH, .id = {1}, .space = 7};
    uint32_t passed = 0, refused = 0;
    for (int round = 0; round < 400; round++) {
        fill(&random, (enum key_style)(round % KEY_STYLES), 20, &model, page);
        page_set_id(page, expect.id);
        for (int variant = 0; variant < 100; variant++) {
            memcpy(broken, page, sizeof(page));
            for (uint64_t i = 1 + random_below(&random, 3); i > 0; i--) {
                uint64_t at = random_below(&random, 3) == 0
                                  ? PAGE_AT_KEYS + random_below(&random, 7)
                                  : PAGE_HEADER_BYTES + random_below(&random, 400);
                broken[at] ^= (uint8_t)(1 << random_below(&random, 8));
            }
            store_le64(broken, checksum64(broken + 8, STORE_PAGE_BYTES - 8, here.seed));
            if (page_check(broken, &here, &expect) < 0 || branch_check(broken, &here) < 0) {
                refused++;
                continue;
            }
            passed++;
            use_all(&random, broken);
        }
        model_clear(&model);
    }
    cr_assert(passed > 3000 && refused > 3000, "%u passed, %u refused", passed, refused);
}

Test(branch, a_child_without_a_page_or_a_separator_with_more_is_refused, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    cr_assert_eq(build_many(3, page), 0);
    cr_assert_eq(branch_check(page, &here), 0);
    store_le32(page + 32 + 12 + 4, PAGE_ID_NONE.value); /* child 1 behind two heads and slots */
    cr_assert_eq(branch_check(page, &here), ERR_CORRUPT);
    cr_assert_eq(build_many(3, page), 0);
    store_le16(page + PAGE_AT_CONTENT_END, (uint16_t)(page_bytes_used(page) + 1));
    cr_assert_eq(branch_check(page, &here), ERR_CORRUPT);
}
