#include "store/store.h"

#include "base/assert.h"
#include "base/mem.h"
#include "store/partition.h"

enum {
    DATA_FILE_BYTES_MIN = 1 << 20,
    DATA_FILE_BYTES_MAX = 1 << 30,
    WRITE_BYTES_MAX = 256 * 1024,
};

static bool options_valid(const struct store_options *options)
{
    return options->dir != NULL && options->dispose != NULL && options->on_failure != NULL &&
           options->data_file_bytes >= DATA_FILE_BYTES_MIN &&
           options->data_file_bytes <= DATA_FILE_BYTES_MAX &&
           is_aligned(options->data_file_bytes, STORE_PAGE_BYTES) &&
           options->write_bytes >= STORE_PAGE_BYTES && options->write_bytes <= WRITE_BYTES_MAX &&
           is_aligned(options->write_bytes, STORE_PAGE_BYTES);
}

int store_create(struct shard *shard, const struct store_options *options, struct store **ret_store)
{
    if (!options_valid(options)) {
        return ERR_CONFIG;
    }
    struct store *store = mem_calloc(1, sizeof(*store));
    if (store == NULL) {
        return ERR_MEMORY;
    }
    int err = cache_create(shard, options->cache_bytes, &store->cache);
    if (err < 0) {
        mem_free(store);
        return err;
    }
    store->shard = shard;
    store->options = *options;
    datafile_pool_init(&store->pool, shard, STORE_FILES_OPEN_MAX);
    list_init(&store->partitions);
    *ret_store = store;
    return 0;
}

void store_destroy(struct store *store)
{
    if (store == NULL) {
        return;
    }
    ASSERT(list_empty(&store->partitions));
    cache_destroy(store->cache);
    mem_free(store);
}

void store_set_cache_bytes(struct store *store, uint64_t bytes)
{
    cache_set_bytes(store->cache, bytes);
}

static void stats_add_partition(const struct partition *partition, struct store_stats *stats)
{
    const struct datafiles *files = &partition->files;
    stats->mapping_bytes += mapper_bytes(partition->mapper);
    stats->manifest_bytes += partition->manifest.written_bytes;
    stats->data_files += files->count;
    for (uint32_t i = 0; i < files->count; i++) {
        stats->data_bytes += (uint64_t)files->files[i]->pages * STORE_PAGE_BYTES;
        stats->live_bytes += (uint64_t)files->files[i]->live * STORE_PAGE_BYTES;
    }
}

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
    struct store_stats stats = store->totals;
    struct cache_stats cache;
    cache_stats(store->cache, &cache);
    stats.page_reads += cache.reads;
    stats.page_read_bytes += cache.reads * STORE_PAGE_BYTES;
    stats.cache_hits = cache.hits;
    stats.cache_misses = cache.misses;
    stats.cache_bytes = cache.bytes;
    stats.branch_bytes = cache.branch_bytes;
    LIST_FOREACH (&store->partitions, node) {
        stats_add_partition(container_of(node, struct partition, node), &stats);
    }
    *ret_stats = stats;
}
