#include "store/merge_cut.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"

/* What the groups were; their items in order are the numbers from 0. */
struct groups {
    const struct merger *merger;
    uint32_t next; /* the item expected first in the next group */
    uint32_t count;
    uint32_t bytes[512]; /* content of each */
    uint32_t items[512];
    bool keyless_first;
    int error_at; /* emit fails at this group, counted from 1; 0: never */
};

/* The content bytes of a group, by the definition of the format. */
static uint32_t bytes_of(const struct groups *groups, const struct merge_group *group)
{
    uint32_t bytes = group->prefix_bytes;
    for (uint32_t at = group->begin; at < group->end; at++) {
        const struct merge_item *item = &groups->merger->items[at];
        bool keyless = groups->keyless_first && at == group->begin;
        bytes += item->body + (keyless ? 0 : keys_cost(item->key_bytes, group->prefix_bytes));
    }
    return bytes;
}

/* What the keys of the group share, at most: by what neighbours share. */
static uint32_t prefix_of(const struct groups *groups, const struct merge_group *group)
{
    const struct merge_item *items = groups->merger->items;
    uint32_t first = group->begin + groups->keyless_first;
    uint32_t prefix = first < group->end ? items[first].key_bytes : 0;
    for (uint32_t at = first + 1; at < group->end; at++) {
        prefix = items[at].common < prefix ? items[at].common : prefix;
    }
    return prefix;
}

static int keep_group(void *context, const struct merge_group *group)
{
    struct groups *groups = context;
    cr_assert(group->begin < group->end);
    for (uint32_t at = group->begin; at < group->end; at++) {
        cr_assert_eq(groups->merger->items[at].source, groups->next);
        groups->next++;
    }
    cr_assert_eq(group->prefix_bytes, prefix_of(groups, group));
    groups->bytes[groups->count] = bytes_of(groups, group);
    groups->items[groups->count] = group->end - group->begin;
    cr_assert(groups->bytes[groups->count] <= PAGE_CONTENT_BYTES_MAX);
    groups->count++;
    return (int)groups->count == groups->error_at ? -5 : 0;
}

static struct merger merger;

static void start(struct merge_run *run, struct groups *groups, bool keyless_first)
{
    merger_init(&merger);
    *groups = (struct groups){.merger = &merger, .keyless_first = keyless_first};
    merge_run_init(run, &merger);
    run->keyless_first = keyless_first;
    run->context = groups;
    run->emit = keep_group;
}

/* `count` items that cost `bytes` each: keys of 4 bytes that share nothing. */
static void push_equal(struct merge_run *run, uint32_t count, uint32_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        struct merge_item item = {
            .source = i,
            .key_bytes = 4,
            .body = (uint16_t)(bytes - KEYS_HEAD_BYTES - KEYS_SLOT_BYTES),
        };
        cr_assert_eq(merge_push(run, &item), 0);
    }
}

Test(merge_cut, nothing_gives_nothing)
{
    struct merge_run run;
    struct groups groups;
    start(&run, &groups, false);
    cr_assert_eq(merge_finish(&run), 0);
    cr_assert_eq(groups.count, 0);
}

Test(merge_cut, a_full_page_stays_one_and_a_byte_more_makes_two_halves)
{
    struct merge_run run;
    struct groups groups;
    start(&run, &groups, false);
    push_equal(&run, 32, 127); /* 32 x 127 = 4064 */
    cr_assert_eq(merge_finish(&run), 0);
    cr_assert_eq(groups.count, 1);
    cr_assert_eq(groups.bytes[0], PAGE_CONTENT_BYTES_MAX);

    start(&run, &groups, false);
    push_equal(&run, 32, 127);
    struct merge_item small = {.source = 32, .key_bytes = 4, .body = 1};
    cr_assert_eq(merge_push(&run, &small), 0);
    cr_assert_eq(merge_finish(&run), 0);
    cr_assert_eq(groups.count, 2);
    cr_assert(groups.items[0] >= 15 && groups.items[0] <= 17, "%u", groups.items[0]);
}

Test(merge_cut, pages_are_even_whatever_their_number)
{
    struct merge_run run;
    struct groups groups;
    for (uint32_t count = 41; count < 1000; count += 7) {
        start(&run, &groups, false);
        push_equal(&run, count, 100);
        cr_assert_eq(merge_finish(&run), 0);
        uint32_t pages = (count * 100 + 3047) / 3048; /* of three quarters */
        cr_assert(groups.count <= pages && groups.count + 1 >= pages, "%u: %u", count, pages);
        for (uint32_t i = 0; i < groups.count; i++) {
            cr_assert(groups.bytes[i] >= 1900, "page %u of %u: %u", i, groups.count,
                      groups.bytes[i]);
        }
    }
}

Test(merge_cut, an_append_leaves_the_rest_to_the_last_page)
{
    struct merge_run run;
    struct groups groups;
    start(&run, &groups, false);
    run.append = true;
    push_equal(&run, 100, 100);
    cr_assert_eq(merge_finish(&run), 0);
    cr_assert_eq(groups.count, 3);
    cr_assert_eq(groups.items[0], 39); /* 95 % of 4064 bytes */
    cr_assert_eq(groups.items[1], 39);
    cr_assert_eq(groups.items[2], 22);
}

Test(merge_cut, more_items_than_the_window_go_out_on_the_way)
{
    struct merge_run run;
    struct groups groups;
    static const uint32_t counts[] = {MERGE_ITEMS_MAX, MERGE_ITEMS_MAX + 1, 9000};
    for (int i = 0; i < 3; i++) {
        start(&run, &groups, false);
        push_equal(&run, counts[i], 100);
        cr_assert_eq(groups.count > 0, counts[i] > MERGE_ITEMS_MAX);
        cr_assert_eq(merge_finish(&run), 0);
        cr_assert_eq(groups.next, counts[i]);
        cr_assert(groups.count >= counts[i] / 32 && groups.count <= counts[i] / 28);
    }
}

Test(merge_cut, the_error_of_emit_comes_back_from_push_and_finish)
{
    struct merge_run run;
    struct groups groups;
    start(&run, &groups, false);
    push_equal(&run, 100, 100);
    groups.error_at = 2;
    cr_assert_eq(merge_finish(&run), -5);
    start(&run, &groups, false);
    push_equal(&run, MERGE_ITEMS_MAX, 100);
    groups.error_at = 1;
    struct merge_item item = {.source = MERGE_ITEMS_MAX, .key_bytes = 4, .body = 1};
    cr_assert_eq(merge_push(&run, &item), -5);
}

/* Any lengths, bodies and shares: every group fits (keep_group checks) and nothing is lost. */
static void push_random(struct random *random, struct merge_run *run, uint32_t count)
{
    uint32_t key_max = 1 + (uint32_t)random_below(random, STORE_KEY_BYTES_MAX);
    uint32_t body_max = 4 + (uint32_t)random_below(random, 250);
    uint32_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = 1 + (uint32_t)random_below(random, key_max);
        uint32_t shared_max = bytes - 1 < before ? bytes - 1 : before;
        struct merge_item item = {
            .source = i,
            .key_bytes = (uint16_t)bytes,
            .common = (uint16_t)random_below(random, shared_max + 1),
            .body = (uint16_t)(run->keyless_first ? 4 : 1 + random_below(random, body_max)),
        };
        cr_assert_eq(merge_push(run, &item), 0);
        before = bytes;
    }
}

Test(merge_cut, random_items_always_fit_and_none_is_lost)
{
    struct random random;
    random_seed(&random, 51);
    for (int round = 0; round < 600; round++) {
        struct merge_run run;
        struct groups groups;
        uint32_t count = 1 + (uint32_t)random_below(&random, 300);
        start(&run, &groups, round % 2 == 0);
        run.append = random_below(&random, 4) == 0;
        push_random(&random, &run, count);
        cr_assert_eq(merge_finish(&run), 0);
        cr_assert_eq(groups.next, count);
        cr_assert_eq(run.pages, groups.count);
    }
}
