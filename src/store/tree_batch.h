/*
 * tree_batch: the changes of one commit to the trees of a partition.
 *
 * Model. The sorted changes of a tree are cut into tasks, one for each leaf that they touch, by
 * walking the branches once. The leaves of the next tasks are read ahead, reads_in_flight at a
 * time, while earlier ones are merged and written. A leaf that stays one leaf keeps its id, so its
 * branch does not change. Where leaves split or vanish, the change to the parent is noted; a branch
 * is rewritten when the tasks leave it, and so on upwards.
 *
 * Nothing here changes what readers see: all goes into a struct commit, which partition_commit.c
 * publishes or gives up.
 *
 * Who calls: partition_commit.c. One thread; co_fn as marked.
 */
#ifndef STORE_TREE_BATCH_H
#define STORE_TREE_BATCH_H

#include <stdint.h>

#include "base/error.h"
#include "shard/coro.h"
#include "store/data_writer.h"
#include "store/mapper.h"
#include "store/merge.h"
#include "store/partition.h"

/* Everything that a commit prepares. */
struct commit {
    struct partition *partition;
    const struct store_batch *batch;
    struct version *base; /* held */
    struct mapper_change map;
    struct data_writer writer;
    struct merger merger;
    uint8_t *existed; /* one bit for each change */
    uint64_t pages_written;
};

/* Applies the changes [begin, end) of the batch, all of one space, to its tree. `tree` has the base
 * version's tree (height 0: none) and receives the new one (height 0: no key is left). Suspends. */
NODISCARD co_fn int tree_batch_apply(struct commit *commit, uint32_t begin, uint32_t end,
                                     struct tree *tree);

/* Frees every page and extent of a tree of the base version. Leaves are read only if the tree has
 * extents. Suspends. */
NODISCARD co_fn int tree_batch_drop(struct commit *commit, const struct tree *tree);

/* A page of the base version is no longer part of the tree. */
NODISCARD int commit_free_page(struct commit *commit, struct page_id id);
/* An extent of the base version is dead. */
NODISCARD int commit_free_extent(struct commit *commit, const struct extent *extent);

#endif
