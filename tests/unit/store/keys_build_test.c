#include "store/keys.h"

#include <criterion/criterion.h>
#include <string.h>

#include "records.h"

static const struct page_source here = {.file = "data-1.dat", .offset = 4096, .seed = 1};

Test(keys_build, a_run_of_items_is_copied_as_it_is)
{
    static struct model model;
    struct random random;
    random_seed(&random, 14);
    uint8_t page[STORE_PAGE_BYTES], copy[STORE_PAGE_BYTES];
    for (int round = 0; round < 40 * KEY_STYLES; round++) {
        fill_page(&random, (enum key_style)(round % KEY_STYLES), 50, &model, page);
        uint32_t begin = (uint32_t)random_below(&random, model.count);
        uint32_t count = 1 + (uint32_t)random_below(&random, model.count - begin);
        struct keys_builder builder;
        struct page_key first = keys_get(page, begin);
        cr_assert_eq(leaf_begin(&builder, copy, 7, count, page_prefix_bytes(page), &first), 0);
        cr_assert_eq(keys_add_run(&builder, page, begin, count), 0);
        leaf_end(&builder);
        cr_assert_eq(leaf_check(copy, &here), 0);
        for (uint32_t i = 0; i < count; i++) {
            struct leaf_entry entry;
            struct page_key key = keys_get(copy, i);
            struct page_key own = page_key_of(record_key(model.records[begin + i]));
            leaf_get(copy, i, &entry);
            cr_assert_eq(page_key_compare(&key, &own), 0);
            cr_assert(entries_same(&entry, &model.records[begin + i]->entry));
        }
        model_clear(&model);
    }
}

/* A page of `count` keys with `extra` bytes behind the slots, begun only. */
static int begin(uint32_t count, uint32_t prefix_bytes, uint32_t extra)
{
    static uint8_t bytes[STORE_KEY_BYTES_MAX];
    uint8_t page[STORE_PAGE_BYTES];
    struct page_key key = page_key_of(slice_of(bytes, sizeof(bytes)));
    struct keys_builder builder;
    struct keys_layout layout = {
        .kind = PAGE_KIND_LEAF,
        .count = count,
        .prefix_bytes = prefix_bytes,
        .extra = extra,
    };
    return keys_begin(&builder, page, &layout, &key);
}

Test(keys_build, a_directory_that_does_not_fit_is_refused)
{
    cr_assert_eq(begin(1, STORE_KEY_BYTES_MAX, 4096 - 32 - STORE_KEY_BYTES_MAX - 6), 0);
    cr_assert_eq(begin(1, STORE_KEY_BYTES_MAX, 4096 - 32 - STORE_KEY_BYTES_MAX - 5), ERR_FULL);
    cr_assert_eq(begin(677, 0, 2), 0);
    cr_assert_eq(begin(677, 0, 3), ERR_FULL);
    cr_assert_eq(begin(678, 0, 0), ERR_FULL);
}

Test(keys_build, a_page_without_keys_holds_only_what_is_extra)
{
    uint8_t page[STORE_PAGE_BYTES];
    memset(page, 0xff, sizeof(page));
    struct keys_builder builder;
    struct keys_layout layout = {.kind = PAGE_KIND_BRANCH, .level = 3, .space = 9, .extra = 4};
    cr_assert_eq(keys_begin(&builder, page, &layout, NULL), 0);
    memset(page + PAGE_HEADER_BYTES, 0x11, 4);
    keys_end(&builder);
    cr_assert_eq(keys_check(page, 4, &here), 0);
    cr_assert_eq(page_bytes_used(page), 36);
    cr_assert_eq(page_level(page), 3);
    cr_assert_eq(page_space(page), 9);
    for (uint32_t at = 36; at < STORE_PAGE_BYTES; at++) {
        cr_assert_eq(page[at], 0);
    }
}

Test(keys_build, a_run_that_does_not_fit_is_refused_and_changes_nothing)
{
    uint8_t page[STORE_PAGE_BYTES], copy[STORE_PAGE_BYTES];
    static uint8_t value[1500];
    struct keys_builder builder;
    struct leaf_entry entry = {.value = slice_of(value, sizeof(value))};
    struct page_key a = page_key_of(slice_cstr("a"));
    struct page_key b = page_key_of(slice_cstr("b"));
    struct page_key c = page_key_of(slice_cstr("c"));
    cr_assert_eq(leaf_begin(&builder, page, 7, 2, 0, &b), 0);
    cr_assert_eq(leaf_add(&builder, &b, &entry), 0);
    cr_assert_eq(leaf_add(&builder, &c, &entry), 0);
    leaf_end(&builder);
    cr_assert_eq(leaf_begin(&builder, copy, 7, 3, 0, &a), 0);
    cr_assert_eq(leaf_add(&builder, &a, &entry), 0);
    struct keys_builder before = builder;
    cr_assert_eq(keys_add_run(&builder, page, 0, 2), ERR_FULL);
    cr_assert_eq(builder.at, before.at);
    cr_assert_eq(builder.added, before.added);
    cr_assert_eq(keys_add_run(&builder, page, 0, 1), 0);
    entry.value = slice_of(value, 10);
    cr_assert_eq(leaf_add(&builder, &c, &entry), 0);
    leaf_end(&builder);
    cr_assert_eq(leaf_check(copy, &here), 0);
}
