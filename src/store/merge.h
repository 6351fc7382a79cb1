/*
 * merge: old pages and sorted changes become new pages. Pure: no I/O, no allocation.
 *
 * A merge reads its old pages and its changes once, in key order, side by side, and hands out
 * finished pages from left to right through a sink. It decides where pages end by bytes:
 *
 *   - what fits in one page stays one page;
 *   - else pages get split_fill percent, evenly, so that no small one is left over;
 *   - if everything new lies behind the last old key (child), pages get append_fill percent, and
 * the last one what is left: loads in key order give full pages.
 *
 * Several old pages, neighbours in order, may be given to one merge: so underfull ones are joined.
 * A merge that removes everything hands out no page. One that changes nothing hands out none either
 * and says `unchanged`.
 *
 * A struct merger is the workspace, some 20 KB: on the heap, not on a coroutine's stack; one merge
 * at a time. The sink and the callbacks may suspend if the old pages are pinned and the changes
 * stay where they are.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/branch.h"
#include "store/leaf.h"
#include "store/page.h"

enum {
    MERGE_SPLIT_FILL_DEFAULT = 75, /* percent */
    MERGE_APPEND_FILL_DEFAULT = 95,
    MERGE_FILL_MIN = 50,
    MERGE_OLD_MAX = 8,      /* old pages of one merge */
    MERGE_ITEMS_MAX = 1024, /* looked ahead: more than a page of the smallest records */
};

/* Where finished pages go. A negative return ends the merge, which returns it. */
struct merge_sink {
    void *context;
    /* 4 KiB of the receiver's memory for the next page, of any content. */
    int (*begin)(void *context, uint8_t **ret_page);
    /* The page is built: all but id and checksum. `low` is its lower bound, borrowed for the call:
     * empty for the first page of a merge, which takes the place (and the lower bound) of the first
     * old page. */
    int (*end)(void *context, uint8_t *page, struct slice low);
};

struct merge_result {
    uint32_t pages; /* handed out */
    bool unchanged; /* the old pages stand as they are, pages == 0 */
    uint32_t added; /* leaf: keys that are new; branch: children */
    uint32_t removed;
};

/* What a merge still has to place: a record or a child, by where it is found. */
struct merge_item {
    uint32_t source; /* old: number of the old page << 16 | index in it; else a change's index */
    uint16_t key_bytes;
    uint16_t common; /* bytes shared with the key before it */
    uint16_t body;   /* bytes beside the key's own */
    bool old;
};

struct merger {
    uint32_t split_fill; /* percent; set by merger_init, may be changed between merges */
    uint32_t append_fill;
    uint32_t begin, end; /* the items in use */
    struct merge_item items[MERGE_ITEMS_MAX];
    uint8_t low[STORE_KEY_BYTES_MAX];
};

void merger_init(struct merger *merger);

/* ---- leaves ---- */

struct leaf_change {
    struct slice key;
    struct leaf_entry entry; /* of a put */
    bool remove;
};

struct leaf_merge {
    uint32_t space;
    const uint8_t *old[MERGE_OLD_MAX]; /* checked leaves, neighbours in key order */
    uint32_t old_count;                /* 0: a new tree */
    /* The changes `begin` .. `end` - 1 of something, strictly ascending by key (asserted). What get
     * returns stays valid during the merge; get may be called several times for an index. Limits of
     * store.h hold (asserted). */
    uint32_t begin, end;
    void *context;
    void (*get)(void *context, uint32_t index, struct leaf_change *ret_change);
    /* Once for each change, in order: whether its key was in the old pages. May be NULL. */
    void (*existed)(void *context, uint32_t index, bool existed);
    /* For each extent that the old pages hold and the new ones do not. May be NULL. */
    void (*extent_dead)(void *context, const struct extent *extent);
    struct merge_sink sink;
};

/* 0, or what the sink returned. */
NODISCARD int leaf_merge(struct merger *merger, const struct leaf_merge *merge,
                         struct merge_result *ret_result);

/* ---- branches ---- */

/* One change to the children. Children count over all old pages from 0. Sorted by child; for one
 * child: the removal first, then the insertions behind it, by separator. */
struct branch_change {
    uint32_t child; /* remove this; or insert behind this (for an empty branch: 0) */
    bool remove;
    struct page_id id; /* inserted */
    struct slice
        separator; /* its lower bound; empty: takes the bound of `child`, which is removed by the
                      change before (or there is no old page, and it is the first) */
};

struct branch_merge {
    uint32_t space;
    uint32_t level;
    const uint8_t *old[MERGE_OLD_MAX]; /* checked branches, neighbours in key order */
    struct slice
        low[MERGE_OLD_MAX]; /* the lower bound of each, as its parent has it; low[0] is not used */
    uint32_t old_count;     /* 0: a new root */
    const struct branch_change *changes;
    uint32_t change_count;
    struct merge_sink sink;
};

/* 0, or what the sink returned. A child whose neighbour to the left is gone takes over its range as
 * it is: if child 0 is removed, the next one becomes the first and its separator goes. */
NODISCARD int branch_merge(struct merger *merger, const struct branch_merge *merge,
                           struct merge_result *ret_result);

#endif
