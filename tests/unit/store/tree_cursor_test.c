/*
 * tree_cursor: both directions, any start, and a snapshot that commits don't reach.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>

/* The index of the first key of the model that is not below `key`. */
static uint32_t lower_bound(const struct model *model, struct slice key)
{
    uint32_t at = 0;
    while (at < model->key_count && slice_compare(model->keys[at], key) < 0) {
        at++;
    }
    return at;
}

/* Walks from `options` on and compares with the model. */
co_fn static void check_from(struct model *model, struct world *world,
                             const struct store_cursor_options *options)
{
    struct store_cursor *cursor;
    MUST_BE(store_cursor_open(world->partition, options, &cursor), 0);
    int64_t k = lower_bound(model, options->from);
    bool exact = k < model->key_count && slice_equal(model->keys[k], options->from);
    if (options->reverse) {
        k = exact && !options->exclusive ? k : k - 1;
    } else if (exact && options->exclusive) {
        k++;
    }
    int step = options->reverse ? -1 : 1;
    struct store_entry entry;
    for (uint32_t steps = 0; k >= 0 && k < model->key_count && steps < 200; k += step) {
        if (model_at(model, options->space / 10, (uint32_t)k)->present) {
            MUST_BE(store_cursor_next(cursor, &entry), 1);
            model_compare(model, options->space / 10, (uint32_t)k, &entry, options->values);
            steps++;
        }
    }
    if (k < 0 || k >= model->key_count) {
        MUST_BE(store_cursor_next(cursor, &entry), 0);
    }
    store_cursor_close(cursor);
}

static int body_from(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 3000, 2, 21);
    for (uint32_t round = 0; round < 8; round++) {
        model_commit(&model, world, 1500);
    }
    struct random *random = &model.random;
    uint8_t other[40];
    for (uint32_t i = 0; i < 400; i++) {
        struct slice from = model.keys[random_below(random, model.key_count)];
        if (i % 4 == 0) { /* most likely no key at all */
            uint32_t bytes = 1 + (uint32_t)random_below(random, sizeof(other) - 1);
            for (uint32_t b = 0; b < bytes; b++) {
                other[b] = (uint8_t)random_u64(random);
            }
            from = slice_of(other, bytes);
        }
        struct store_cursor_options options = {
            .space = model_space(i % 2),
            .from = from,
            .reverse = (i & 4) != 0,
            .exclusive = (i & 8) != 0,
            .values = (i & 16) != 0,
            .read_ahead = (uint32_t)random_below(random, 12),
        };
        check_from(&model, world, &options);
    }
    model_deinit(&model);
    return 0;
}

Test(tree_cursor, starts_anywhere_in_both_directions)
{
    world_test(body_from);
}

/* Cursors of several ages, moved on a few entries between commits, against models of their time. */
enum { AGES = 4 };

struct aged {
    struct model model; /* a copy of the values as of the opening */
    struct store_cursor *cursor;
    bool reverse;
    uint32_t at; /* keys passed */
};

static void aged_open(struct aged *aged, const struct model *now, struct world *world, bool reverse)
{
    size_t bytes = (size_t)now->key_count * now->space_count * sizeof(now->values[0]);
    aged->model = *now;
    aged->model.values = malloc(bytes);
    memcpy(aged->model.values, now->values, bytes);
    aged->reverse = reverse;
    aged->at = 0;
    struct store_cursor_options options = {.reverse = reverse, .values = true, .read_ahead = 4};
    MUST_BE(store_cursor_open(world->partition, &options, &aged->cursor), 0);
}

co_fn static void aged_step(struct aged *aged, uint32_t entries)
{
    struct model *model = &aged->model;
    struct store_entry entry;
    while (entries > 0 && aged->at < model->key_count) {
        uint32_t k = aged->reverse ? model->key_count - 1 - aged->at : aged->at;
        aged->at++;
        if (model_at(model, 0, k)->present) {
            MUST_BE(store_cursor_next(aged->cursor, &entry), 1);
            model_compare(model, 0, k, &entry, true);
            entries--;
        }
    }
    if (entries > 0) {
        MUST_BE(store_cursor_next(aged->cursor, &entry), 0);
    }
}

static void aged_close(struct aged *aged)
{
    store_cursor_close(aged->cursor);
    free(aged->model.values);
}

static int body_snapshots(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 2000, 1, 22);
    model_commit(&model, world, 2000);
    struct aged aged[AGES];
    for (uint32_t i = 0; i < AGES; i++) {
        aged_open(&aged[i], &model, world, i % 2 != 0);
        model_commit(&model, world, 500);
    }
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t which = (uint32_t)random_below(&model.random, AGES);
        aged_step(&aged[which], 150);
        model_commit(&model, world, 300);
        if (round % 10 == 9) {
            aged_close(&aged[which]);
            aged_open(&aged[which], &model, world, round % 20 == 9);
        }
    }
    for (uint32_t i = 0; i < AGES; i++) {
        aged_step(&aged[i], UINT32_MAX);
        aged_close(&aged[i]);
    }
    model_check_cursors(&model, world, false);
    world_verify(world);
    model_deinit(&model);
    return 0;
}

Test(tree_cursor, shows_the_state_at_its_opening_whatever_is_committed)
{
    world_test(body_snapshots);
}

static int body_edges(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct store_cursor *cursor;
    struct store_entry entry;
    struct store_cursor_options options = {.space = WORLD_SPACE};
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    MUST_BE(store_cursor_next(cursor, &entry), 0);
    store_cursor_close(cursor);

    MUST_BE(world_put(world, "", "the empty key"), 0);
    MUST_BE(world_put(world, "b", "bee"), 0);
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    MUST_BE(store_cursor_next(cursor, &entry), 1);
    MUST(entry.key.bytes == 0 && entry.value.bytes == 0 && entry.value_bytes == 13);
    MUST_BE(store_cursor_next(cursor, &entry), 1);
    MUST(slice_equal(entry.key, slice_cstr("b")));
    MUST_BE(store_cursor_next(cursor, &entry), 0);
    store_cursor_close(cursor);

    static uint8_t long_key[STORE_KEY_BYTES_MAX + 1];
    options.from = slice_of(long_key, STORE_KEY_BYTES_MAX);
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    MUST_BE(store_cursor_next(cursor, &entry), 1);
    store_cursor_close(cursor);
    options.from = slice_of(long_key, STORE_KEY_BYTES_MAX + 1);
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), ERR_KEY_TOO_LONG);
    return 0;
}

Test(tree_cursor, knows_the_empty_tree_the_empty_key_and_the_longest)
{
    world_test(body_edges);
}

static int body_error(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 2000, 1, 23);
    model_commit(&model, world, 2000);
    world_reopen(world);
    struct store_cursor_options options = {.read_ahead = 8};
    struct store_cursor *cursor;
    MUST_BE(store_cursor_open(world->partition, &options, &cursor), 0);
    world_break(world, (struct fault){.kinds = 1 << IO_READ, .nth = 5, .error = -EIO});
    struct store_entry entry;
    int err = 1;
    uint32_t seen = 0;
    for (; err > 0; seen++) {
        err = store_cursor_next(cursor, &entry);
    }
    MUST_BE(err, -EIO);
    MUST(seen > 1);
    world_heal(world);
    MUST_BE(store_cursor_next(cursor, &entry), -EIO);
    store_cursor_close(cursor);
    model_check_cursors(&model, world, true);
    model_deinit(&model);
    return 0;
}

Test(tree_cursor, an_error_ends_it_and_is_not_taken_for_the_end)
{
    world_test(body_error);
}
