#include "store/merge.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/logger.h"
#include "base/mem.h"
#include "pages.h"
#include "records.h"

static const struct page_source here = {.file = "data-1.dat"};

/* ---- changes ---- */

enum { CHANGES_MAX = MODEL_RECORDS_MAX };

struct changes {
    struct model records; /* the keys, ascending; what is put */
    bool remove[CHANGES_MAX];
    bool existed[CHANGES_MAX];
    uint32_t told;
    struct extent dead[CHANGES_MAX];
    uint32_t dead_count;
};

static void change_get(void *context, uint32_t index, struct leaf_change *ret_change)
{
    const struct changes *changes = context;
    const struct record *record = changes->records.records[index];
    *ret_change = (struct leaf_change){
        .key = record_key(record),
        .entry = record->entry,
        .remove = changes->remove[index],
    };
}

static void change_existed(void *context, uint32_t index, bool existed)
{
    struct changes *changes = context;
    cr_assert_eq(index, changes->told);
    changes->existed[changes->told++] = existed;
}

static void change_extent_dead(void *context, const struct extent *extent)
{
    struct changes *changes = context;
    changes->dead[changes->dead_count++] = *extent;
}

static struct leaf_merge merge_of(struct changes *changes, struct pages *out)
{
    changes->told = 0;
    changes->dead_count = 0;
    return (struct leaf_merge){
        .space = 7,
        .end = changes->records.count,
        .context = changes,
        .get = change_get,
        .existed = change_existed,
        .extent_dead = change_extent_dead,
        .sink = sink_of(out),
    };
}

/* Random changes, about half of them to keys of the model. */
static void make_changes(struct random *random, enum key_style style, uint32_t count,
                         uint32_t value_max, const struct model *model, struct changes *changes)
{
    static struct record record;
    model_clear(&changes->records);
    for (uint32_t i = 0; i < count; i++) {
        if (model->count > 0 && random_below(random, 2) == 0) {
            const struct record *old = model->records[random_below(random, model->count)];
            record.key_bytes = old->key_bytes;
            memcpy(record.key, old->key, old->key_bytes);
        } else {
            record.key_bytes = random_key(random, style, record.key);
        }
        random_entry(random, &record, value_max);
        model_put(&changes->records, &record);
    }
    for (uint32_t i = 0; i < changes->records.count; i++) {
        changes->remove[i] = random_below(random, 3) == 0;
    }
}

/* What must come of it, and checks what the merge told. */
static void apply_to_model(struct model *model, const struct changes *changes,
                           const struct merge_result *result)
{
    uint32_t dead = 0, added = 0, removed = 0;
    cr_assert_eq(changes->told, changes->records.count);
    for (uint32_t i = 0; i < changes->records.count; i++) {
        const struct record *change = changes->records.records[i];
        bool found;
        uint32_t at = model_find(model, record_key(change), &found);
        cr_assert_eq(changes->existed[i], found);
        if (found && model->records[at]->entry.is_extent &&
            (changes->remove[i] || !entries_same(&model->records[at]->entry, &change->entry))) {
            cr_assert(dead < changes->dead_count);
            cr_assert_eq(changes->dead[dead].pos.value, model->records[at]->entry.extent.pos.value);
            dead++;
        }
        if (!changes->remove[i]) {
            added += !found;
            model_put(model, change);
        } else if (found) {
            removed++;
            model_remove(model, at);
        }
    }
    cr_assert_eq(changes->dead_count, dead);
    cr_assert_eq(result->added, added);
    cr_assert_eq(result->removed, removed);
}

/* The pages hold exactly the model, and their bounds separate them as shortly as possible. */
static void compare_pages(const struct model *model, const struct pages *pages)
{
    static uint8_t key[STORE_KEY_BYTES_MAX];
    uint32_t at = 0;
    for (uint32_t p = 0; p < pages->count; p++) {
        const uint8_t *page = pages->page[p];
        cr_assert_eq(leaf_check(page, &here), 0);
        cr_assert_eq(page_space(page), 7);
        if (p > 0) {
            struct slice low = pages->low[p];
            struct page_key before = page_key_of(record_key(model->records[at - 1]));
            struct page_key first = page_key_of(record_key(model->records[at]));
            cr_assert(slice_compare(low, before.prefix) > 0);
            cr_assert(slice_compare(low, first.prefix) <= 0);
            cr_assert_eq(low.bytes, page_key_common(&before, &first) + 1);
        }
        for (uint32_t i = 0; i < leaf_count(page); i++, at++) {
            cr_assert(at < model->count);
            struct leaf_entry entry;
            leaf_get(page, i, &entry);
            uint32_t bytes = leaf_key_copy(page, i, key);
            cr_assert(slice_equal(slice_of(key, bytes), record_key(model->records[at])));
            cr_assert(entries_same(&entry, &model->records[at]->entry));
        }
    }
    cr_assert_eq(at, model->count);
}

/* Cuts the model into pages of random fill, at most MERGE_OLD_MAX; drops what is left. */
static void cut_pages(struct random *random, struct model *model, struct pages *pages)
{
    uint32_t begin = 0;
    uint64_t limit = random_below(random, MERGE_OLD_MAX + 1);
    while (begin < model->count && pages->count < limit) {
        uint8_t *page;
        cr_assert_eq(sink_begin(pages, &page), 0);
        uint32_t end = begin + 1 + (uint32_t)random_below(random, model->count - begin);
        while (model_build(model, begin, end, model_common(model, begin, end), page) < 0) {
            end--;
        }
        cr_assert_eq(sink_end(pages, page, slice_of(NULL, 0)), 0);
        begin = end;
    }
    while (model->count > begin) {
        model_remove(model, model->count - 1);
    }
}

static void set_old(struct leaf_merge *merge, const struct pages *old)
{
    merge->old_count = old->count;
    for (uint32_t i = 0; i < old->count; i++) {
        merge->old[i] = old->page[i];
    }
}

static void merge_once(struct random *random, enum key_style style, struct merger *merger,
                       uint32_t round)
{
    static struct model model;
    static struct changes changes;
    static struct pages old, out;
    uint32_t value_max = (uint32_t)1 << random_below(random, 10);
    make_changes(random, style, (uint32_t)random_below(random, 120), value_max, &model, &changes);
    for (uint32_t i = 0; i < changes.records.count; i++) {
        model_put(&model, changes.records.records[i]);
    }
    cut_pages(random, &model, &old);
    uint32_t count = (uint32_t)1 << random_below(random, round % 16 == 0 ? 12 : 7);
    make_changes(random, style, count - 1, value_max, &model, &changes);

    struct leaf_merge merge = merge_of(&changes, &out);
    struct merge_result result;
    set_old(&merge, &old);
    cr_assert_eq(leaf_merge(merger, &merge, &result), 0);
    apply_to_model(&model, &changes, &result);
    cr_assert_eq(result.pages, out.count);
    if (result.unchanged) {
        cr_assert_eq(out.count, 0);
        cr_assert(old.count <= 1);
        compare_pages(&model, &old);
    } else {
        compare_pages(&model, &out);
    }
    model_clear(&model);
    model_clear(&changes.records);
    pages_clear(&old);
    pages_clear(&out);
}

Test(merge_leaf, agrees_with_a_sorted_array)
{
    struct merger *merger = mem_must_alloc(sizeof(*merger));
    merger_init(merger);
    struct random random;
    random_seed(&random, 41);
    for (uint32_t round = 0; round < 2000; round++) {
        merge_once(&random, (enum key_style)(round % KEY_STYLES), merger, round);
    }
    mem_free(merger);
}

/* A put of `text` with a value of `bytes` bytes. */
static void add_change(struct changes *changes, const char *text, uint32_t bytes)
{
    static struct record record;
    record.key_bytes = (uint32_t)strlen(text);
    memcpy(record.key, text, record.key_bytes);
    memset(record.value, 'v', bytes);
    record.entry = (struct leaf_entry){.value = slice_of(record.value, bytes)};
    model_put(&changes->records, &record);
}

static void add_number(struct changes *changes, uint64_t number, uint32_t bytes)
{
    char text[32];
    snprintf(text, sizeof(text), "key:%012llu", (unsigned long long)number);
    add_change(changes, text, bytes);
}

/* Merges the changes into `old`, which may be empty, and replaces it by what came out. */
static struct merge_result merge_into(struct changes *changes, struct pages *old)
{
    static struct merger merger;
    struct pages out = {0};
    merger_init(&merger);
    struct leaf_merge merge = merge_of(changes, &out);
    struct merge_result result;
    set_old(&merge, old);
    cr_assert_eq(leaf_merge(&merger, &merge, &result), 0);
    if (!result.unchanged) {
        pages_clear(old);
        *old = out;
    }
    model_clear(&changes->records);
    return result;
}

Test(merge_leaf, what_changes_nothing_gives_no_page)
{
    static struct changes changes;
    struct pages pages = {0};
    struct merge_result result = merge_into(&changes, &pages);
    cr_assert(result.unchanged);

    add_change(&changes, "b", 10);
    result = merge_into(&changes, &pages);
    cr_assert_not(result.unchanged);
    cr_assert_eq(result.pages, 1);
    cr_assert_eq(result.added, 1);

    add_change(&changes, "b", 10); /* the same again */
    add_change(&changes, "a", 10); /* removed, but not there */
    changes.remove[0] = true;
    result = merge_into(&changes, &pages);
    cr_assert(result.unchanged);
    cr_assert_eq(result.pages, 0);
    cr_assert_eq(result.added + result.removed, 0);
    changes.remove[0] = false;
    pages_clear(&pages);
}

Test(merge_leaf, a_leaf_that_loses_all_gives_no_page)
{
    static struct changes changes;
    struct pages pages = {0};
    for (uint64_t i = 0; i < 20; i++) {
        add_number(&changes, i, 10);
    }
    cr_assert_eq(merge_into(&changes, &pages).pages, 1);
    for (uint64_t i = 0; i < 20; i++) {
        add_number(&changes, i, 10);
        changes.remove[i] = true;
    }
    struct merge_result result = merge_into(&changes, &pages);
    cr_assert_not(result.unchanged);
    cr_assert_eq(result.pages, 0);
    cr_assert_eq(result.removed, 20);
}

Test(merge_leaf, what_fits_in_one_page_stays_one_and_one_byte_more_is_two)
{
    static struct changes changes;
    struct pages pages = {0};
    /* keys of 1 byte: prefix none, 7 bytes beside each value */
    uint32_t room = PAGE_CONTENT_BYTES_MAX - 4 * 7;
    static const char *const names[] = {"a", "b", "c"};
    for (uint32_t more = 0; more < 2; more++) {
        for (int i = 0; i < 3; i++) {
            add_change(&changes, names[i], 1000);
        }
        add_change(&changes, "d", room - 3000 + more);
        cr_assert_eq(merge_into(&changes, &pages).pages, 1 + more);
        cr_assert(more == 1 || page_bytes_used(pages.page[0]) == STORE_PAGE_BYTES);
        pages_clear(&pages);
    }
}

Test(merge_leaf, a_leaf_that_overflows_is_halved)
{
    static struct changes changes;
    struct pages pages = {0};
    for (uint64_t i = 0; i < 37; i++) {
        add_number(&changes, 2 * i, 100);
    }
    cr_assert_eq(merge_into(&changes, &pages).pages, 1);
    add_number(&changes, 31, 100);
    cr_assert_eq(merge_into(&changes, &pages).pages, 2);
    cr_assert_eq(leaf_count(pages.page[0]) + leaf_count(pages.page[1]), 38);
    cr_assert(leaf_count(pages.page[0]) >= 18 && leaf_count(pages.page[0]) <= 20);
    pages_clear(&pages);
}

Test(merge_leaf, a_big_load_fills_pages_as_asked)
{
    static struct changes changes;
    struct pages pages = {0};
    for (uint64_t i = 0; i < CHANGES_MAX; i++) {
        add_number(&changes, 7919 * i, 100);
    }
    struct merge_result result = merge_into(&changes, &pages);
    cr_assert_eq(result.added, CHANGES_MAX);
    uint64_t used = 0;
    for (uint32_t i = 0; i < pages.count; i++) {
        used += page_bytes_used(pages.page[i]);
    }
    uint64_t percent = 100 * used / ((uint64_t)pages.count * STORE_PAGE_BYTES);
    cr_assert(percent >= 72 && percent <= 78, "%llu %%", (unsigned long long)percent);
    pages_clear(&pages);
}

Test(merge_leaf, keys_in_order_give_full_pages)
{
    static struct changes changes;
    struct pages pages = {0};
    uint64_t used = 0, full = 0, number = 0;
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 10; i++) {
            add_number(&changes, number++, 100);
        }
        merge_into(&changes, &pages);
        /* Only the last page goes on; the others are done. */
        while (pages.count > 1) {
            used += page_bytes_used(pages.page[0]);
            full++;
            mem_free(pages.page[0]);
            mem_free((void *)pages.low[0].data);
            pages.count--;
            memmove(&pages.page[0], &pages.page[1], pages.count * sizeof(pages.page[0]));
            memmove(&pages.low[0], &pages.low[1], pages.count * sizeof(pages.low[0]));
        }
    }
    cr_assert(full > 50);
    uint64_t percent = 100 * used / (full * STORE_PAGE_BYTES);
    cr_assert(percent >= 92, "%llu %%", (unsigned long long)percent);
    pages_clear(&pages);
}

Test(merge_leaf, underfull_neighbours_are_joined)
{
    static struct changes changes;
    struct pages pages = {0};
    struct pages parts = {0};
    for (uint64_t part = 0; part < MERGE_OLD_MAX; part++) {
        for (uint64_t i = 0; i < 3; i++) {
            add_number(&changes, 10 * part + i, 100);
        }
        merge_into(&changes, &parts);
        pages.page[pages.count] = parts.page[0];
        pages.low[pages.count++] = parts.low[0];
        parts = (struct pages){0};
    }
    struct merge_result result = merge_into(&changes, &pages);
    cr_assert_eq(result.pages, 1);
    cr_assert_not(result.unchanged);
    cr_assert_eq(leaf_count(pages.page[0]), 3 * MERGE_OLD_MAX);
    cr_assert_eq(leaf_check(pages.page[0], &here), 0);
    pages_clear(&pages);
}

Test(merge_leaf, an_extent_that_only_changes_its_expiry_is_not_dead)
{
    static struct changes changes;
    struct pages pages = {0};
    add_change(&changes, "big", 0);
    struct leaf_entry *entry = &changes.records.records[0]->entry;
    *entry = (struct leaf_entry){.is_extent = true, .extent = {{99}, 10000, 5}};
    merge_into(&changes, &pages);
    add_change(&changes, "big", 0);
    entry = &changes.records.records[0]->entry;
    *entry = (struct leaf_entry){.is_extent = true, .extent = {{99}, 10000, 5}, .expire_ms = 8};
    cr_assert_eq(merge_into(&changes, &pages).pages, 1);
    cr_assert_eq(changes.dead_count, 0);
    add_change(&changes, "big", 5);
    cr_assert_eq(merge_into(&changes, &pages).pages, 1);
    cr_assert_eq(changes.dead_count, 1);
    cr_assert_eq(changes.dead[0].pos.value, 99);
    pages_clear(&pages);
}

Test(merge_leaf, the_sink_s_error_comes_back)
{
    static struct changes changes;
    static struct merger merger;
    for (int where = 0; where < 4; where++) {
        struct pages out = {0};
        struct merge_result result = {.pages = 12345};
        for (uint64_t i = 0; i < CHANGES_MAX; i++) {
            add_number(&changes, i, where < 2 ? 100 : 0);
        }
        merger_init(&merger);
        struct leaf_merge merge = merge_of(&changes, &out);
        out.fail_begin = where % 2 == 0 ? 3 : 0;
        out.fail_end = where % 2 == 1 ? 3 : 0;
        cr_assert_eq(leaf_merge(&merger, &merge, &result), where % 2 == 0 ? -ENOSPC : -EIO);
        cr_assert_eq(result.pages, 12345);
        model_clear(&changes.records);
        pages_clear(&out);
    }
}

/* Pages that the builder would not make, but the checks let through. */
Test(merge_leaf, a_checked_page_of_any_content_can_be_merged)
{
    static struct model model;
    static struct changes changes;
    static struct merger merger;
    struct random random;
    random_seed(&random, 44);
    merger_init(&merger);
    logger_set_level(LOGGER_LEVEL_NOTHING);
    uint32_t merged = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        if (round % 20 == 0) {
            enum key_style style = (enum key_style)(round / 20 % KEY_STYLES);
            uint32_t count = 1 + (uint32_t)random_below(&random, 40);
            model_clear(&model);
            make_changes(&random, style, count, 60, &model, &changes);
            for (uint32_t i = 0; i < changes.records.count; i++) {
                model_put(&model, changes.records.records[i]);
            }
            make_changes(&random, style, 3, 60, &model, &changes);
        }
        uint8_t page[STORE_PAGE_BYTES];
        uint32_t end = model.count;
        while (model_build(&model, 0, end, model_common(&model, 0, end), page) < 0) {
            end--;
        }
        for (uint64_t i = random_below(&random, 3); i > 0; i--) {
            uint64_t at = PAGE_AT_KEYS + random_below(&random, 300);
            page[at] ^= (uint8_t)(at < 26 || at >= 32 ? 1 << random_below(&random, 8) : 0);
        }
        uint32_t used = page_bytes_used(page);
        if (used < PAGE_HEADER_BYTES || used > STORE_PAGE_BYTES ||
            page_prefix_bytes(page) > STORE_KEY_BYTES_MAX || leaf_check(page, &here) < 0) {
            continue;
        }
        struct pages out = {0};
        struct merge_result result;
        struct leaf_merge merge = merge_of(&changes, &out);
        merge.old[0] = page;
        merge.old_count = 1;
        cr_assert_eq(leaf_merge(&merger, &merge, &result), 0);
        for (uint32_t i = 0; i < out.count; i++) {
            cr_assert_eq(leaf_check(out.page[i], &here), 0);
        }
        pages_clear(&out);
        merged++;
    }
    cr_assert(merged > 1000, "%u", merged);
    model_clear(&model);
    model_clear(&changes.records);
}
