/*
 * store: options and figures.
 */
#include "stores.h"

static int body_options(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct store *store;
    struct store_options good = world->options;
    struct store_options options[] = {good, good, good, good, good, good, good, good};
    options[0].dir = NULL;
    options[1].dispose = NULL;
    options[2].on_failure = NULL;
    options[3].data_file_bytes = (1 << 20) - 4096;
    options[4].data_file_bytes = (1u << 30) + 4096;
    options[5].data_file_bytes = (1 << 20) + 1;
    options[6].write_bytes = 256 * 1024 + 4096;
    options[7].write_bytes = 4095;
    for (uint32_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        MUST_BE(store_create(shard, &options[i], &store), ERR_CONFIG);
    }
    good.data_file_bytes = 1 << 20;
    good.write_bytes = 4096;
    MUST_BE(store_create(shard, &good, &store), 0);
    store_destroy(store);
    good.data_file_bytes = 1 << 30;
    good.write_bytes = 256 * 1024;
    MUST_BE(store_create(shard, &good, &store), 0);
    store_destroy(store);
    return 0;
}

Test(store, takes_only_options_within_the_limits)
{
    world_test(body_options);
}

static int body_stats(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    struct store_stats stats;
    store_stats(world->store, &stats);
    MUST(stats.data_files == 0 && stats.commits == 0 && stats.page_writes == 0);
    MUST_BE(world_put(world, "a", "1"), 0);
    MUST_BE(world_put(world, "a", "2"), 0);
    store_stats(world->store, &stats);
    MUST(stats.data_files == 1 && stats.commits == 2 && stats.page_writes == 2);
    MUST(stats.data_bytes == 8192 && stats.live_bytes == 4096 && stats.commit_bytes == 8192);
    MUST(stats.manifest_bytes == 3 * 4096 && stats.mapping_bytes > 0);
    uint64_t misses = stats.cache_misses;
    MUST(world_holds(world, "a", "2") && world_holds(world, "a", "2"));
    store_stats(world->store, &stats);
    MUST(stats.cache_misses == misses + 1 && stats.cache_hits >= 1 && stats.page_reads >= 1);
    return 0;
}

Test(store, counts_what_it_does)
{
    world_test(body_stats);
}
