/*
 * Dropping a whole tree: its pages are freed by walking its branches. Only a tree that has extents
 * needs its leaves read, to find them.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "store/leaf_stream.h"
#include "store/tree_batch.h"

/* Frees the branches of the path that were not yet: `freed` has the last one freed on each level.
 */
static int drop_branches(struct commit *commit, const struct tree_path *path,
                         struct page_id freed[TREE_HEIGHT_MAX])
{
    for (uint32_t level = 1; level < path->tree->height; level++) {
        struct page_id id = path->levels[level].id;
        if (id.value != freed[level].value) {
            TRY(commit_free_page(commit, id));
            freed[level] = id;
        }
    }
    return 0;
}

/* Suspends. */
co_fn static int drop_pages(struct commit *commit, struct tree_path *path)
{
    struct page_id freed[TREE_HEIGHT_MAX];
    for (uint32_t level = 0; level < TREE_HEIGHT_MAX; level++) {
        freed[level] = PAGE_ID_NONE;
    }
    TRY(tree_path_edge(path, false));
    int more = 1;
    while (more > 0) {
        TRY(drop_branches(commit, path, freed));
        TRY(commit_free_page(commit, tree_path_leaf(path)));
        co_yield_if_due();
        more = TRY(tree_path_step(path, false));
    }
    return 0;
}

static int drop_leaf_extents(struct commit *commit, const uint8_t *page)
{
    for (uint32_t i = 0; i < leaf_count(page); i++) {
        struct leaf_entry entry;
        leaf_get(page, i, &entry);
        if (entry.is_extent) {
            TRY(commit_free_extent(commit, &entry.extent));
        }
    }
    return 0;
}

/* Suspends. */
co_fn static int drop_extents(struct commit *commit, const struct tree *tree)
{
    struct leaf_stream *stream = mem_alloc(sizeof(*stream));
    if (stream == NULL) {
        return ERR_MEMORY;
    }
    struct leaf_stream_start start = {
        .partition = commit->partition,
        .version = commit->base,
        .tree = tree,
        .window = commit->partition->store->options.reads_in_flight,
    };
    int err = leaf_stream_init(stream, &start);
    if (err == 0) {
        struct frame *frame;
        err = leaf_stream_next(stream, &frame);
        while (err > 0) {
            err = drop_leaf_extents(commit, frame->page);
            co_yield_if_due();
            err = err < 0 ? err : leaf_stream_next(stream, &frame);
        }
        leaf_stream_deinit(stream);
    }
    mem_free(stream);
    return err;
}

co_fn int tree_batch_drop(struct commit *commit, const struct tree *tree)
{
    ASSERT(tree->height > 0);
    if (tree->extents > 0) {
        TRY(drop_extents(commit, tree));
    }
    struct tree_path path;
    tree_path_init(&path, commit->partition, commit->base, tree, CACHE_USE_SCAN);
    int err = drop_pages(commit, &path);
    tree_path_deinit(&path);
    return err;
}
