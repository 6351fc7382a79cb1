/*
 * tree_search: what a lookup costs, floor and random against the model, reads that are shared.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>

static struct store_stats stats_of(struct world *world)
{
    struct store_stats stats;
    store_stats(world->store, &stats);
    return stats;
}

/* `count` keys "key%06u" with a value of value_bytes, in one commit. */
co_fn static void put_many(struct world *world, uint32_t count, uint32_t value_bytes)
{
    struct changes changes = {0};
    char *keys = malloc((size_t)count * 16);
    uint8_t *value = calloc(1, value_bytes + 1);
    for (uint32_t i = 0; i < count; i++) {
        char *key = keys + (size_t)i * 16;
        snprintf(key, 16, "key%06u", i);
        changes_put(&changes, WORLD_SPACE, slice_cstr(key), slice_of(value, value_bytes));
    }
    MUST_BE(changes_commit(world, &changes), 0);
    changes_deinit(&changes);
    free(keys);
    free(value);
}

co_fn static int get_number(struct world *world, uint32_t number)
{
    char key[16];
    snprintf(key, sizeof(key), "key%06u", number);
    struct store_found found;
    int err = store_get(world->partition, WORLD_SPACE, slice_cstr(key), &found);
    if (err > 0) {
        store_found_release(world->partition, &found);
    }
    return err;
}

static int body_one_read(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 20000, 100);
    struct store_report report = world_verify(world);
    MUST(report.height_max >= 3 || report.branches >= 1);
    world_reopen(world);
    for (uint32_t i = 0; i < 20000; i += 37) {
        MUST_BE(get_number(world, i), 1); /* all branches are cached now */
    }
    store_set_cache_bytes(world->store, 0); /* leaves go first ... */
    store_set_cache_bytes(world->store, 1 << 20);
    for (uint32_t i = 19; i < 20000; i += 1999) {
        struct store_stats before = stats_of(world);
        MUST_BE(get_number(world, i), 1);
        MUST_BE(stats_of(world).page_reads - before.page_reads, 1);
        MUST_BE(get_number(world, i), 1);
        MUST_BE(stats_of(world).page_reads - before.page_reads, 1);
    }
    MUST_BE(get_number(world, 20000), 0);
    return 0;
}

Test(tree_search, a_cold_key_costs_one_read_once_the_branches_are_cached)
{
    world_test(body_one_read);
}

static int body_extent_reads(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 3, 10000);
    world_reopen(world);
    struct store_stats before = stats_of(world);
    MUST_BE(get_number(world, 1), 1);
    struct store_stats after = stats_of(world);
    MUST_BE(after.page_reads - before.page_reads, 1 + 3);
    before = after;
    MUST_BE(store_exists(world->partition, WORLD_SPACE, slice_cstr("key000002")), 1);
    MUST_BE(store_exists(world->partition, WORLD_SPACE, slice_cstr("key000003")), 0);
    MUST_BE(store_exists(world->partition, WORLD_SPACE + 1, slice_cstr("key000002")), 0);
    MUST_BE(stats_of(world).page_reads, before.page_reads);
    return 0;
}

Test(tree_search, an_extent_costs_its_pages_and_exists_does_not_read_it)
{
    world_test(body_extent_reads);
}

/* ---- many at once ---- */

struct crowd {
    struct world *world;
    struct co_group *group;
    uint32_t number;
    int result;
};

static void crowd_main(void *argument)
{
    struct crowd *one = argument;
    one->result = get_number(one->world, one->number);
    co_group_done(one->group);
}

/* All of them at the same time, each in a coroutine. */
co_fn static void run_crowd(struct world *world, struct crowd *crowd, uint32_t count)
{
    struct co_group group;
    co_group_init(&group);
    co_group_add(&group, count);
    for (uint32_t i = 0; i < count; i++) {
        crowd[i].world = world;
        crowd[i].group = &group;
        MUST_BE(coro_start(shard_sched(world->shard), "get", CORO_NORMAL, crowd_main, &crowd[i]),
                0);
    }
    co_group_wait(&group);
}

static int body_shared(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 10, 100);
    world_reopen(world);
    enum { READERS = 200 };
    struct crowd crowd[READERS] = {0};
    struct store_stats before = stats_of(world);
    for (uint32_t i = 0; i < READERS; i++) {
        crowd[i].number = i % 12;
    }
    run_crowd(world, crowd, READERS);
    for (uint32_t i = 0; i < READERS; i++) {
        MUST_BE(crowd[i].result, i % 12 < 10);
    }
    MUST_BE(stats_of(world).page_reads - before.page_reads, 1);
    return 0;
}

Test(tree_search, readers_of_one_page_share_its_read)
{
    world_test(body_shared);
}

static int body_shared_error(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 10, 100);
    world_reopen(world);
    enum { READERS = 50 };
    struct crowd crowd[READERS] = {0};
    world_break(world, (struct fault){.kinds = 1 << IO_READ, .nth = 1, .error = -EIO});
    run_crowd(world, crowd, READERS);
    for (uint32_t i = 0; i < READERS; i++) {
        MUST_BE(crowd[i].result, -EIO);
    }
    run_crowd(world, crowd, READERS);
    for (uint32_t i = 0; i < READERS; i++) {
        MUST_BE(crowd[i].result, 1);
    }
    return 0;
}

Test(tree_search, a_failed_read_fails_those_who_shared_it_and_no_later_one)
{
    world_test(body_shared_error);
}

static int body_crowded(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    put_many(world, 30000, 100);
    world_reopen(world);
    store_set_cache_bytes(world->store, 0); /* 16 frames */
    enum { READERS = 1500 };
    struct crowd *crowd = calloc(READERS, sizeof(*crowd));
    for (uint32_t i = 0; i < READERS; i++) {
        crowd[i].number = i * 20;
    }
    run_crowd(world, crowd, READERS);
    for (uint32_t i = 0; i < READERS; i++) {
        MUST_BE(crowd[i].result, 1);
    }
    free(crowd);
    return 0;
}

Test(tree_search, more_lookups_than_frames_wait_for_each_other)
{
    world_test(body_crowded);
}

/* ---- floor and random ---- */

static int body_floor(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct model model;
    model_init(&model, 3000, 1, 31);
    uint8_t buffer[STORE_KEY_BYTES_MAX];
    struct store_found found;
    MUST_BE(store_floor(world->partition, 0, model.keys[5], buffer, &found), 0);
    for (uint32_t round = 0; round < 6; round++) {
        model_commit(&model, world, 800);
        int64_t below = -1; /* the last key present so far */
        for (uint32_t k = 0; k < model.key_count; k++) {
            below = model_at(&model, 0, k)->present ? (int64_t)k : below;
            int err = store_floor(world->partition, 0, model.keys[k], buffer, &found);
            MUST_BE(err, below >= 0);
            if (err > 0) {
                model_compare(&model, 0, (uint32_t)below, &found.entry, true);
                store_found_release(world->partition, &found);
            }
        }
    }
    model_deinit(&model);
    return 0;
}

Test(tree_search, floor_finds_the_largest_key_at_or_below_with_its_own_expiry)
{
    world_test(body_floor);
}

/* "key000123" is 123; a key has no end of its own. */
static uint32_t number_of(struct slice key)
{
    uint32_t number = 0;
    for (size_t i = 3; i < key.bytes; i++) {
        number = number * 10 + (uint32_t)(key.data[i] - '0');
    }
    return number;
}

static int body_random(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct random random;
    random_seed(&random, 3);
    uint8_t buffer[STORE_KEY_BYTES_MAX];
    struct store_found found;
    MUST_BE(store_random(world->partition, WORLD_SPACE, &random, buffer, &found), 0);
    enum { KEYS = 1000, DRAWS = 20000 };
    put_many(world, KEYS, 100);
    uint32_t drawn[KEYS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        MUST_BE(store_random(world->partition, WORLD_SPACE, &random, buffer, &found), 1);
        uint32_t number = number_of(found.entry.key);
        MUST(number < KEYS);
        drawn[number]++;
        store_found_release(world->partition, &found);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        MUST(drawn[i] > 0 && drawn[i] < 20 * DRAWS / KEYS);
    }
    return 0;
}

Test(tree_search, random_meets_every_key)
{
    world_test(body_random);
}

/* ---- while commits go on ---- */

struct reader {
    struct world *world;
    struct co_group *group;
    struct random random;
    bool stop;
    uint64_t gets;
};

/* Key and value move together: every commit writes the same text to all keys. */
static void reader_main(void *argument)
{
    struct reader *reader = argument;
    while (!reader->stop) {
        char key[16];
        snprintf(key, sizeof(key), "key%06u", (uint32_t)random_below(&reader->random, 2000));
        struct store_found found;
        uint64_t before = partition_applied(reader->world->partition).value;
        MUST_BE(store_get(reader->world->partition, WORLD_SPACE, slice_cstr(key), &found), 1);
        uint64_t after = partition_applied(reader->world->partition).value;
        MUST_BE(found.entry.value.bytes, 8);
        uint64_t wrote;
        memcpy(&wrote, found.entry.value.data, 8);
        MUST(wrote >= before && wrote <= after);
        store_found_release(reader->world->partition, &found);
        reader->gets++;
        co_yield ();
    }
    co_group_done(reader->group);
}

static int body_concurrent(struct shard *shard, void *argument)
{
    struct world *world = argument;
    enum { KEYS = 2000, READERS = 8, COMMITS = 60 };
    char(*keys)[16] = malloc(KEYS * 16);
    struct changes changes = {0};
    struct co_group group;
    struct reader readers[READERS];
    co_group_init(&group);
    for (uint64_t commit = 1; commit <= COMMITS; commit++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            snprintf(keys[i], 16, "key%06u", i);
            changes_put(&changes, WORLD_SPACE, slice_cstr(keys[i]), slice_of(&commit, 8));
        }
        MUST_BE(changes_commit(world, &changes), 0);
        MUST_BE(partition_applied(world->partition).value, commit);
        for (uint32_t r = 0; commit == 1 && r < READERS; r++) {
            readers[r] = (struct reader){.world = world, .group = &group};
            random_seed(&readers[r].random, r);
            co_group_add(&group, 1);
            MUST_BE(coro_start(shard_sched(shard), "reader", CORO_NORMAL, reader_main, &readers[r]),
                    0);
        }
    }
    for (uint32_t r = 0; r < READERS; r++) {
        MUST(readers[r].gets > 0);
        readers[r].stop = true;
    }
    co_group_wait(&group);
    changes_deinit(&changes);
    free(keys);
    return 0;
}

Test(tree_search, lookups_during_commits_see_a_version_of_their_time)
{
    world_test(body_concurrent);
}
