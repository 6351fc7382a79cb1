/*
 * cache: what stays and what goes, limits, pins. Reads that are shared and reads that fail are in
 * tree_search_test.c and tree_page_test.c.
 */
#include "stores.h"

#include <string.h>

#include "store/cache.h"
#include "store/page.h"
#include "store/partition.h"

enum { TAG = 5 };

static uint64_t bytes_of(uint32_t frames)
{
    return (uint64_t)frames * CACHE_FRAME_BYTES;
}

static struct file_pos pos_of(uint32_t number)
{
    return file_pos_make(1, number);
}

/* A page of which only the kind and a number count. */
static void insert(struct cache *cache, uint32_t number, enum page_kind kind)
{
    static uint8_t page[STORE_PAGE_BYTES];
    page[PAGE_AT_KIND] = (uint8_t)kind;
    memcpy(page + 100, &number, sizeof(number));
    cache_insert(cache, TAG, pos_of(number), page);
}

static bool has(struct cache *cache, uint32_t number, enum cache_use use)
{
    struct frame *frame = cache_find(cache, TAG, pos_of(number), use);
    if (frame == NULL) {
        return false;
    }
    uint32_t found;
    memcpy(&found, frame->page + 100, sizeof(found));
    MUST_BE(found, number);
    cache_unpin(cache, frame);
    return true;
}

static uint32_t frames_of(const struct cache *cache)
{
    struct cache_stats stats;
    cache_stats(cache, &stats);
    return stats.frames;
}

static struct cache *make(struct shard *shard, uint32_t frames)
{
    struct cache *cache;
    MUST_BE(cache_create(shard, bytes_of(frames), &cache), 0);
    MUST_BE(cache_frames_max(cache), frames);
    return cache;
}

static int body_limit(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 100);
    for (uint32_t i = 0; i < 100; i++) {
        insert(cache, i, PAGE_KIND_LEAF);
    }
    MUST_BE(frames_of(cache), 100);
    for (uint32_t i = 0; i < 100; i++) {
        MUST(has(cache, i, CACHE_USE_SCAN));
    }
    insert(cache, 100, PAGE_KIND_LEAF);
    MUST_BE(frames_of(cache), 100);
    MUST(!has(cache, 0, CACHE_USE_SCAN) && has(cache, 100, CACHE_USE_SCAN));
    cache_destroy(cache);
    return 0;
}

Test(cache, holds_as_many_pages_as_the_budget_and_no_more)
{
    world_test(body_limit);
}

static int body_scan(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 200);
    for (uint32_t i = 0; i < 100; i++) { /* read twice each */
        insert(cache, i, PAGE_KIND_LEAF);
        MUST(has(cache, i, CACHE_USE_POINT));
    }
    for (uint32_t i = 1000; i < 6000; i++) { /* a scan passes through */
        insert(cache, i, PAGE_KIND_LEAF);
        MUST(has(cache, i, CACHE_USE_SCAN));
    }
    for (uint32_t i = 0; i < 100; i++) {
        MUST(has(cache, i, CACHE_USE_SCAN));
    }
    cache_destroy(cache);
    return 0;
}

Test(cache, a_scan_does_not_push_out_what_was_read_twice)
{
    world_test(body_scan);
}

static int body_branches(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 100);
    for (uint32_t i = 0; i < 60; i++) {
        insert(cache, i, PAGE_KIND_BRANCH);
    }
    for (uint32_t i = 1000; i < 3000; i++) {
        insert(cache, i, PAGE_KIND_LEAF);
        MUST(has(cache, i, CACHE_USE_POINT) && has(cache, i, CACHE_USE_POINT));
    }
    for (uint32_t i = 0; i < 60; i++) {
        MUST(has(cache, i, CACHE_USE_SCAN));
    }
    struct cache_stats stats;
    cache_stats(cache, &stats);
    MUST_BE(stats.branch_bytes, bytes_of(60));
    /* With nothing but branches the oldest branch goes. */
    for (uint32_t i = 100; i < 141; i++) {
        insert(cache, i, PAGE_KIND_BRANCH);
    }
    MUST_BE(frames_of(cache), 100);
    uint32_t branches = 0;
    for (uint32_t i = 0; i < 141; i++) {
        branches += has(cache, i, CACHE_USE_SCAN);
    }
    MUST_BE(branches, 100);
    cache_destroy(cache);
    return 0;
}

Test(cache, branches_go_only_when_no_leaf_can)
{
    world_test(body_branches);
}

static int body_budget(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 500);
    for (uint32_t i = 0; i < 500; i++) {
        insert(cache, i, PAGE_KIND_LEAF);
    }
    struct frame *pinned[40];
    for (uint32_t i = 0; i < 40; i++) {
        pinned[i] = cache_find(cache, TAG, pos_of(i), CACHE_USE_POINT);
    }
    cache_set_bytes(cache, bytes_of(20));
    MUST_BE(frames_of(cache), 40); /* what is pinned stays */
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t found;
        memcpy(&found, pinned[i]->page + 100, sizeof(found));
        MUST_BE(found, i);
        cache_unpin(cache, pinned[i]);
    }
    MUST_BE(frames_of(cache), 20);
    cache_set_bytes(cache, bytes_of(300));
    for (uint32_t i = 1000; i < 1400; i++) {
        insert(cache, i, PAGE_KIND_LEAF);
    }
    MUST_BE(frames_of(cache), 300);
    cache_set_bytes(cache, 0);
    MUST_BE(frames_of(cache), CACHE_FRAMES_MIN);
    cache_destroy(cache);
    return 0;
}

Test(cache, the_budget_can_change_and_pinned_pages_stay)
{
    world_test(body_budget);
}

static int body_demote(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 50);
    for (uint32_t i = 0; i < 50; i++) {
        insert(cache, i, i == 30 ? PAGE_KIND_BRANCH : PAGE_KIND_LEAF);
        MUST(has(cache, i, CACHE_USE_POINT));
    }
    cache_demote(cache, TAG, pos_of(20));
    cache_demote(cache, TAG, pos_of(30));
    cache_demote(cache, TAG, pos_of(999)); /* not there: fine */
    insert(cache, 100, PAGE_KIND_LEAF);
    insert(cache, 101, PAGE_KIND_LEAF);
    MUST(!has(cache, 20, CACHE_USE_SCAN) && !has(cache, 30, CACHE_USE_SCAN));
    for (uint32_t i = 0; i < 50; i++) {
        MUST(i == 20 || i == 30 || has(cache, i, CACHE_USE_SCAN));
    }
    cache_destroy(cache);
    return 0;
}

Test(cache, a_page_that_was_replaced_goes_first)
{
    world_test(body_demote);
}

static int body_tags(struct shard *shard, void *argument)
{
    (void)argument;
    struct cache *cache = make(shard, 5000);
    for (uint32_t i = 0; i < 4000; i++) { /* the table grows meanwhile */
        insert(cache, i, PAGE_KIND_LEAF);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        MUST(has(cache, i, CACHE_USE_SCAN));
        MUST(cache_find(cache, TAG + 1, pos_of(i), CACHE_USE_SCAN) == NULL);
    }
    MUST(!has(cache, 4000, CACHE_USE_SCAN));
    cache_destroy(cache);
    return 0;
}

Test(cache, finds_by_tag_and_position)
{
    world_test(body_tags);
}

/* ---- pins without end ---- */

/* Starts reads of the world's pages until the cache refuses; all stay pinned. */
static int body_pins(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct changes changes = {0};
    enum { KEYS = 20000 };
    char(*keys)[16] = malloc(KEYS * 16);
    static uint8_t value[100];
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(value, 100));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    world_reopen(world);
    store_set_cache_bytes(world->store, 0);
    struct store_found *found = calloc(KEYS, sizeof(*found));
    uint32_t pinned = 0;
    int err = 1;
    struct store_cursor_options options = {.space = WORLD_SPACE};
    struct store_cursor **cursors = calloc(KEYS, sizeof(struct store_cursor *));
    struct store_entry entry;
    uint32_t count = 0;
    for (; err > 0 && count < 1000; count++) { /* each pins its leaf and its branches */
        options.from = slice_cstr(keys[count * 20]);
        err = store_cursor_open(world->partition, &options, &cursors[count]);
        if (err == 0) {
            err = store_cursor_next(cursors[count], &entry);
            if (err < 0) {
                store_cursor_close(cursors[count]);
            }
        }
        pinned += err > 0;
    }
    MUST_BE(err, ERR_LIMIT);
    struct store_stats stats;
    store_stats(world->store, &stats);
    MUST_BE(stats.cache_bytes, bytes_of(CACHE_FRAMES_MIN + CACHE_FRAMES_EXTRA));
    MUST(pinned > 100 && pinned < 1000);
    for (uint32_t i = 0; i < pinned; i++) {
        store_cursor_close(cursors[i]);
    }
    store_stats(world->store, &stats);
    MUST_BE(stats.cache_bytes, bytes_of(CACHE_FRAMES_MIN));
    MUST_BE(store_get(world->partition, WORLD_SPACE, slice_cstr(keys[KEYS - 1]), &found[0]), 1);
    store_found_release(world->partition, &found[0]);
    world_verify(world);
    free(found);
    free(cursors);
    changes_deinit(&changes);
    free(keys);
    return 0;
}

Test(cache, when_all_is_pinned_a_bounded_number_more_is_made_and_then_none)
{
    world_test(body_pins);
}
