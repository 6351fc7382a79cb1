/*
 * partition: what a store and a partition are made of; private to the store room.
 *
 * A partition's state is its newest `struct version`, which never changes once published: the roots
 * of the trees and the map. Readers hold a version (version_hold). Everything that a commit
 * prepares lives in a struct commit (tree_batch.h) until partition.c publishes it in one step.
 */
#ifndef STORE_PARTITION_H
#define STORE_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "shard/shard.h"
#include "shard/sync.h"
#include "store/cache.h"
#include "store/datafile.h"
#include "store/manifest.h"
#include "store/mapper.h"
#include "store/snapshot.h"
#include "store/store.h"

enum {
    STORE_FILES_OPEN_MAX = 256, /* data files open at once, per shard */
    STORE_READS_MAX = 64,       /* upper limit of reads_in_flight and read_ahead */
};

struct store {
    struct shard *shard;
    struct store_options options; /* dir is borrowed */
    struct cache *cache;
    struct datafile_pool pool;
    struct list partitions;    /* open ones */
    uint32_t tag_next;         /* for the cache: one for each opening of a partition */
    struct store_stats totals; /* what is counted, as far as it is not in the parts */
};

/* One version of the partition. */
struct version {
    struct snapshot snapshot;
    struct mapper_root *map;
    struct lsn applied;
    uint32_t tree_count;
    struct tree trees[]; /* by space */
};

struct partition {
    struct store *store;
    struct list_node node;
    uint32_t number;
    uint32_t tag; /* of its frames in the cache */
    char *dir;    /* owned */
    struct mapper *mapper;
    struct datafiles files;
    struct manifest manifest;
    struct snapshots snapshots;
    struct co_mutex committing;
    struct co_event released; /* some version was let go */
    struct list leftovers;    /* files to dispose of once a new commit is durable */
    bool failed;              /* a sync failed: no commit any more */
};

static inline struct version *partition_version(const struct partition *partition)
{
    return container_of(snapshots_current(&partition->snapshots), struct version, snapshot);
}

/* Keeps everything that the newest version needs until version_release. */
struct version *version_hold(struct partition *partition);
void version_release(struct partition *partition, struct version *version);

/* An empty version with room for trees_max trees; NULL without memory. */
struct version *version_create(uint64_t number, uint32_t trees_max);

/* The tree of a space, NULL if it has no keys. */
const struct tree *version_tree(const struct version *version, uint32_t space);

/* A failed sync or the like: tells the server, which must not go on. */
void partition_fail(struct partition *partition, int error);

/* A file that may go once the next commit is durable. */
void partition_leave_over(struct partition *partition, const char *path);
void partition_clear_leftovers(struct partition *partition, bool dispose);

#endif
