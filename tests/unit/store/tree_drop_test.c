/*
 * tree_drop: whole trees go, with all their pages and extents, and nothing else.
 */
#include "stores.h"

#include <errno.h>

co_fn static void drop(struct world *world, const uint32_t *spaces, uint32_t count)
{
    struct store_batch batch = {
        .applied_lsn = {partition_applied(world->partition).value + 1},
        .drop_spaces = spaces,
        .drop_count = count,
    };
    MUST_BE(partition_commit(world->partition, &batch), 0);
}

static void model_clear(struct model *model, uint32_t space)
{
    for (uint32_t k = 0; k < model->key_count; k++) {
        model_at(model, space, k)->present = false;
    }
}

static int body_drop(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 3000, 3, 51);
    for (uint32_t i = 0; i < 8; i++) {
        model_commit(&model, world, 800);
    }
    struct store_report before = world_verify(world);
    MUST(before.extents > 100 && before.height_max >= 2);

    uint32_t middle[] = {model_space(1), 12345}; /* one that is not there */
    drop(world, middle, 2);
    model_clear(&model, 1);
    model_check(&model, world);
    world_verify(world);
    world_reopen(world);
    model_check(&model, world);

    uint32_t rest[] = {model_space(2), model_space(0), model_space(2)}; /* any order, even twice */
    drop(world, rest, 3);
    struct store_report after = world_verify(world);
    MUST(after.pages_live == 0 && after.keys == 0);
    model_clear(&model, 0);
    model_clear(&model, 2);
    world_reopen(world);
    MUST_BE(world_verify(world).pages_live, 0);

    model_commit(&model, world, 800); /* and from the beginning */
    model_check(&model, world);
    world_verify(world);
    model_deinit(&model);
    return 0;
}

Test(tree_drop, frees_every_page_of_its_tree_and_no_other)
{
    world_test(body_drop);
}

static int body_cost(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    enum { KEYS = 20000 };
    char(*keys)[16] = malloc(KEYS * 16);
    static uint8_t value[100];
    struct changes changes = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(value, 100));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    struct store_report report = world_verify(world);
    world_reopen(world);
    struct store_stats before, after;
    store_stats(world->store, &before);
    uint32_t space = WORLD_SPACE;
    drop(world, &space, 1);
    store_stats(world->store, &after);
    MUST_BE(after.page_reads - before.page_reads, report.branches);
    MUST_BE(after.page_writes, before.page_writes);
    MUST_BE(after.live_bytes, 0);
    changes_deinit(&changes);
    free(keys);
    return 0;
}

Test(tree_drop, reads_only_the_branches_of_a_tree_without_extents)
{
    world_test(body_cost);
}

static int body_reader(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 2000, 1, 52);
    model_commit(&model, world, 2000);
    struct store_cursor *cursor;
    struct store_cursor_options options = {.values = true, .read_ahead = 4};
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    uint32_t space = 0;
    drop(world, &space, 1);
    MUST_BE(partition_count(world->partition, 0), 0);
    struct store_entry entry;
    for (uint32_t k = 0; k < model.key_count; k++) {
        if (model_at(&model, 0, k)->present) {
            MUST_BE(store_cursor_next(cursor, &entry), 1);
            model_compare(&model, 0, k, &entry, true);
        }
    }
    MUST_BE(store_cursor_next(cursor, &entry), 0);
    store_cursor_close(cursor);
    model_deinit(&model);
    return 0;
}

Test(tree_drop, a_reader_goes_on_with_the_tree_it_began_with)
{
    world_test(body_reader);
}

static int body_fails(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 1000, 1, 53);
    model_commit(&model, world, 1000);
    uint32_t space = 0;
    bool done = false;
    for (uint32_t nth = 1; !done; nth++) {
        MUST(nth < 1000);
        world_reopen(world);
        world_break(world, (struct fault){.kinds = 1 << IO_READ, .nth = nth, .error = -EIO});
        struct store_batch batch = {.applied_lsn = {1000}, .drop_spaces = &space, .drop_count = 1};
        int err = partition_commit(world->partition, &batch);
        done = world->fault.failed == 0;
        world_heal(world);
        MUST_BE(err, done ? 0 : -EIO);
        if (!done) {
            model_check_cursors(&model, world, false);
            world_verify(world);
        }
    }
    MUST_BE(world_verify(world).pages_live, 0);
    model_deinit(&model);
    return 0;
}

Test(tree_drop, a_failed_read_leaves_the_tree)
{
    world_test(body_fails);
}
