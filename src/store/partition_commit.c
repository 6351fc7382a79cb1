/*
 * A commit, from the batch to the new version:
 *
 *   check the batch → merge the trees, appending pages → sync data files → sync the directory if a
 *   file is new → manifest record, sync → publish.
 *
 * Up to the manifest record nothing has happened: an error gives everything up. If writing the
 * record fails, the commit counts as not made, but the record may come to light after a crash; so
 * what it names stays until a new manifest has replaced the old one, with which the next commit
 * begins. A failed sync is the end of the partition's service (on_failure). From the synced record
 * on nothing can fail: publishing allocates nothing and does not suspend.
 */
#include <fcntl.h>

#include "base/assert.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/plant.h"
#include "shard/await.h"
#include "store/partition.h"
#include "store/tree_batch.h"

/* ---- the batch ---- */

enum { STEPS_BETWEEN_YIELDS = 256 };

static bool batch_drops(const struct store_batch *batch, uint32_t space)
{
    for (uint32_t i = 0; i < batch->drop_count; i++) {
        if (batch->drop_spaces[i] == space) {
            return true;
        }
    }
    return false;
}

/* `change` may follow `before` (NULL: is the first). */
static int change_check(const struct store_batch *batch, const struct store_change *before,
                        const struct store_change *change)
{
    if (change->entry.key.bytes > STORE_KEY_BYTES_MAX) {
        return ERR_KEY_TOO_LONG;
    }
    if (!change->remove && change->entry.value.bytes > STORE_VALUE_BYTES_MAX) {
        return ERR_VALUE_TOO_LARGE;
    }
    bool same_space = before != NULL && before->space == change->space;
    if (before != NULL && before->space > change->space) {
        return ERR_UNSORTED;
    }
    if (same_space && slice_compare(before->entry.key, change->entry.key) >= 0) {
        return ERR_UNSORTED;
    }
    return !same_space && batch_drops(batch, change->space) ? ERR_UNSORTED : 0;
}

/* The whole batch, before anything is touched. Suspends. */
co_fn static int batch_check(const struct store_batch *batch)
{
    struct store_change changes[2] = {0};
    for (uint32_t i = 0; i < batch->count; i++) {
        struct store_change *change = &changes[i % 2];
        *change = (struct store_change){0};
        batch->get(batch->context, i, change);
        TRY(change_check(batch, i == 0 ? NULL : &changes[(i + 1) % 2], change));
        if (i % STEPS_BETWEEN_YIELDS == 0) {
            co_yield_if_due();
        }
    }
    return 0;
}

/* ---- the trees ---- */

/* A commit and the version that it makes. */
struct commit_run {
    struct commit commit;
    struct version *next;
    struct tree *changed; /* for the manifest: one for each space touched */
    uint32_t changed_count;
};

/* Spaces that the batch touches: an upper limit, counted cheaply. */
static uint32_t batch_spaces(const struct store_batch *batch)
{
    uint32_t spaces = batch->drop_count;
    uint32_t space = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct store_change change;
        batch->get(batch->context, i, &change);
        spaces += i == 0 || change.space != space;
        space = change.space;
    }
    return spaces;
}

/* Puts the tree into the version to be, or takes it out. */
static void next_put_tree(struct version *next, const struct tree *tree)
{
    uint32_t at = 0;
    while (at < next->tree_count && next->trees[at].space < tree->space) {
        at++;
    }
    bool found = at < next->tree_count && next->trees[at].space == tree->space;
    size_t behind = (next->tree_count - at - found) * sizeof(*tree);
    if (tree->height == 0) {
        if (found) {
            memmove(&next->trees[at], &next->trees[at + 1], behind);
            next->tree_count--;
        }
        return;
    }
    if (!found) {
        memmove(&next->trees[at + 1], &next->trees[at], behind);
        next->tree_count++;
    }
    next->trees[at] = *tree;
}

/* Notes the outcome for one space; one that had no tree and has none is no change. */
static void run_note_tree(struct commit_run *run, const struct tree *tree)
{
    bool was = version_tree(run->commit.base, tree->space) != NULL;
    if (was || tree->height > 0) {
        run->changed[run->changed_count++] = *tree;
        next_put_tree(run->next, tree);
    }
}

/* Suspends. */
co_fn static int run_drops(struct commit_run *run)
{
    const struct store_batch *batch = run->commit.batch;
    for (uint32_t i = 0; i < batch->drop_count; i++) {
        /* Looked for in the version to be, so that one that is named twice is dropped once. */
        const struct tree *there = version_tree(run->next, batch->drop_spaces[i]);
        if (there != NULL) {
            const struct tree *tree = version_tree(run->commit.base, there->space);
            TRY(tree_batch_drop(&run->commit, tree));
            struct tree gone = {.space = tree->space};
            run_note_tree(run, &gone);
        }
    }
    return 0;
}

/* The end of the changes that begin at `begin` and are of its space. Suspends. */
co_fn static uint32_t space_end(const struct store_batch *batch, uint32_t begin,
                                uint32_t *ret_space)
{
    struct store_change change;
    batch->get(batch->context, begin, &change);
    *ret_space = change.space;
    uint32_t end = begin + 1;
    for (; end < batch->count; end++) {
        batch->get(batch->context, end, &change);
        if (change.space != *ret_space) {
            break;
        }
        if (end % STEPS_BETWEEN_YIELDS == 0) {
            co_yield_if_due();
        }
    }
    return end;
}

/* Suspends. */
co_fn static int run_changes(struct commit_run *run)
{
    const struct store_batch *batch = run->commit.batch;
    for (uint32_t begin = 0; begin < batch->count;) {
        uint32_t space;
        uint32_t end = space_end(batch, begin, &space);
        const struct tree *old = version_tree(run->commit.base, space);
        struct tree tree = {.space = space};
        if (old != NULL) {
            tree = *old;
        }
        TRY(tree_batch_apply(&run->commit, begin, end, &tree));
        if (run->next->tree_count == STORE_SPACES_MAX && old == NULL) {
            return ERR_LIMIT;
        }
        run_note_tree(run, &tree);
        begin = end;
    }
    return 0;
}

/* ---- durability ---- */

/* Data first: everything that the record will name. Suspends. */
co_fn static int run_sync_data(struct commit_run *run)
{
    struct partition *partition = run->commit.partition;
    struct shard *shard = partition->store->shard;
    struct data_writer *writer = &run->commit.writer;
    TRY(data_writer_finish(writer));
    if (!writer->created || PLANTED(DATA_NAME_NOT_SYNCED)) {
        return 0;
    }
    /* Step by step: only a failed sync is fatal, a failed open isn't. */
    int dir = TRY(await_open(shard, partition->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
    int err = await_sync_all(shard, dir);
    writer->sync_failed = err < 0;
    IGNORE(await_close(shard, dir), "it was only synced");
    return err;
}

/* Suspends. */
co_fn static int run_record(struct commit_run *run)
{
    struct partition *partition = run->commit.partition;
    datafiles_settle(&partition->files);
    struct manifest_change change = {
        .applied = run->commit.batch->applied_lsn,
        .map = &run->commit.map,
        .files = &partition->files,
        .trees = run->changed,
        .tree_count = run->changed_count,
    };
    return manifest_append(&partition->manifest, &change);
}

/* ---- publication ---- */

static void run_publish(struct commit_run *run)
{
    struct commit *commit = &run->commit;
    struct partition *partition = commit->partition;
    const struct store_batch *batch = commit->batch;
    struct list retired;
    list_init(&retired);
    co_atomic_begin();
    mapper_publish(&commit->map, &retired);
    datafiles_publish(&partition->files, &retired);
    run->next->map = mapper_root(partition->mapper);
    run->next->applied = batch->applied_lsn;
    snapshots_publish(&partition->snapshots, &run->next->snapshot, &retired);
    run->next = NULL;
    for (uint32_t i = 0; batch->applied != NULL && i < batch->count; i++) {
        batch->applied(batch->context, i, (commit->existed[i / 8] >> (i % 8) & 1) != 0);
    }
    co_atomic_end();
    struct store_stats *totals = &partition->store->totals;
    totals->commits++;
    totals->page_writes += commit->writer.written_bytes / STORE_PAGE_BYTES;
    totals->commit_bytes += commit->writer.written_bytes;
}

static void forget_now(void *context, const char *path)
{
    struct partition *partition = context;
    const struct store_options *options = &partition->store->options;
    options->dispose(options->context, path);
}

static void forget_later(void *context, const char *path)
{
    partition_leave_over(context, path);
}

/* Everything as it was. */
static void run_abort(struct commit_run *run)
{
    struct partition *partition = run->commit.partition;
    mapper_abort(&run->commit.map);
    datafiles_abort(&partition->files, partition->manifest.suspect ? forget_later : forget_now,
                    partition);
}

/* ---- the run ---- */

static int run_init(struct commit_run *run, struct partition *partition,
                    const struct store_batch *batch)
{
    struct commit *commit = &run->commit;
    uint64_t number = partition->manifest.sequence + 1;
    uint32_t spaces = batch_spaces(batch);
    commit->partition = partition;
    commit->batch = batch;
    merger_init(&commit->merger);
    data_writer_init(&commit->writer, &partition->files, partition->number, number);
    run->next = version_create(number, partition_version(partition)->tree_count + spaces);
    run->changed = mem_calloc(spaces + 1, sizeof(run->changed[0]));
    commit->existed = mem_calloc(1, batch->count / 8 + 1);
    if (run->next == NULL || run->changed == NULL || commit->existed == NULL) {
        return ERR_MEMORY;
    }
    TRY(mapper_begin(partition->mapper, number, &commit->map));
    commit->base = version_hold(partition);
    run->next->tree_count = commit->base->tree_count;
    memcpy(run->next->trees, commit->base->trees, commit->base->tree_count * sizeof(struct tree));
    return 0;
}

/* Suspends: waits for writes in flight. */
co_fn static void run_deinit(struct commit_run *run)
{
    data_writer_deinit(&run->commit.writer);
    if (run->commit.base != NULL) {
        version_release(run->commit.partition, run->commit.base);
    }
    mem_free(run->commit.existed);
    mem_free(run->changed);
    mem_free(run->next);
    mem_free(run);
}

/* Suspends. */
co_fn static int run_all(struct commit_run *run)
{
    TRY(run_drops(run));
    TRY(run_changes(run));
    TRY(run_sync_data(run));
    KILL_POINT("checkpoint-data-synced");
    TRY(run_record(run));
    KILL_POINT("checkpoint-recorded");
    run_publish(run);
    return 0;
}

co_fn static int commit_run(struct partition *partition, const struct store_batch *batch)
{
    struct commit_run *run = mem_calloc(1, sizeof(*run));
    if (run == NULL) {
        return ERR_MEMORY;
    }
    int err = run_init(run, partition, batch);
    if (err == 0) {
        err = run_all(run);
    }
    bool sync_failed = run->commit.writer.sync_failed || partition->manifest.sync_failed;
    if (err < 0) {
        data_writer_deinit(&run->commit.writer); /* nothing of it is in flight any more */
        run_abort(run);
    }
    run_deinit(run);
    if (sync_failed && !partition->failed) {
        partition_fail(partition, err);
    }
    return err;
}

/* ---- manifests ---- */

/* Suspends. */
co_fn static int partition_rotate(struct partition *partition)
{
    struct version *version = partition_version(partition);
    struct manifest_state state = {
        .applied = version->applied,
        .mapper = partition->mapper,
        .files = &partition->files,
        .trees = version->trees,
        .tree_count = version->tree_count,
    };
    int err = manifest_rotate(&partition->manifest, &state);
    if (partition->manifest.sync_failed && !partition->failed) {
        partition_fail(partition, err);
    }
    return err;
}

/* A manifest that may be appended to, and nothing left of the past. Suspends. */
co_fn static int partition_settle(struct partition *partition)
{
    if (!partition->manifest.suspect) {
        return 0;
    }
    TRY(partition_rotate(partition));
    partition_clear_leftovers(partition, true);
    return 0;
}

/* Keeps the manifest in proportion. That it failed does no harm: the old one goes on. Suspends. */
co_fn static void partition_trim_manifest(struct partition *partition)
{
    if (!partition->failed && manifest_outgrown(&partition->manifest)) {
        int err = partition_rotate(partition);
        if (err < 0) {
            LOGGER_WARNING("%s: the manifest could not be written anew: %s",
                           manifest_path(&partition->manifest), error_text(err));
        }
    }
}

static bool batch_is_empty(const struct partition *partition, const struct store_batch *batch)
{
    return batch->count == 0 && batch->drop_count == 0 &&
           batch->applied_lsn.value == partition_applied(partition).value;
}

co_fn int partition_commit(struct partition *partition, const struct store_batch *batch)
{
    TRY(batch_check(batch));
    co_mutex_lock(&partition->committing);
    int err = partition->failed ? ERR_CLOSED : 0;
    if (err == 0 && !batch_is_empty(partition, batch)) {
        err = partition_settle(partition);
        if (err == 0) {
            err = commit_run(partition, batch);
        }
        if (err == 0) {
            partition_trim_manifest(partition);
        }
    }
    co_mutex_unlock(&partition->committing);
    return err;
}
