/*
 * leaf_stream: every leaf once, in order, with any window; with a cache that is too small for it.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>

#include "store/leaf.h"
#include "store/leaf_stream.h"

/* Walks all leaves; returns how many, and checks that keys ascend (or descend) across them. */
co_fn static int walk(struct world *world, uint32_t window, bool backward)
{
    struct leaf_stream *stream = malloc(sizeof(*stream));
    struct version *version = version_hold(world->partition);
    struct leaf_stream_start start = {
        .partition = world->partition,
        .version = version,
        .tree = version_tree(version, WORLD_SPACE),
        .backward = backward,
        .window = window,
    };
    uint8_t last[STORE_KEY_BYTES_MAX];
    uint8_t key[STORE_KEY_BYTES_MAX];
    uint32_t last_bytes = 0;
    int leaves = 0;
    int err = leaf_stream_init(stream, &start);
    if (err == 0) {
        struct frame *leaf;
        while ((err = leaf_stream_next(stream, &leaf)) > 0) {
            uint32_t bytes = leaf_key_copy(leaf->page, 0, key);
            int order = slice_compare(slice_of(last, last_bytes), slice_of(key, bytes));
            MUST(leaves == 0 || (backward ? order > 0 : order < 0));
            memcpy(last, key, bytes);
            last_bytes = bytes;
            leaves++;
        }
        leaf_stream_deinit(stream);
    }
    version_release(world->partition, version);
    free(stream);
    return err < 0 ? err : leaves;
}

co_fn static void fill(struct world *world)
{
    enum { KEYS = 20000 };
    char(*keys)[16] = malloc(KEYS * 16);
    static uint8_t value[100];
    struct changes changes = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(value, i % 100));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(keys);
}

static int body_windows(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    int leaves = (int)world_verify(world).leaves;
    static const uint32_t WINDOWS[] = {0, 1, 2, 7, 63, 64, 1000};
    for (uint32_t i = 0; i < sizeof(WINDOWS) / sizeof(WINDOWS[0]); i++) {
        MUST_BE(walk(world, WINDOWS[i], false), leaves);
        MUST_BE(walk(world, WINDOWS[i], true), leaves);
        world_reopen(world);
    }
    store_set_cache_bytes(world->store, 0);
    MUST_BE(walk(world, 64, false), leaves);
    MUST_BE(walk(world, 64, true), leaves);
    return 0;
}

Test(leaf_stream, meets_every_leaf_once_whatever_the_window)
{
    world_test(body_windows);
}

/* Others have pinned all but a few frames: the window can't be filled. */
static int body_crowded(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    int leaves = (int)world_verify(world).leaves;
    world_reopen(world);
    store_set_cache_bytes(world->store, 0);
    struct store_cursor *cursors[300];
    struct store_cursor_options options = {.space = WORLD_SPACE, .read_ahead = 1};
    struct store_entry entry;
    uint32_t count = 0;
    char from[16];
    struct store_stats stats;
    uint64_t enough = (uint64_t)(CACHE_FRAMES_MIN + CACHE_FRAMES_EXTRA - 10) * CACHE_FRAME_BYTES;
    for (stats.cache_bytes = 0; stats.cache_bytes < enough; count++) {
        MUST(count < 300);
        snprintf(from, sizeof(from), "key%06u", count * 60);
        options.from = slice_cstr(from);
        MUST_BE(store_cursor_open(world->partition, &options, &cursors[count]), 0);
        MUST_BE(store_cursor_next(cursors[count], &entry), 1);
        store_stats(world->store, &stats);
    }
    MUST_BE(walk(world, 64, false), leaves);
    MUST_BE(walk(world, 64, true), leaves);
    for (uint32_t i = 0; i < count; i++) {
        store_cursor_close(cursors[i]);
    }
    return 0;
}

Test(leaf_stream, goes_on_with_the_frames_it_can_get)
{
    world_test(body_crowded);
}

/* Any read may fail, at any place of the window: an error, and nothing stays pinned. */
static int body_errors(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    for (uint32_t nth = 1; nth < 60; nth += 4) {
        world_reopen(world);
        world_break(world, (struct fault){.kinds = 1 << IO_READ, .nth = nth, .error = -EIO});
        MUST_BE(walk(world, 16, nth % 8 == 1), -EIO);
        world_heal(world);
        store_set_cache_bytes(world->store, 0);
        struct store_stats stats;
        store_stats(world->store, &stats);
        world_close(world); /* waits for reads that are still under way */
        store_set_cache_bytes(world->store, 0);
        store_stats(world->store, &stats);
        MUST(stats.cache_bytes <= CACHE_FRAMES_MIN * CACHE_FRAME_BYTES); /* the end checks pins */
        store_set_cache_bytes(world->store, 4 << 20);
        MUST_BE(world_try_open(world, false), 0);
    }
    return 0;
}

Test(leaf_stream, an_error_leaves_nothing_pinned)
{
    world_test(body_errors);
}
