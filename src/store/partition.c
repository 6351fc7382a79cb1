#include "store/partition.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/number.h"
#include "io/file.h"
#include "shard/await.h"

/* ---- versions ---- */

static void version_free(struct snapshot *snapshot)
{
    mem_free(container_of(snapshot, struct version, snapshot));
}

struct version *version_create(uint64_t number, uint32_t trees_max)
{
    struct version *version =
        mem_calloc(1, sizeof(*version) + trees_max * sizeof(version->trees[0]));
    if (version != NULL) {
        version->snapshot.version = number;
        version->snapshot.free = version_free;
    }
    return version;
}

struct version *version_hold(struct partition *partition)
{
    struct version *version = partition_version(partition);
    snapshot_hold(&version->snapshot);
    return version;
}

void version_release(struct partition *partition, struct version *version)
{
    snapshot_release(&partition->snapshots, &version->snapshot);
    co_event_signal(&partition->released);
}

const struct tree *version_tree(const struct version *version, uint32_t space)
{
    uint32_t low = 0;
    uint32_t high = version->tree_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (version->trees[middle].space < space) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < version->tree_count && version->trees[low].space == space;
    return found ? &version->trees[low] : NULL;
}

/* ---- small questions ---- */

uint32_t partition_number(const struct partition *partition)
{
    return partition->number;
}

struct lsn partition_applied(const struct partition *partition)
{
    return partition_version(partition)->applied;
}

uint64_t partition_count(const struct partition *partition, uint32_t space)
{
    const struct tree *tree = version_tree(partition_version(partition), space);
    return tree == NULL ? 0 : tree->keys;
}

void partition_each_space(const struct partition *partition, partition_space_fn *each,
                          void *context)
{
    const struct version *version = partition_version(partition);
    for (uint32_t i = 0; i < version->tree_count; i++) {
        each(context, version->trees[i].space, version->trees[i].keys);
    }
}

void partition_fail(struct partition *partition, int error)
{
    const struct store_options *options = &partition->store->options;
    partition->failed = true;
    LOGGER_WARNING("%s: a sync failed, nothing can be promised any longer: %s", partition->dir,
                   error_text(error));
    options->on_failure(options->context, error);
}

/* ---- files to dispose of ---- */

struct leftover {
    struct list_node node;
    char path[];
};

void partition_leave_over(struct partition *partition, const char *path)
{
    size_t bytes = strlen(path) + 1;
    struct leftover *leftover = mem_alloc(sizeof(*leftover) + bytes);
    if (leftover == NULL) {
        return; /* the next opening finds it */
    }
    list_node_init(&leftover->node);
    memcpy(leftover->path, path, bytes);
    list_push_back(&partition->leftovers, &leftover->node);
}

void partition_clear_leftovers(struct partition *partition, bool dispose)
{
    const struct store_options *options = &partition->store->options;
    struct list_node *node;
    while ((node = list_pop_front(&partition->leftovers)) != NULL) {
        struct leftover *leftover = container_of(node, struct leftover, node);
        if (dispose) {
            options->dispose(options->context, leftover->path);
        }
        mem_free(leftover);
    }
}

/* ---- the directory ---- */

/* What stands in a partition's directory. */
struct partition_dir {
    struct partition *partition;
    uint64_t manifest;     /* the highest number of a .man, 0: none */
    uint64_t manifest_any; /* .tmp included */
    uint64_t data;         /* the highest */
    uint32_t data_count;
};

/* The number in prefix<number>suffix, 0 if the name is none of these. */
static uint64_t name_number(const char *name, const char *prefix, const char *suffix)
{
    struct slice rest = slice_cstr(name);
    size_t ends = strlen(prefix) + strlen(suffix);
    if (rest.bytes <= ends || !slice_starts_with(rest, slice_cstr(prefix)) ||
        strcmp(name + rest.bytes - strlen(suffix), suffix) != 0) {
        return 0;
    }
    uint64_t number;
    int err = number_parse_u64(slice_of(name + strlen(prefix), rest.bytes - ends), &number);
    return err < 0 || number > DATAFILE_NUMBER_MAX ? 0 : number;
}

static int dir_note(void *context, const char *name)
{
    struct partition_dir *dir = context;
    uint64_t data = name_number(name, "data-", ".dat");
    uint64_t manifest = name_number(name, "manifest-", ".man");
    uint64_t unfinished = name_number(name, "manifest-", ".tmp");
    dir->data = max_u64(dir->data, data);
    dir->data_count += data != 0;
    dir->manifest = max_u64(dir->manifest, manifest);
    dir->manifest_any = max_u64(dir->manifest_any, max_u64(manifest, unfinished));
    if (data == 0 && manifest == 0 && unfinished == 0) {
        LOGGER_NOTICE("%s/%s is not ours and stays as it is", dir->partition->dir, name);
    }
    return 0;
}

/* Of the files that the manifest in force does not name: nothing needs them. But if it was cut,
 * then a repair may want them as long as nothing new has been committed. */
static int dir_sweep(void *context, const char *name)
{
    struct partition *partition = context;
    uint64_t data = name_number(name, "data-", ".dat");
    uint64_t manifest = name_number(name, "manifest-", ".man");
    bool unfinished = name_number(name, "manifest-", ".tmp") != 0;
    bool stale = unfinished || (manifest != 0 && manifest != partition->manifest.number) ||
                 (data != 0 && datafiles_find(&partition->files, data) == NULL);
    char path[DATAFILE_PATH_BYTES_MAX];
    int bytes = snprintf(path, sizeof(path), "%s/%s", partition->dir, name);
    if (stale && bytes > 0 && bytes < (int)sizeof(path)) {
        partition_leave_over(partition, path);
    }
    return 0;
}

/* Makes the directory, durably. An existing one is fine. Suspends. */
co_fn static int dir_create(struct partition *partition)
{
    struct store *store = partition->store;
    int err = await_mkdir(store->shard, partition->dir, 0755);
    if (err < 0 && err != -EEXIST) {
        return err;
    }
    return await_sync_dir(store->shard, store->options.dir);
}

/* ---- opening ---- */

/* Every mapped page lies in a file, within its pages, and the files count at least these as live.
 */
static int check_map(struct partition *partition)
{
    struct datafiles *files = &partition->files;
    const struct mapper_root *root = mapper_root(partition->mapper);
    struct datafile *file = NULL;
    struct page_id id = {0};
    struct file_pos pos;
    while (mapper_next(root, id, &id, &pos)) {
        if (file == NULL || file->number != file_pos_file(pos)) {
            file = datafiles_find(files, file_pos_file(pos));
        }
        if (file == NULL || file_pos_page(pos) >= file->pages) {
            return err_corrupt(manifest_path(&partition->manifest), 0,
                               "page %u is at page %u of data file %llu, which does not have it",
                               id.value, file_pos_page(pos),
                               (unsigned long long)file_pos_file(pos));
        }
        id.value++;
    }
    return 0;
}

static int check_trees(struct partition *partition, const struct manifest_state *state)
{
    const struct mapper_root *root = mapper_root(partition->mapper);
    for (uint32_t i = 0; i < state->tree_count; i++) {
        const struct tree *tree = &state->trees[i];
        if (tree->keys == 0 || file_pos_is_none(mapper_get(root, tree->root))) {
            return err_corrupt(manifest_path(&partition->manifest), 0,
                               "the tree of space %u has no root page", tree->space);
        }
    }
    return 0;
}

/* The loaded state is the partition's first version. */
static int publish_loaded(struct partition *partition, const struct manifest_state *state)
{
    struct version *version = version_create(partition->manifest.sequence, state->tree_count);
    if (version == NULL) {
        return ERR_MEMORY;
    }
    version->map = mapper_root(partition->mapper);
    version->applied = state->applied;
    version->tree_count = state->tree_count;
    if (state->tree_count > 0) {
        memcpy(version->trees, state->trees, state->tree_count * sizeof(state->trees[0]));
    }
    struct list none;
    list_init(&none);
    snapshots_publish(&partition->snapshots, &version->snapshot, &none);
    return 0;
}

/* What was read may so far only be in the page cache, from a process that was killed: its last
 * record, or the name of the file. From now on files that it does not name are deleted and the redo
 * log is shortened by what it says, so it must be durable first. Suspends. */
co_fn static int settle_manifest(struct partition *partition)
{
    TRY(manifest_settle(&partition->manifest));
    return await_sync_dir(partition->store->shard, partition->dir);
}

/* Reads, or creates, the manifest; `dir` says what is there. Suspends. */
co_fn static int open_manifest(struct partition *partition, const struct partition_dir *dir,
                               bool create, struct manifest_state *state)
{
    partition->manifest.number_next = dir->manifest_any + 1;
    if (dir->manifest != 0) {
        TRY(manifest_load(&partition->manifest, dir->manifest, state));
        if (partition->store->options.ended && !partition->manifest.closed) {
            return err_corrupt(manifest_path(&partition->manifest), partition->manifest.end,
                               "the closing record it ended with is gone or damaged");
        }
        if (partition->manifest.epoch < partition->store->options.ended_epoch) {
            return err_corrupt(manifest_path(&partition->manifest), partition->manifest.end,
                               "it ends with opening %u, the store ended in order in opening %u",
                               partition->manifest.epoch, partition->store->options.ended_epoch);
        }
        if (!partition->store->options.ended) {
            TRY(settle_manifest(partition));
        }
    } else if (create && dir->data_count == 0) {
        TRY(manifest_rotate(&partition->manifest, state));
    } else {
        return err_corrupt(partition->dir, 0, "the partition has no manifest");
    }
    partition->files.next_number = max_u64(partition->files.next_number, dir->data + 1);
    TRY(check_trees(partition, state));
    TRY(check_map(partition));
    return datafiles_check(&partition->files);
}

/* Suspends. Lists the directory by a blocking call: partitions are opened before service begins. */
co_fn static int open_state(struct partition *partition, bool create)
{
    if (create) {
        TRY(dir_create(partition));
    }
    struct partition_dir dir = {.partition = partition};
    int err = file_list(partition->dir, dir_note, &dir);
    if (err == -ENOENT) {
        return err_corrupt(partition->dir, 0, "the partition's directory is missing");
    }
    if (err < 0) {
        LOGGER_WARNING("can't read the directory %s: %s", partition->dir, error_text(err));
        return err;
    }
    struct manifest_state state = {.mapper = partition->mapper, .files = &partition->files};
    err = open_manifest(partition, &dir, create, &state);
    if (err == 0) {
        err = publish_loaded(partition, &state);
    }
    mem_free(state.trees);
    TRY(err);
    TRY(file_list(partition->dir, dir_sweep, partition));
    if (!partition->manifest.suspect) {
        partition_clear_leftovers(partition, true);
    }
    return 0;
}

/* The parts, empty. */
static int partition_create(struct store *store, uint32_t number, struct partition **ret_partition)
{
    struct partition *partition = mem_calloc(1, sizeof(*partition));
    size_t bytes = strlen(store->options.dir) + sizeof("/p0000000000");
    char *dir = mem_alloc(bytes);
    if (partition == NULL || dir == NULL || mapper_create(&partition->mapper) < 0) {
        mem_free(partition);
        mem_free(dir);
        return ERR_MEMORY;
    }
    snprintf(dir, bytes, "%s/p%04u", store->options.dir, number);
    partition->store = store;
    partition->number = number;
    partition->tag = store->tag_next++;
    partition->dir = dir;
    datafiles_init(&partition->files, &store->pool, &store->options, dir);
    manifest_init(&partition->manifest, store->shard, &store->options, dir, number);
    snapshots_init(&partition->snapshots);
    co_mutex_init(&partition->committing);
    co_event_init(&partition->released);
    list_init(&partition->leftovers);
    *ret_partition = partition;
    return 0;
}

/* Suspends. */
co_fn static void partition_destroy(struct partition *partition)
{
    snapshots_end(&partition->snapshots);
    datafiles_deinit(&partition->files);
    mapper_destroy(partition->mapper);
    partition_clear_leftovers(partition, false);
    mem_free(partition->dir);
    mem_free(partition);
}

co_fn int partition_open(struct store *store, uint32_t number, bool create,
                         struct partition **ret_partition)
{
    struct partition *partition;
    TRY(partition_create(store, number, &partition));
    int err = open_state(partition, create);
    if (err < 0) {
        if (partition->manifest.sync_failed) {
            partition_fail(partition, err);
        }
        manifest_close(&partition->manifest, false, (struct lsn){0}, 0);
        partition_destroy(partition);
        return err;
    }
    list_push_back(&store->partitions, &partition->node);
    *ret_partition = partition;
    return 0;
}

/* Somebody still holds a version beside the partition itself. */
static bool partition_is_read(const struct partition *partition)
{
    const struct version *version = partition_version(partition);
    return version->snapshot.holds > 1 ||
           list_first(&partition->snapshots.held) != &version->snapshot.node;
}

co_fn bool partition_close(struct partition *partition)
{
    co_mutex_lock(&partition->committing);
    while (partition_is_read(partition)) {
        co_event_wait(&partition->released);
    }
    manifest_close(&partition->manifest, !partition->failed, partition_applied(partition),
                   partition->files.next_number);
    if (partition->manifest.sync_failed && !partition->failed) {
        partition_fail(partition, -EIO);
    }
    bool closed = manifest_is_closed(&partition->manifest) && !partition->failed;
    co_mutex_unlock(&partition->committing);
    list_remove(&partition->node);
    partition_destroy(partition);
    return closed;
}
