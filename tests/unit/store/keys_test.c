#include "store/keys.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "records.h"

static const struct page_source here = {.file = "data-1.dat", .offset = 4096, .seed = 1};

static void quiet(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
}

/* Splits a key into the runs that a page of this prefix would give. */
static struct page_key split(struct slice key, uint32_t prefix_bytes)
{
    struct page_key runs = {.prefix = slice_of(key.data, prefix_bytes)};
    struct slice suffix = slice_skip(key, prefix_bytes);
    runs.head_bytes = (uint8_t)(suffix.bytes < 4 ? suffix.bytes : 4);
    memcpy(runs.head, suffix.data, runs.head_bytes);
    runs.rest = slice_skip(suffix, runs.head_bytes);
    return runs;
}

static uint32_t plain_common(struct slice a, struct slice b)
{
    uint32_t at = 0;
    while (at < a.bytes && at < b.bytes && a.data[at] == b.data[at]) {
        at++;
    }
    return at;
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

Test(keys, keys_in_runs_compare_and_copy_as_keys_in_one_piece)
{
    struct random random;
    random_seed(&random, 11);
    static uint8_t a[STORE_KEY_BYTES_MAX], b[STORE_KEY_BYTES_MAX], copy[STORE_KEY_BYTES_MAX];
    for (int round = 0; round < 20000; round++) {
        enum key_style style = (enum key_style)(round % KEY_STYLES);
        struct slice x = slice_of(a, random_key(&random, style, a));
        struct slice y = slice_of(b, random_key(&random, style, b));
        struct page_key x_runs = split(x, (uint32_t)random_below(&random, x.bytes + 1));
        struct page_key y_runs = split(y, (uint32_t)random_below(&random, y.bytes + 1));
        struct page_key y_whole = page_key_of(y);
        cr_assert_eq(page_key_bytes(&x_runs), x.bytes);
        cr_assert_eq(page_key_common(&x_runs, &y_runs), plain_common(x, y));
        cr_assert_eq(page_key_common(&x_runs, &y_whole), plain_common(x, y));
        cr_assert_eq(page_key_common(&x_runs, &x_runs), x.bytes);
        cr_assert_eq(sign(page_key_compare(&x_runs, &y_runs)), sign(slice_compare(x, y)));
        cr_assert_eq(sign(page_key_compare(&y_whole, &x_runs)), sign(slice_compare(y, x)));
        uint32_t from = (uint32_t)random_below(&random, x.bytes + 1);
        uint32_t end = from + (uint32_t)random_below(&random, x.bytes - from + 1);
        page_key_copy(&x_runs, from, end, copy);
        cr_assert(memcmp(copy, a + from, end - from) == 0);
    }
}

Test(keys, the_cost_of_a_key_counts_head_slot_rest_and_long_lengths)
{
    cr_assert_eq(keys_cost(10, 10), 6);
    cr_assert_eq(keys_cost(14, 10), 6);
    cr_assert_eq(keys_cost(15, 10), 7);
    cr_assert_eq(keys_cost(24, 10), 16); /* a suffix of 14: the slot says so */
    cr_assert_eq(keys_cost(25, 10), 19); /* of 15: two bytes say so */
}

static void compare_find(const struct model *model, const uint8_t *page, struct slice key)
{
    bool found, expected;
    uint32_t index = keys_find(page, key, &found);
    cr_assert_eq(index, model_find(model, key, &expected));
    cr_assert_eq(found, expected);
}

/* All keys, keys one byte off, keys cut and lengthened, random ones. */
static void compare_all(struct random *random, enum key_style style, const struct model *model,
                        const uint8_t *page)
{
    static uint8_t key[STORE_KEY_BYTES_MAX + 1];
    for (uint32_t i = 0; i < model->count; i++) {
        struct slice own = record_key(model->records[i]);
        compare_find(model, page, own);
        memcpy(key, own.data, own.bytes);
        compare_find(model, page, slice_of(key, own.bytes / 2));
        key[own.bytes] = 0;
        compare_find(model, page, slice_of(key, own.bytes + 1));
        if (own.bytes > 0) {
            compare_find(model, page, slice_of(key, own.bytes - 1));
            key[random_below(random, own.bytes)] += (uint8_t)(random_below(random, 2) ? 1 : 255);
            compare_find(model, page, slice_of(key, own.bytes));
        }
        compare_find(model, page, slice_of(key, random_key(random, style, key)));
    }
    compare_find(model, page, slice_of(NULL, 0));
    memset(key, 0xff, sizeof(key));
    compare_find(model, page, slice_of(key, 5));
    compare_find(model, page, slice_of(key, STORE_KEY_BYTES_MAX));
}

Test(keys, search_agrees_with_a_sorted_array)
{
    static struct model model;
    struct random random;
    random_seed(&random, 12);
    uint8_t page[STORE_PAGE_BYTES];
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 7, 8, 34, 47, 48, 49, 97, 200, 600};
    for (int round = 0; round < 14 * KEY_STYLES * 2; round++) {
        enum key_style style = (enum key_style)(round % KEY_STYLES);
        fill_page(&random, style, counts[round / KEY_STYLES % 14], &model, page);
        cr_assert_eq(keys_check(page, 0, &here), 0);
        compare_all(&random, style, &model, page);
        model_clear(&model);
    }
}

Test(keys, keys_come_back_and_neighbours_share_what_they_share)
{
    static struct model model;
    struct random random;
    random_seed(&random, 13);
    uint8_t page[STORE_PAGE_BYTES];
    static uint8_t key[STORE_KEY_BYTES_MAX];
    for (int round = 0; round < 20 * KEY_STYLES; round++) {
        fill_page(&random, (enum key_style)(round % KEY_STYLES), 60, &model, page);
        for (uint32_t i = 0; i < model.count; i++) {
            struct slice own = record_key(model.records[i]);
            struct page_key runs = keys_get(page, i);
            cr_assert_eq(page_key_bytes(&runs), own.bytes);
            page_key_copy(&runs, 0, (uint32_t)own.bytes, key);
            cr_assert(slice_equal(own, slice_of(key, own.bytes)));
            if (i > 0) {
                cr_assert_eq(keys_common(page, i),
                             plain_common(record_key(model.records[i - 1]), own));
            }
        }
        model_clear(&model);
    }
}

/* ---- damage that has a right checksum ---- */

/* Three keys "ab1", "ab2...", "ab3" of a leaf with the prefix "ab": slots at 46, items at 52. */
static void three_keys(uint8_t *page)
{
    struct keys_builder builder;
    static const char *const names[] = {"ab1", "ab2 is a rather long key", "ab3"};
    struct page_key key = page_key_of(slice_cstr(names[0]));
    struct leaf_entry entry = {.value = slice_cstr("value")};
    cr_assert_eq(leaf_begin(&builder, page, 7, 3, 2, &key), 0);
    for (int i = 0; i < 3; i++) {
        key = page_key_of(slice_cstr(names[i]));
        cr_assert_eq(leaf_add(&builder, &key, &entry), 0);
    }
    leaf_end(&builder);
    cr_assert_eq(keys_check(page, 0, &here), 0);
}

enum { HEADS_AT = 34, SLOTS_AT = 46, ITEMS_AT = 52 };

static int check_with_u16(uint32_t at, uint16_t value)
{
    uint8_t page[STORE_PAGE_BYTES];
    three_keys(page);
    store_le16(page + at, value);
    return keys_check(page, 0, &here);
}

Test(keys, a_directory_that_reaches_outside_is_refused, .init = quiet)
{
    cr_assert_eq(check_with_u16(PAGE_AT_KEYS, 700), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(PAGE_AT_KEYS, 2), ERR_CORRUPT); /* then items begin too late */
    cr_assert_eq(check_with_u16(PAGE_AT_PREFIX_BYTES, 3), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(PAGE_AT_CONTENT_END, ITEMS_AT - 1), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(PAGE_AT_CONTENT_END, ITEMS_AT), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT, 1 << 12 | 0), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT, 1 << 12 | (ITEMS_AT - 32 + 1)), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT + 2, 15 << 12 | 0xfff), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT + 2, 15 << 12 | 1), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT + 4, 1 << 12 | (ITEMS_AT - 32)), ERR_CORRUPT);
}

Test(keys, a_key_of_impossible_length_or_order_is_refused, .init = quiet)
{
    uint32_t second = ITEMS_AT + 6;                        /* info and "value" stand before */
    cr_assert_eq(check_with_u16(second, 14), ERR_CORRUPT); /* the slot could say it */
    cr_assert_eq(check_with_u16(second, 2000), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(second, 300), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(SLOTS_AT, 14 << 12 | (ITEMS_AT - 32)), ERR_CORRUPT);
    cr_assert_eq(check_with_u16(HEADS_AT, 0x0001), ERR_CORRUPT);     /* not filled with zeros */
    cr_assert_eq(check_with_u16(HEADS_AT + 2, 0x3900), ERR_CORRUPT); /* above the next */
    cr_assert_eq(check_with_u16(HEADS_AT + 10, 0x3100), ERR_CORRUPT);
}

Test(keys, equal_keys_are_refused, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    three_keys(page);
    store_le32(page + HEADS_AT, 0x33000000); /* "ab3" */
    store_le32(page + HEADS_AT + 4, 0x33000000);
    cr_assert_eq(keys_check(page, 0, &here), ERR_CORRUPT);
}
