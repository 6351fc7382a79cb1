/*
 * tree_page: one page of a tree, through map and cache; and the path from a root to a leaf.
 *
 * A path pins the branches on the way to a leaf: levels[l] is the branch of level l and which of
 * its children the path takes. It moves to the next or previous leaf without looking at leaves.
 * Paths stay on a version that somebody holds.
 *
 * Who calls: tree_*.c. One thread; co_fn as marked.
 */
#ifndef STORE_TREE_PAGE_H
#define STORE_TREE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "shard/coro.h"
#include "store/branch.h"
#include "store/cache.h"
#include "store/partition.h"

/* Which page is wanted. */
struct tree_page {
    struct page_id id;
    uint32_t space;
    uint32_t level; /* 0: a leaf */
    enum cache_use use;
    bool patient; /* the caller has no other page pinned: it may wait for a frame to get free */
};

/* Starts reading the page unless it is cached; may have to open its file. The frame is pinned and
 * must be waited for with tree_page_wait. Suspends. */
NODISCARD co_fn int tree_page_start(struct partition *partition, const struct version *version,
                                    const struct tree_page *page, struct frame **ret_frame);

/* Waits for a started page and checks that it is what is wanted. On error the pin is gone.
 * Suspends. */
NODISCARD co_fn int tree_page_wait(struct partition *partition, const struct tree_page *page,
                                   struct frame *frame);

/* Both at once. Suspends. */
NODISCARD co_fn int tree_page_read(struct partition *partition, const struct version *version,
                                   const struct tree_page *page, struct frame **ret_frame);

void tree_page_release(struct partition *partition, struct frame *frame);

/* ---- paths ---- */

struct path_level {
    struct frame *frame; /* pinned; NULL above and below the path */
    struct page_id id;
    uint32_t index; /* of the child taken */
};

struct tree_path {
    struct partition *partition;
    const struct version *version;
    const struct tree *tree;
    enum cache_use use;
    struct path_level levels[TREE_HEIGHT_MAX]; /* by level; [0] is the leaf: only id */
};

/* A path to nowhere yet. Borrows everything. */
void tree_path_init(struct tree_path *path, struct partition *partition,
                    const struct version *version, const struct tree *tree, enum cache_use use);
/* Lets the pins go. */
void tree_path_deinit(struct tree_path *path);

/* To the leaf that would hold `key`; to the first or the last leaf. An error leaves a path to
 * nowhere. Branches that the path has already are not searched anew if they cover the key, which
 * must not be below the last one looked for since init. Suspend. */
NODISCARD co_fn int tree_path_seek(struct tree_path *path, struct slice key);
NODISCARD co_fn int tree_path_seek_forward(struct tree_path *path, struct slice key);
NODISCARD co_fn int tree_path_edge(struct tree_path *path, bool last);

/* To the neighbour: 1, or 0 if there is none (the path stays). Suspends. */
NODISCARD co_fn int tree_path_step(struct tree_path *path, bool backward);

/* The first key that is behind the leaf's range: false if there is no bound. Borrowed from the
 * path's pages. */
bool tree_path_upper(const struct tree_path *path, struct page_key *ret_bound);

static inline struct page_id tree_path_leaf(const struct tree_path *path)
{
    return path->levels[0].id;
}

#endif
