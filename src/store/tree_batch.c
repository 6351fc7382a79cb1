#include "store/tree_batch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "store/branch_edit.h"
#include "store/extent.h"
#include "store/tree_page.h"

/* One touched leaf and its changes. */
struct batch_task {
    struct frame *frame; /* being read, pinned */
    bool cached;         /* it was in the cache already */
    uint32_t begin, end; /* changes of the batch */
    struct page_id leaf;
    struct path_step {
        struct page_id id; /* of the branch on this level */
        uint32_t index;    /* of the child taken */
    } path[TREE_HEIGHT_MAX];
};

/* The place of a large value that was written for the task in hand. */
struct batch_extent {
    uint32_t change;
    struct extent extent;
};

struct tree_batch {
    struct commit *commit;
    struct tree *tree; /* receives the result */
    struct tree base;  /* as the base version has it */
    /* planning */
    struct tree_path path;
    uint32_t next, end; /* changes not planned yet */
    uint32_t window, first, count;
    struct batch_task tasks[STORE_READS_MAX]; /* a ring */
    /* merging */
    struct path_step open[TREE_HEIGHT_MAX]; /* the branches that tasks are below now */
    bool opened;
    struct branch_edit edits[TREE_HEIGHT_MAX + 1]; /* by level; [base.height]: above the root */
    struct written_branch {
        struct page_id id;
        struct page_id only_child; /* or none */
    } written[TREE_HEIGHT_MAX];    /* the last branch written on each level */
    struct batch_extent *extents;  /* of the task in hand, by change */
    uint32_t extent_count, extent_capacity;
    int error; /* found in a callback that can't return one */
};

/* ---- accounting ---- */

int commit_free_page(struct commit *commit, struct page_id id)
{
    struct partition *partition = commit->partition;
    struct file_pos pos = mapper_change_get(&commit->map, id);
    if (file_pos_is_none(pos) || !datafiles_sub_live(&partition->files, pos, 1)) {
        return err_corrupt(manifest_path(&partition->manifest), 0,
                           "page %u is not where the map says, or was not counted", id.value);
    }
    return mapper_free(&commit->map, id);
}

int commit_free_extent(struct commit *commit, const struct extent *extent)
{
    struct partition *partition = commit->partition;
    if (extent->bytes > STORE_VALUE_BYTES_MAX ||
        !datafiles_sub_live(&partition->files, extent->pos, extent_pages(extent))) {
        return err_corrupt(manifest_path(&partition->manifest), 0,
                           "an extent at %llu is in no file, or was not counted",
                           (unsigned long long)extent->pos.value);
    }
    return 0;
}

/* ---- planning: which leaves ---- */

static struct tree_page leaf_page(const struct tree_batch *batch, struct page_id id)
{
    return (struct tree_page){.id = id, .space = batch->base.space, .use = CACHE_USE_SCAN};
}

static struct slice change_key(const struct tree_batch *batch, uint32_t index)
{
    const struct store_batch *changes = batch->commit->batch;
    struct store_change change;
    changes->get(changes->context, index, &change);
    return change.entry.key;
}

/* The first change from `index` on that lies behind the path's leaf. Suspends. */
co_fn static uint32_t plan_end(struct tree_batch *batch, uint32_t index)
{
    enum { STEPS_BETWEEN_YIELDS = 256 };
    struct page_key bound;
    if (!tree_path_upper(&batch->path, &bound)) {
        return batch->end;
    }
    for (uint32_t steps = 1; index < batch->end; index++, steps++) {
        struct page_key key = page_key_of(change_key(batch, index));
        if (page_key_compare(&key, &bound) >= 0) {
            break;
        }
        if (steps % STEPS_BETWEEN_YIELDS == 0) {
            co_yield_if_due();
        }
    }
    return index;
}

/* Plans the next leaf and starts reading it: 1, or 0 if there is no change left or no frame just
 * now. Suspends. */
co_fn static int plan_next(struct tree_batch *batch)
{
    if (batch->next == batch->end) {
        return 0;
    }
    struct commit *commit = batch->commit;
    TRY(tree_path_seek_forward(&batch->path, change_key(batch, batch->next)));
    struct batch_task task = {.begin = batch->next, .leaf = tree_path_leaf(&batch->path)};
    struct tree_page page = leaf_page(batch, task.leaf);
    int err = tree_page_start(commit->partition, commit->base, &page, &task.frame);
    if (err == ERR_LIMIT && batch->count > 0) {
        return 0; /* once an earlier leaf has let its frame go */
    }
    TRY(err);
    task.cached = task.frame->load == NULL;
    task.end = plan_end(batch, task.begin + 1);
    for (uint32_t level = 1; level < batch->base.height; level++) {
        const struct path_level *at = &batch->path.levels[level];
        task.path[level] = (struct path_step){at->id, at->index};
    }
    batch->tasks[(batch->first + batch->count++) % STORE_READS_MAX] = task;
    batch->next = task.end;
    return 1;
}

co_fn static int plan_fill(struct tree_batch *batch)
{
    int more = 1;
    while (more > 0 && batch->count < batch->window) {
        more = TRY(plan_next(batch));
    }
    return 0;
}

/* ---- merging: pages out ---- */

/* Where the pages of one merge go. */
struct batch_sink {
    struct tree_batch *batch;
    uint32_t level;           /* of the pages */
    uint32_t child;           /* which child of its parent the old page is */
    uint32_t pages;           /* so far */
    struct page_id id;        /* the old page's, for the first new one; or none */
    bool cache;               /* keep the new pages in the cache */
    struct file_pos replaced; /* where the old page was, or none */
};

co_fn static int sink_begin(void *context, uint8_t **ret_page)
{
    struct batch_sink *sink = context;
    return data_writer_page_begin(&sink->batch->commit->writer, ret_page);
}

/* The page takes the place of the old one of the same id. */
static int sink_replace(struct batch_sink *sink, struct file_pos pos)
{
    struct commit *commit = sink->batch->commit;
    struct partition *partition = commit->partition;
    struct file_pos old = mapper_change_get(&commit->map, sink->id);
    if (file_pos_is_none(old) || !datafiles_sub_live(&partition->files, old, 1)) {
        return err_corrupt(manifest_path(&partition->manifest), 0,
                           "page %u was not counted in its file", sink->id.value);
    }
    sink->replaced = old;
    return mapper_set(&commit->map, sink->id, pos);
}

co_fn static int sink_end(void *context, uint8_t *page, struct slice low)
{
    struct batch_sink *sink = context;
    struct tree_batch *batch = sink->batch;
    struct commit *commit = batch->commit;
    struct partition *partition = commit->partition;
    struct file_pos pos = data_writer_page_pos(&commit->writer);
    struct page_id id = sink->id;
    if (sink->pages == 0 && !page_id_is_none(id)) {
        TRY(sink_replace(sink, pos));
    } else {
        TRY(mapper_allocate(&commit->map, &id));
        TRY(mapper_set(&commit->map, id, pos));
        TRY(branch_edit_insert(&batch->edits[sink->level + 1], sink->child, id, low));
    }
    if (sink->level > 0) {
        bool only = branch_count(page) == 1;
        batch->written[sink->level] =
            (struct written_branch){id, only ? branch_child(page, 0) : PAGE_ID_NONE};
    }
    sink->pages++;
    page_set_id(page, id);
    page_seal(page, page_seed(partition->store->options.store_id, partition->number, pos));
    if (sink->cache) {
        cache_insert(partition->store->cache, partition->tag, pos, page);
    }
    data_writer_page_end(&commit->writer);
    commit->pages_written++;
    co_yield_if_due();
    return 0;
}

/* The merge is done: if it left nothing of the old page, neither does the tree. */
static int sink_settle(struct batch_sink *sink, const struct merge_result *result)
{
    struct tree_batch *batch = sink->batch;
    ASSERT(sink->pages == result->pages);
    if (result->unchanged || result->pages > 0 || page_id_is_none(sink->id)) {
        return 0;
    }
    TRY(commit_free_page(batch->commit, sink->id));
    return branch_edit_remove(&batch->edits[sink->level + 1], sink->child);
}

/* The old page's frame is unpinned; newer versions have no use for it. */
static void sink_demote_old(const struct batch_sink *sink)
{
    const struct partition *partition = sink->batch->commit->partition;
    if (!file_pos_is_none(sink->replaced)) {
        cache_demote(partition->store->cache, partition->tag, sink->replaced);
    }
}

/* ---- merging: a leaf ---- */

static const struct extent *find_extent(const struct tree_batch *batch, uint32_t change)
{
    uint32_t low = 0;
    uint32_t high = batch->extent_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (batch->extents[middle].change < change) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < batch->extent_count && batch->extents[low].change == change;
    return found ? &batch->extents[low].extent : NULL;
}

static void merge_get(void *context, uint32_t index, struct leaf_change *ret_change)
{
    struct tree_batch *batch = context;
    const struct store_batch *changes = batch->commit->batch;
    struct store_change change;
    changes->get(changes->context, index, &change);
    *ret_change = (struct leaf_change){.key = change.entry.key, .remove = change.remove};
    if (change.remove) {
        return;
    }
    struct leaf_entry *entry = &ret_change->entry;
    entry->expire_ms = change.entry.expire_ms;
    entry->type = change.entry.type;
    entry->meta = change.entry.meta;
    const struct extent *extent = find_extent(batch, index);
    if (extent != NULL) {
        entry->is_extent = true;
        entry->extent = *extent;
    } else {
        entry->value = change.entry.value;
    }
}

static void merge_existed(void *context, uint32_t index, bool existed)
{
    struct tree_batch *batch = context;
    if (existed) {
        batch->commit->existed[index / 8] |= (uint8_t)(1 << (index % 8));
    }
}

static void merge_extent_dead(void *context, const struct extent *extent)
{
    struct tree_batch *batch = context;
    int err = commit_free_extent(batch->commit, extent);
    if (err < 0) {
        batch->error = err;
        return;
    }
    if (batch->tree->extents == 0) {
        batch->error =
            err_corrupt(manifest_path(&batch->commit->partition->manifest), 0,
                        "space %u has more extents than were counted", batch->base.space);
        return;
    }
    batch->tree->extents--;
}

static int extents_reserve(struct tree_batch *batch)
{
    if (batch->extent_count < batch->extent_capacity) {
        return 0;
    }
    uint32_t capacity = batch->extent_capacity == 0 ? 8 : batch->extent_capacity * 2;
    struct batch_extent *bigger = mem_realloc(batch->extents, capacity * sizeof(*bigger));
    if (bigger == NULL) {
        return ERR_MEMORY;
    }
    batch->extents = bigger;
    batch->extent_capacity = capacity;
    return 0;
}

static bool value_is_large(const struct store_entry *entry)
{
    return entry->value.bytes > 0 && entry->key.bytes + entry->value.bytes > STORE_INLINE_BYTES_MAX;
}

/* Writes the large values of changes [begin, end): the merge needs their places. Suspends. */
co_fn static int write_extents(struct tree_batch *batch, uint32_t begin, uint32_t end)
{
    const struct store_batch *changes = batch->commit->batch;
    batch->extent_count = 0;
    for (uint32_t i = begin; i < end; i++) {
        struct store_change change;
        changes->get(changes->context, i, &change);
        if (change.remove || !value_is_large(&change.entry)) {
            continue;
        }
        TRY(extents_reserve(batch));
        struct batch_extent *extent = &batch->extents[batch->extent_count];
        extent->change = i;
        TRY(data_writer_extent(&batch->commit->writer, change.entry.value, &extent->extent));
        batch->extent_count++;
        batch->tree->extents++;
    }
    return 0;
}

/* Merges changes [begin, end) into the leaf of `sink` (`old`, NULL for a new tree). Suspends. */
co_fn static int merge_leaf(struct tree_batch *batch, struct batch_sink *sink, const uint8_t *old,
                            uint32_t begin, uint32_t end)
{
    TRY(write_extents(batch, begin, end));
    struct leaf_merge merge = {
        .space = batch->base.space,
        .old = {old},
        .old_count = old != NULL,
        .begin = begin,
        .end = end,
        .context = batch,
        .get = merge_get,
        .existed = merge_existed,
        .extent_dead = merge_extent_dead,
        .sink = {.context = sink, .begin = sink_begin, .end = sink_end},
    };
    struct merge_result result;
    TRY(leaf_merge(&batch->commit->merger, &merge, &result));
    TRY(batch->error);
    batch->tree->keys += (uint64_t)result.added - result.removed;
    return sink_settle(sink, &result);
}

/* ---- merging: branches ---- */

/* Rewrites the open branch of `level` with what was noted for it. Suspends. */
co_fn static int close_branch(struct tree_batch *batch, uint32_t level)
{
    struct branch_edit *edit = &batch->edits[level];
    if (edit->count == 0) {
        return 0;
    }
    struct commit *commit = batch->commit;
    struct page_id id = batch->open[level].id;
    struct tree_page page = {
        .id = id, .space = batch->base.space, .level = level, .use = CACHE_USE_POINT};
    struct frame *frame;
    TRY(tree_page_read(commit->partition, commit->base, &page, &frame));
    uint32_t child = level + 1 < batch->base.height ? batch->open[level + 1].index : 0;
    struct batch_sink sink = {.batch = batch,
                              .level = level,
                              .child = child,
                              .id = id,
                              .cache = true,
                              .replaced = FILE_POS_NONE};
    struct branch_merge merge = {
        .space = batch->base.space,
        .level = level,
        .old = {frame->page},
        .old_count = 1,
        .changes = edit->changes,
        .change_count = edit->count,
        .sink = {.context = &sink, .begin = sink_begin, .end = sink_end},
    };
    struct merge_result result;
    int err = branch_merge(&commit->merger, &merge, &result);
    if (err == 0) {
        err = sink_settle(&sink, &result);
    }
    tree_page_release(commit->partition, frame);
    sink_demote_old(&sink);
    branch_edit_clear(edit);
    return err;
}

/* The branches above `task` are open afterwards; those that it is not below are closed, the lowest
 * first. Suspends. */
co_fn static int open_branches(struct tree_batch *batch, const struct batch_task *task)
{
    uint32_t top = 0; /* the highest level that changes */
    for (uint32_t level = 1; batch->opened && level < batch->base.height; level++) {
        if (batch->open[level].id.value != task->path[level].id.value) {
            top = level;
        }
    }
    for (uint32_t level = 1; level <= top; level++) {
        TRY(close_branch(batch, level));
    }
    memcpy(batch->open, task->path, sizeof(batch->open));
    batch->opened = true;
    return 0;
}

/* Builds levels on top of the pages that `edits[level]` names until there is one root. Suspends. */
co_fn static int grow_root(struct tree_batch *batch, uint32_t level)
{
    struct commit *commit = batch->commit;
    while (batch->edits[level].count > 1) {
        if (level + 1 >= TREE_HEIGHT_MAX) {
            return ERR_LIMIT;
        }
        struct branch_edit *edit = &batch->edits[level];
        struct batch_sink sink = {.batch = batch,
                                  .level = level,
                                  .id = PAGE_ID_NONE,
                                  .cache = true,
                                  .replaced = FILE_POS_NONE};
        struct branch_merge merge = {
            .space = batch->base.space,
            .level = level,
            .changes = edit->changes,
            .change_count = edit->count,
            .sink = {.context = &sink, .begin = sink_begin, .end = sink_end},
        };
        struct merge_result result;
        TRY(branch_merge(&commit->merger, &merge, &result));
        branch_edit_clear(edit);
        level++;
    }
    batch->tree->root = batch->edits[level].changes[0].id;
    batch->tree->height = level;
    return 0;
}

/* What became of the root. Suspends. */
co_fn static int settle_root(struct tree_batch *batch)
{
    uint32_t height = batch->base.height;
    if (height == 0) {
        return batch->edits[1].count == 0 ? 0 : grow_root(batch, 1);
    }
    struct branch_edit *edit = &batch->edits[height];
    if (edit->count == 0) {
        return 0;
    }
    if (edit->changes[0].remove) {
        ASSERT(edit->count == 1);
        batch->tree->height = 0;
        return 0;
    }
    TRY(branch_edit_insert_first(edit, batch->base.root));
    return grow_root(batch, height);
}

/* The only child of the root, a branch; none if it has several. Suspends. */
co_fn static int root_only_child(struct tree_batch *batch, struct page_id *ret_child)
{
    struct commit *commit = batch->commit;
    uint32_t level = batch->tree->height - 1;
    struct page_id root = batch->tree->root;
    if (batch->written[level].id.value == root.value) {
        *ret_child = batch->written[level].only_child;
        return 0;
    }
    struct tree_page page = {
        .id = root, .space = batch->base.space, .level = level, .use = CACHE_USE_POINT};
    struct frame *frame;
    TRY(tree_page_read(commit->partition, commit->base, &page, &frame));
    bool only = branch_count(frame->page) == 1;
    *ret_child = only ? branch_child(frame->page, 0) : PAGE_ID_NONE;
    tree_page_release(commit->partition, frame);
    return 0;
}

/* A root with one child goes. Only a rewritten root can have become such; below it all branches of
 * a level but one are gone, so that one is the last written there or it is as it was. Suspends. */
co_fn static int collapse_root(struct tree_batch *batch)
{
    uint32_t level = batch->base.height - 1;
    if (batch->tree->height < 2 || batch->tree->height != batch->base.height ||
        batch->written[level].id.value != batch->tree->root.value) {
        return 0;
    }
    while (batch->tree->height > 1) {
        struct page_id child;
        TRY(root_only_child(batch, &child));
        if (page_id_is_none(child)) {
            return 0;
        }
        TRY(commit_free_page(batch->commit, batch->tree->root));
        batch->tree->root = child;
        batch->tree->height--;
    }
    return 0;
}

/* ---- the whole of it ---- */

/* The oldest task: its leaf has been read by now, or nearly. Suspends. */
co_fn static int merge_task(struct tree_batch *batch)
{
    struct commit *commit = batch->commit;
    struct batch_task task = batch->tasks[batch->first];
    batch->first = (batch->first + 1) % STORE_READS_MAX;
    batch->count--;
    struct tree_page page = leaf_page(batch, task.leaf);
    TRY(tree_page_wait(commit->partition, &page, task.frame));
    uint32_t child = batch->base.height > 1 ? task.path[1].index : 0;
    struct batch_sink sink = {.batch = batch,
                              .level = 0,
                              .child = child,
                              .id = task.leaf,
                              .cache = task.cached,
                              .replaced = FILE_POS_NONE};
    int err = open_branches(batch, &task);
    if (err == 0) {
        err = merge_leaf(batch, &sink, task.frame->page, task.begin, task.end);
    }
    tree_page_release(commit->partition, task.frame);
    sink_demote_old(&sink);
    co_yield_if_due();
    return err;
}

co_fn static int merge_new_tree(struct tree_batch *batch)
{
    struct batch_sink sink = {
        .batch = batch, .level = 0, .id = PAGE_ID_NONE, .replaced = FILE_POS_NONE};
    return merge_leaf(batch, &sink, NULL, batch->next, batch->end);
}

co_fn static int merge_old_tree(struct tree_batch *batch)
{
    struct commit *commit = batch->commit;
    tree_path_init(&batch->path, commit->partition, commit->base, &batch->base, CACHE_USE_POINT);
    TRY(plan_fill(batch));
    while (batch->count > 0) {
        TRY(merge_task(batch));
        TRY(plan_fill(batch));
    }
    for (uint32_t level = 1; level < batch->base.height; level++) {
        TRY(close_branch(batch, level));
    }
    return 0;
}

co_fn static int batch_run(struct tree_batch *batch)
{
    if (batch->base.height == 0) {
        TRY(merge_new_tree(batch));
    } else {
        TRY(merge_old_tree(batch));
    }
    TRY(settle_root(batch));
    return collapse_root(batch);
}

static void batch_deinit(struct tree_batch *batch)
{
    struct partition *partition = batch->commit->partition;
    for (; batch->count > 0; batch->count--) {
        tree_page_release(partition, batch->tasks[batch->first].frame);
        batch->first = (batch->first + 1) % STORE_READS_MAX;
    }
    if (batch->path.tree != NULL) {
        tree_path_deinit(&batch->path);
    }
    for (uint32_t level = 0; level <= TREE_HEIGHT_MAX; level++) {
        branch_edit_clear(&batch->edits[level]);
    }
    mem_free(batch->extents);
}

co_fn int tree_batch_apply(struct commit *commit, uint32_t begin, uint32_t end, struct tree *tree)
{
    ASSERT(begin < end && end <= commit->batch->count);
    struct tree_batch *batch = mem_calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return ERR_MEMORY;
    }
    const struct store *store = commit->partition->store;
    uint64_t window = min_u64(store->options.reads_in_flight, cache_frames_max(store->cache) / 4);
    batch->commit = commit;
    batch->tree = tree;
    batch->base = *tree;
    batch->next = begin;
    batch->end = end;
    batch->window = (uint32_t)min_u64(max_u64(window, 1), STORE_READS_MAX);
    for (uint32_t level = 0; level < TREE_HEIGHT_MAX; level++) {
        batch->written[level].id = PAGE_ID_NONE;
    }
    int err = batch_run(batch);
    batch_deinit(batch);
    mem_free(batch);
    return err;
}
