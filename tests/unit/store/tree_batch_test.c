/*
 * tree_batch: trees that grow and shrink, against the model, with orders of changes that are hard
 * on the branches.
 */
#include "stores.h"

#include <string.h>

enum { KEYS = 30000 };

static char keys[KEYS][24];

static void make_keys(void)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "row:%010u", i);
    }
}

/* Puts or removes keys begin, begin + step, ... below end, in one commit. */
co_fn static void change_range(struct world *world, uint32_t begin, uint32_t end, uint32_t step,
                               bool remove)
{
    static uint8_t value[200];
    struct changes changes = {0};
    for (uint32_t i = begin; i < end; i += step) {
        if (remove) {
            changes_remove(&changes, WORLD_SPACE, slice_cstr(keys[i]));
        } else {
            changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(value, i % 200));
        }
    }
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
}

static int body_grow_shrink(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    make_keys();
    change_range(world, 0, KEYS, 1, false);
    struct store_report full = world_verify(world);
    MUST(full.keys == KEYS && full.height_max >= 3);
    change_range(world, 0, KEYS, 1, true);
    struct store_report none = world_verify(world);
    MUST(none.keys == 0 && none.leaves == 0 && none.branches == 0 && none.pages_live == 0);

    for (uint32_t i = 0; i < KEYS; i += 1000) { /* in order, piece by piece */
        change_range(world, i, i + 1000, 1, false);
    }
    MUST_BE(world_verify(world).keys, KEYS);
    for (uint32_t i = KEYS; i > 0; i -= 1000) { /* from the end */
        change_range(world, i - 1000, i, 1, true);
    }
    MUST_BE(world_verify(world).pages_live, 0);

    for (uint32_t i = KEYS; i > 0; i -= 1000) { /* against the order */
        change_range(world, i - 1000, i, 1, false);
    }
    MUST_BE(world_verify(world).keys, KEYS);
    change_range(world, 500, KEYS, 1, true); /* all but the first leaves */
    change_range(world, 0, 1, 1, false);
    struct store_report few = world_verify(world);
    MUST(few.keys == 500 && few.height_max <= 2);
    return 0;
}

Test(tree_batch, trees_grow_and_shrink_and_leave_nothing)
{
    world_test(body_grow_shrink);
}

static int body_sparse(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    make_keys();
    change_range(world, 0, KEYS, 7, false);
    uint32_t expected = (KEYS + 6) / 7;
    MUST_BE(world_verify(world).keys, expected);
    for (uint32_t step = 2; step < 40; step += 5) {
        change_range(world, step, KEYS, step, step % 2 == 0);
        world_verify(world);
    }
    world_reopen(world);
    world_verify(world);
    return 0;
}

Test(tree_batch, changes_all_over_the_tree_keep_it_in_order)
{
    world_test(body_sparse);
}

/* With long keys branches have few children, so the tree gets high. */
static int body_high(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    enum { LONG_KEYS = 600, KEY_BYTES = STORE_KEY_BYTES_MAX };
    uint8_t *memory = malloc((size_t)LONG_KEYS * KEY_BYTES);
    struct random random;
    random_seed(&random, 8);
    uint32_t height = 0;
    struct changes changes = {0};
    for (uint32_t i = 0; i < LONG_KEYS; i++) {
        /* Three at a time differ only at their ends: long separators, and little in common. */
        uint8_t *key = memory + (size_t)i * KEY_BYTES;
        memset(key, 'k', KEY_BYTES);
        key[0] = (uint8_t)(i / 3 >> 8);
        key[1] = (uint8_t)(i / 3);
        key[KEY_BYTES - 1] = (uint8_t)i;
    }
    for (uint32_t round = 0; round < 30; round++) {
        struct slice sorted[40];
        uint32_t count = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint8_t *key = memory + (size_t)random_below(&random, LONG_KEYS) * KEY_BYTES;
            struct slice slice = slice_of(key, KEY_BYTES);
            uint32_t at = 0;
            while (at < count && slice_compare(sorted[at], slice) < 0) {
                at++;
            }
            if (at < count && slice_equal(sorted[at], slice)) {
                continue;
            }
            memmove(sorted + at + 1, sorted + at, (count - at) * sizeof(sorted[0]));
            sorted[at] = slice;
            count++;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (random_below(&random, 4) == 0) {
                changes_remove(&changes, WORLD_SPACE, sorted[i]);
            } else {
                changes_put(&changes, WORLD_SPACE, sorted[i], slice_cstr("v"));
            }
        }
        MUST_BE(changes_commit(world, &changes), 0);
        struct store_report report = world_verify(world);
        height = report.height_max > height ? report.height_max : height;
    }
    MUST(height >= 4);
    changes_deinit(&changes);
    free(memory);
    return 0;
}

Test(tree_batch, long_keys_make_high_trees)
{
    world_test(body_high);
}

static int body_existed(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    make_keys();
    change_range(world, 0, 100, 2, false);
    struct changes changes = {0};
    for (uint32_t i = 0; i < 100; i++) {
        if (i % 3 == 0) {
            changes_remove(&changes, WORLD_SPACE, slice_cstr(keys[i]));
        } else {
            changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_cstr("x"));
        }
    }
    uint32_t count = changes.count;
    MUST_BE(changes_commit(world, &changes), 0);
    for (uint32_t i = 0; i < count; i++) {
        MUST_BE(changes.existed[i], i % 2 == 0);
    }
    changes_deinit(&changes);
    return 0;
}

Test(tree_batch, says_for_each_change_whether_the_key_was_there)
{
    world_test(body_existed);
}

static int body_absent(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    make_keys();
    change_range(world, 0, 10000, 2, false);
    struct store_stats before;
    store_stats(world->store, &before);
    change_range(world, 1, 10000, 2, true); /* none of them is there */
    struct store_stats after;
    store_stats(world->store, &after);
    MUST_BE(after.page_writes, before.page_writes);
    MUST_BE(world_verify(world).keys, 5000);
    change_range(world, 20001, 30000, 2, true); /* in a space that exists, behind everything */
    MUST_BE(world_verify(world).keys, 5000);
    return 0;
}

Test(tree_batch, removing_what_is_not_there_writes_no_page)
{
    world_test(body_absent);
}
