#include "store/merge.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "pages.h"
#include "records.h"

static const struct page_source here = {.file = "data-1.dat"};

enum { CHILDREN_MAX = MODEL_RECORDS_MAX };

/* The model of a level: children and their lower bounds; the first one's is not a key. */
struct level {
    struct slice low[CHILDREN_MAX]; /* owned */
    uint32_t child[CHILDREN_MAX];
    uint32_t count;
};

static struct slice slice_copy(struct slice from)
{
    uint8_t *copy = mem_must_alloc(from.bytes + 1);
    if (from.bytes > 0) {
        memcpy(copy, from.data, from.bytes);
    }
    return slice_of(copy, from.bytes);
}

static void level_clear(struct level *level)
{
    for (uint32_t i = 0; i < level->count; i++) {
        mem_free((void *)level->low[i].data);
    }
    level->count = 0;
}

static void level_add(struct level *level, struct slice low, uint32_t child)
{
    level->low[level->count] = slice_copy(low);
    level->child[level->count++] = child;
}

/* The pages, read from left to right, are this level. */
static void compare_level(const struct level *level, const struct pages *pages, uint32_t height)
{
    static uint8_t key[STORE_KEY_BYTES_MAX];
    uint32_t at = 0;
    for (uint32_t p = 0; p < pages->count; p++) {
        const uint8_t *page = pages->page[p];
        cr_assert_eq(branch_check(page, &here), 0);
        cr_assert_eq(page_level(page), height);
        cr_assert_eq(page_space(page), 7);
        cr_assert(p == 0 || slice_equal(pages->low[p], level->low[at]));
        for (uint32_t i = 0; i < branch_count(page); i++, at++) {
            cr_assert(at < level->count);
            cr_assert_eq(branch_child(page, i).value, level->child[at]);
            if (i > 0) {
                uint32_t bytes = branch_separator_copy(page, i, key);
                cr_assert(slice_equal(slice_of(key, bytes), level->low[at]));
            }
        }
    }
    cr_assert_eq(at, level->count);
}

struct branch_case {
    struct level before;
    struct level after;
    struct model keys; /* distinct separators to draw from */
    uint32_t key_at;
    struct branch_change changes[2 * CHILDREN_MAX];
    uint32_t change_count;
    uint32_t child_next;
};

static void add_insert(struct branch_case *c, uint32_t behind, struct slice low, bool inherit)
{
    c->changes[c->change_count++] = (struct branch_change){
        .child = behind,
        .id = {c->child_next},
        .separator = inherit ? slice_of(NULL, 0) : low,
    };
    level_add(&c->after, low, c->child_next++);
}

/* Keeps, removes, replaces and splits children in turn; every key of the case becomes some bound.
 */
static void make_branch_case(struct random *random, struct branch_case *c, bool dense)
{
    c->change_count = 0;
    c->child_next = 50000;
    uint32_t at = 0;
    while (at < c->keys.count) {
        struct slice low = at == 0 ? slice_of(NULL, 0) : record_key(c->keys.records[at]);
        uint32_t child = c->before.count;
        level_add(&c->before, low, child);
        at++;
        uint64_t what = random_below(random, dense ? 6 : 60);
        if (what < 2) {
            c->changes[c->change_count++] =
                (struct branch_change){.child = child, .remove = true, .id = PAGE_ID_NONE};
        } else {
            level_add(&c->after, low, child);
        }
        if (what == 1) {
            add_insert(c, child, low, true);
        }
        for (; what >= 1 && what < 5 && at < c->keys.count && random_below(random, 3) > 0; at++) {
            add_insert(c, child, record_key(c->keys.records[at]), false);
        }
    }
}

/* Cuts the level into old pages; what does not fit into MERGE_OLD_MAX pages is an error of the
 * test. */
static void cut_branches(struct random *random, const struct level *level, struct pages *pages)
{
    uint32_t begin = 0;
    while (begin < level->count) {
        uint8_t *page;
        cr_assert(pages->count < MERGE_OLD_MAX);
        cr_assert_eq(sink_begin(pages, &page), 0);
        uint32_t share = level->count / (MERGE_OLD_MAX - 2) + 1;
        uint32_t end = begin + 1 + share / 2 + (uint32_t)random_below(random, share);
        end = end < level->count ? end : level->count;
        struct keys_builder builder;
        struct page_key key = {0};
        struct branch_layout layout = {.space = 7, .level = 2, .count = end - begin};
        cr_assert_eq(
            branch_begin(&builder, page, &layout, &key, (struct page_id){level->child[begin]}), 0);
        for (uint32_t i = begin + 1; i < end; i++) {
            key = page_key_of(level->low[i]);
            cr_assert_eq(branch_add(&builder, &key, (struct page_id){level->child[i]}), 0);
        }
        branch_end(&builder);
        cr_assert_eq(sink_end(pages, page, level->low[begin]), 0);
        begin = end;
    }
}

static void merge_branches_once(struct random *random, enum key_style style, struct merger *merger)
{
    static struct branch_case c;
    static struct record record;
    struct pages old = {0}, out = {0};
    uint32_t count = (uint32_t)1 << random_below(random, style == KEYS_LONG ? 4 : 9);
    count = style == KEYS_DEEP && count > 16 ? 16 : count;
    for (uint32_t i = 0; i < count; i++) {
        record.key_bytes = random_key(random, style, record.key);
        model_put(&c.keys, &record);
    }
    make_branch_case(random, &c, random_below(random, 2) == 0);
    cut_branches(random, &c.before, &old);
    struct branch_merge merge = {
        .space = 7,
        .level = 2,
        .old_count = old.count,
        .changes = c.changes,
        .change_count = c.change_count,
        .sink = sink_of(&out),
    };
    for (uint32_t i = 0; i < old.count; i++) {
        merge.old[i] = old.page[i];
        merge.low[i] = old.low[i];
    }
    struct merge_result result;
    cr_assert_eq(branch_merge(merger, &merge, &result), 0);
    cr_assert_eq(result.unchanged, old.count <= 1 && c.change_count == 0);
    cr_assert_eq(c.before.count + result.added - result.removed, c.after.count);
    cr_assert_eq(result.pages, out.count);
    compare_level(&c.after, result.unchanged ? &old : &out, 2);
    level_clear(&c.before);
    level_clear(&c.after);
    model_clear(&c.keys);
    pages_clear(&old);
    pages_clear(&out);
}

Test(merge_branch, agrees_with_a_list)
{
    static struct merger merger;
    struct random random;
    merger_init(&merger);
    random_seed(&random, 42);
    for (uint32_t round = 0; round < 3000; round++) {
        merge_branches_once(&random, (enum key_style)(round % KEY_STYLES), &merger);
    }
}

Test(merge_branch, a_new_root_is_made_of_nothing_but_insertions)
{
    static struct merger merger;
    static struct level level;
    static struct branch_change changes[3000];
    static uint8_t bytes[3000][4];
    struct pages out = {0};
    merger_init(&merger);
    for (uint32_t i = 0; i < 3000; i++) {
        store_be32(bytes[i], i * 1000);
        changes[i] = (struct branch_change){
            .id = {i + 1},
            .separator = slice_of(bytes[i], i == 0 ? 0 : 4),
        };
        level_add(&level, changes[i].separator, i + 1);
    }
    struct branch_merge merge = {
        .space = 7,
        .level = 1,
        .changes = changes,
        .change_count = 3000,
        .sink = sink_of(&out),
    };
    struct merge_result result;
    cr_assert_eq(branch_merge(&merger, &merge, &result), 0);
    cr_assert(result.pages > 7 && result.pages < 12, "%u", result.pages);
    compare_level(&level, &out, 1);
    level_clear(&level);
    pages_clear(&out);
}

Test(merge_branch, a_branch_that_loses_all_children_gives_no_page)
{
    static struct merger merger;
    struct pages old = {0}, out = {0};
    struct level level = {0};
    struct random random;
    random_seed(&random, 43);
    level_add(&level, slice_of(NULL, 0), 5);
    level_add(&level, slice_cstr("m"), 6);
    cut_branches(&random, &level, &old);
    struct branch_change changes[] = {{.child = 0, .remove = true}, {.child = 1, .remove = true}};
    struct branch_merge merge = {
        .space = 7,
        .level = 2,
        .old = {old.page[0]},
        .old_count = 1,
        .changes = changes,
        .change_count = 2,
        .sink = sink_of(&out),
    };
    struct merge_result result;
    merger_init(&merger);
    if (old.count == 2) {
        merge.old[1] = old.page[1];
        merge.low[1] = old.low[1];
        merge.old_count = 2;
    }
    cr_assert_eq(branch_merge(&merger, &merge, &result), 0);
    cr_assert_eq(result.pages, 0);
    cr_assert_eq(result.removed, 2);
    cr_assert_not(result.unchanged);
    level_clear(&level);
    pages_clear(&old);
}

Test(merge_branch, children_that_come_in_order_give_full_branches)
{
    static struct merger merger;
    struct pages last = {0};
    uint8_t bytes[4];
    uint32_t full = 0;
    merger_init(&merger);
    for (uint32_t child = 0; child < 3000; child++) {
        struct branch_change change = {
            .child = last.count > 0 ? branch_count(last.page[0]) - 1 : 0,
            .id = {child},
            .separator = slice_of(bytes, child > 0 ? 4 : 0),
        };
        struct pages out = {0};
        struct branch_merge merge = {
            .space = 7,
            .level = 1,
            .old_count = last.count,
            .old = {last.count > 0 ? last.page[0] : NULL},
            .changes = &change,
            .change_count = 1,
            .sink = sink_of(&out),
        };
        struct merge_result result;
        store_be32(bytes, child);
        cr_assert_eq(branch_merge(&merger, &merge, &result), 0);
        cr_assert(out.count == 1 || out.count == 2);
        pages_clear(&last);
        last = out;
        if (out.count == 2) {
            cr_assert(page_bytes_used(out.page[0]) > STORE_PAGE_BYTES * 9 / 10);
            full++;
            mem_free(out.page[0]);
            mem_free((void *)out.low[0].data);
            last.page[0] = out.page[1];
            last.low[0] = out.low[1];
            last.count = 1;
        }
    }
    cr_assert(full > 5);
    pages_clear(&last);
}
