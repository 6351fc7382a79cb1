#include "store/page.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/logger.h"
#include "base/random.h"
#include "records.h"

enum { STORE_ID = 0x1234, PARTITION = 9, SPACE = 7, ID = 42 };

static const struct page_expect expect_leaf = {
    .kind = PAGE_KIND_LEAF,
    .id = {ID},
    .space = SPACE,
};

static struct page_source source_of(struct file_pos pos)
{
    return (struct page_source){
        .file = "p0009/data-5.dat",
        .offset = file_pos_offset(pos),
        .seed = page_seed(STORE_ID, PARTITION, pos),
    };
}

/* A leaf of 30 records, sealed for file 5, page 17. */
static struct page_source make_page(uint8_t *page)
{
    struct model model = {0};
    struct random random;
    random_seed(&random, 1);
    struct record record;
    while (model.count < 30) {
        record.key_bytes = random_key(&random, KEYS_DIGITS, record.key);
        random_entry(&random, &record, 80);
        model_put(&model, &record);
    }
    cr_assert_eq(model_build(&model, 0, 30, model_common(&model, 0, 30), page), 0);
    model_clear(&model);
    struct page_source source = source_of(file_pos_make(5, 17));
    page_set_id(page, (struct page_id){ID});
    page_seal(page, source.seed);
    return source;
}

static void quiet(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
}

Test(page, positions_keep_file_and_page_at_their_limits)
{
    static const uint64_t files[] = {0, 1, 77, FILE_POS_FILE_MAX};
    static const uint32_t pages[] = {0, 1, 255, FILE_POS_PAGES_MAX - 1};
    for (int f = 0; f < 4; f++) {
        for (int p = 0; p < 4; p++) {
            struct file_pos pos = file_pos_make(files[f], pages[p]);
            cr_assert_eq(file_pos_file(pos), files[f]);
            cr_assert_eq(file_pos_page(pos), pages[p]);
            cr_assert_eq(file_pos_offset(pos), (uint64_t)pages[p] * 4096);
            cr_assert_not(file_pos_is_none(pos));
        }
    }
    cr_assert(file_pos_is_none(FILE_POS_NONE));
    cr_assert(page_id_is_none(PAGE_ID_NONE));
}

Test(page, a_sealed_page_passes_and_says_what_it_is)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    cr_assert_eq(page_check(page, &source, &expect_leaf), 0);
    struct page_expect any = expect_leaf;
    any.kind = PAGE_KIND_ANY;
    cr_assert_eq(page_check(page, &source, &any), 0);
    cr_assert_eq(page_kind(page), PAGE_KIND_LEAF);
    cr_assert_eq(page_id(page).value, ID);
    cr_assert_eq(page_space(page), SPACE);
    cr_assert_eq(page_level(page), 0);
    cr_assert_eq(page_keys(page), 30);
}

Test(page, every_bit_flip_is_detected, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    for (uint32_t bit = 0; bit < STORE_PAGE_BYTES * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT, "bit %u", bit);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(page_check(page, &source, &expect_leaf), 0);
}

Test(page, padding_that_is_not_zero_is_refused, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    uint32_t end = page_bytes_used(page);
    cr_assert_lt(end, STORE_PAGE_BYTES);
    const uint32_t places[] = {end, STORE_PAGE_BYTES - 1};
    for (int i = 0; i < 2; i++) {
        page[places[i]] = 1;
        page_seal(page, source.seed);
        cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT);
        page[places[i]] = 0;
    }
    page_seal(page, source.seed);
    cr_assert_eq(page_check(page, &source, &expect_leaf), 0);
}

Test(page, a_page_at_another_place_does_not_verify, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    struct file_pos pos = file_pos_make(5, 17);
    uint64_t seeds[] = {
        page_seed(STORE_ID + 1, PARTITION, pos),
        page_seed(STORE_ID, PARTITION + 1, pos),
        page_seed(STORE_ID, PARTITION, file_pos_make(6, 17)),
        page_seed(STORE_ID, PARTITION, file_pos_make(5, 18)),
        page_seed(STORE_ID, PARTITION, file_pos_make(17, 5)),
        page_seed(PARTITION, STORE_ID, pos),
        0,
    };
    for (int i = 0; i < 7; i++) {
        source.seed = seeds[i];
        cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT, "seed %d", i);
    }
}

Test(page, another_page_than_expected_is_refused, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    struct page_expect expect = expect_leaf;
    expect.kind = PAGE_KIND_BRANCH;
    cr_assert_eq(page_check(page, &source, &expect), ERR_CORRUPT);
    expect = expect_leaf;
    expect.id.value = ID + 1;
    cr_assert_eq(page_check(page, &source, &expect), ERR_CORRUPT);
    expect = expect_leaf;
    expect.space = SPACE + 1;
    cr_assert_eq(page_check(page, &source, &expect), ERR_CORRUPT);
}

Test(page, blocks_of_nothing_are_refused, .init = quiet)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = source_of(file_pos_make(5, 17));
    memset(page, 0, sizeof(page));
    cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT);
    memset(page, 0xff, sizeof(page));
    cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT);
}

/* Writes `value` to byte `at`, and a checksum that is right for it. */
static int check_with_byte(uint32_t at, uint8_t value)
{
    uint8_t page[STORE_PAGE_BYTES];
    struct page_source source = make_page(page);
    page[at] = value;
    uint64_t sum = checksum64(page + PAGE_AT_MAGIC, STORE_PAGE_BYTES - PAGE_AT_MAGIC, source.seed);
    store_le64(page, sum);
    struct page_expect expect = expect_leaf;
    expect.kind = PAGE_KIND_ANY;
    return page_check(page, &source, &expect);
}

Test(page, a_header_that_makes_no_sense_is_refused_though_its_checksum_is_right, .init = quiet)
{
    cr_assert_eq(check_with_byte(PAGE_AT_MAGIC, 0), ERR_CORRUPT);
    cr_assert_eq(check_with_byte(PAGE_AT_VERSION, 0), ERR_CORRUPT);
    cr_assert_eq(check_with_byte(PAGE_AT_VERSION, PAGE_VERSION + 1), ERR_VERSION);
    cr_assert_eq(check_with_byte(PAGE_AT_KIND, PAGE_KIND_ANY), ERR_CORRUPT);
    cr_assert_eq(check_with_byte(PAGE_AT_KIND, 3), ERR_CORRUPT);
    cr_assert_eq(check_with_byte(PAGE_AT_KIND, PAGE_KIND_BRANCH), ERR_CORRUPT); /* of level 0 */
    cr_assert_eq(check_with_byte(PAGE_AT_LEVEL, 1), ERR_CORRUPT);               /* a leaf */
    cr_assert_eq(check_with_byte(PAGE_AT_PREFIX_BYTES + 1, 7), ERR_CORRUPT);
    cr_assert_eq(check_with_byte(PAGE_AT_CONTENT_END + 1, 0), ERR_CORRUPT); /* no padding there */
    cr_assert_eq(check_with_byte(PAGE_AT_CONTENT_END + 1, 0x11), ERR_CORRUPT);
    for (uint32_t at = PAGE_AT_ZERO; at < PAGE_HEADER_BYTES; at++) {
        cr_assert_eq(check_with_byte(at, 1), ERR_CORRUPT);
    }
}

static void keep_line(enum logger_level level, const char *line, size_t bytes, void *arg)
{
    (void)level;
    snprintf(arg, 1024, "%.*s", (int)bytes, line);
}

Test(page, the_report_names_file_offset_and_page)
{
    uint8_t page[STORE_PAGE_BYTES];
    char line[1024] = "";
    struct page_source source = make_page(page);
    page[2000] ^= 1;
    logger_set_hook(keep_line, line);
    cr_assert_eq(page_check(page, &source, &expect_leaf), ERR_CORRUPT);
    logger_set_hook(NULL, NULL);
    cr_assert(strstr(line, "p0009/data-5.dat") != NULL, "%s", line);
    cr_assert(strstr(line, "69632") != NULL, "%s", line);
    cr_assert(strstr(line, "42") != NULL, "%s", line);
}
