/*
 * leaf_stream: the leaves of a tree, one after the other, with the next ones being read ahead.
 *
 * Model. A path runs ahead of what is handed out by up to `window` leaves; for each a read is
 * started, found from the branches alone. The stream keeps the leaf that it handed out last pinned.
 *
 * Who calls: tree_cursor.c, tree_verify.c, tree_batch.c. A version must be held. co_fn as marked.
 */
#ifndef STORE_LEAF_STREAM_H
#define STORE_LEAF_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/tree_page.h"

struct leaf_stream_item {
    struct frame *frame; /* pinned */
    struct page_id id;
};

struct leaf_stream {
    struct tree_path path; /* at the last leaf that was started */
    bool backward;
    bool ended;            /* the path has no further leaf */
    uint32_t window;       /* leaves started and not handed out yet, at most; at least 1 */
    uint32_t first, count; /* of the ring */
    struct frame *current; /* handed out, pinned; or NULL */
    struct leaf_stream_item ring[STORE_READS_MAX];
};

/* Begins at the leaf that would hold *from, or (from NULL) at the first, backward the last. Borrows
 * tree and version. On error there is nothing to deinit. Suspends. */
struct leaf_stream_start {
    struct partition *partition;
    const struct version *version;
    const struct tree *tree;
    const struct slice *from;
    bool backward;
    uint32_t window; /* 0 counts as 1 */
};
NODISCARD co_fn int leaf_stream_init(struct leaf_stream *stream,
                                     const struct leaf_stream_start *start);
void leaf_stream_deinit(struct leaf_stream *stream);

/* The next leaf: 1 and its frame, pinned by the stream until the next call; 0 at the end; an error,
 * after which only deinit makes sense. Suspends. */
NODISCARD co_fn int leaf_stream_next(struct leaf_stream *stream, struct frame **ret_frame);

#endif
