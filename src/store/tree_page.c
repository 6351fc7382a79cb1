#include "store/tree_page.h"

#include "base/assert.h"
#include "shard/await.h"

/* ---- pages ---- */

/* Where the page is, and its file; the message if the map does not know. */
static int page_locate(struct partition *partition, const struct version *version,
                       const struct tree_page *page, struct file_pos *ret_pos,
                       struct datafile **ret_file)
{
    struct file_pos pos = mapper_get(version->map, page->id);
    struct datafile *file =
        file_pos_is_none(pos) ? NULL : datafiles_find(&partition->files, file_pos_file(pos));
    if (file == NULL) {
        return err_corrupt(manifest_path(&partition->manifest), 0,
                           "page %u of space %u is in no data file", page->id.value, page->space);
    }
    *ret_pos = pos;
    *ret_file = file;
    return 0;
}

/* cache_start; if all frames are pinned and nobody can be waiting for us, tries again for a while.
 * That is rare (more reads under way than the cache has frames), so it need not be quick. Suspends.
 */
co_fn static int page_start_patiently(struct partition *partition, const struct cache_read *read,
                                      bool patient, struct frame **ret_frame)
{
    enum { WAIT_NS = 200 * 1000, WAITS_MAX = 5000 };
    struct store *store = partition->store;
    int err = cache_start(store->cache, read, ret_frame);
    for (uint32_t i = 0; err == ERR_LIMIT && patient && i < WAITS_MAX; i++) {
        await_sleep_ns(store->shard, WAIT_NS);
        err = cache_start(store->cache, read, ret_frame);
    }
    return err;
}

co_fn int tree_page_start(struct partition *partition, const struct version *version,
                          const struct tree_page *page, struct frame **ret_frame)
{
    struct cache *cache = partition->store->cache;
    struct file_pos pos = mapper_get(version->map, page->id);
    struct frame *frame = cache_find(cache, partition->tag, pos, page->use);
    if (frame != NULL) {
        *ret_frame = frame;
        return 0;
    }
    struct datafile *file = NULL; /* gcc -O3 does not see that page_locate sets it */
    TRY(page_locate(partition, version, page, &pos, &file));
    if (!datafile_hold(file)) {
        TRY(datafile_open(file));
    }
    struct cache_read read = {
        .tag = partition->tag,
        .pos = pos,
        .file = file,
        .seed = page_seed(partition->store->options.store_id, partition->number, pos),
        .expect = {.kind = PAGE_KIND_ANY, .id = page->id, .space = page->space},
        .use = page->use,
    };
    int err = page_start_patiently(partition, &read, page->patient, ret_frame);
    datafile_release(file);
    return err;
}

/* A whole page, but is it the one that stands here? A wrong level could lead in circles. */
static int page_verify_place(struct partition *partition, const struct tree_page *page,
                             const struct frame *frame)
{
    const uint8_t *bytes = frame->page;
    enum page_kind kind = page->level == 0 ? PAGE_KIND_LEAF : PAGE_KIND_BRANCH;
    if (LIKELY(page_id(bytes).value == page->id.value && page_space(bytes) == page->space &&
               page_level(bytes) == page->level && page_kind(bytes) == kind)) {
        return 0;
    }
    struct datafile *file = datafiles_find(&partition->files, file_pos_file(frame->pos));
    return err_corrupt(file == NULL ? partition->dir : file->path, file_pos_offset(frame->pos),
                       "page %u of space %u, level %u, stands where page %u of space %u, level %u "
                       "should be",
                       page_id(bytes).value, page_space(bytes), page_level(bytes), page->id.value,
                       page->space, page->level);
}

co_fn int tree_page_wait(struct partition *partition, const struct tree_page *page,
                         struct frame *frame)
{
    int err = cache_wait(partition->store->cache, frame);
    if (err == 0) {
        err = page_verify_place(partition, page, frame);
    }
    if (err < 0) {
        cache_unpin(partition->store->cache, frame);
    }
    return err;
}

co_fn int tree_page_read(struct partition *partition, const struct version *version,
                         const struct tree_page *page, struct frame **ret_frame)
{
    struct frame *frame;
    TRY(tree_page_start(partition, version, page, &frame));
    TRY(tree_page_wait(partition, page, frame));
    *ret_frame = frame;
    return 0;
}

void tree_page_release(struct partition *partition, struct frame *frame)
{
    cache_unpin(partition->store->cache, frame);
}

/* ---- paths ---- */

void tree_path_init(struct tree_path *path, struct partition *partition,
                    const struct version *version, const struct tree *tree, enum cache_use use)
{
    *path = (struct tree_path){
        .partition = partition,
        .version = version,
        .tree = tree,
        .use = use,
    };
    ASSERT(tree->height > 0 && tree->height <= TREE_HEIGHT_MAX);
}

static void path_release(struct tree_path *path, uint32_t level)
{
    if (path->levels[level].frame != NULL) {
        tree_page_release(path->partition, path->levels[level].frame);
        path->levels[level].frame = NULL;
    }
}

void tree_path_deinit(struct tree_path *path)
{
    for (uint32_t level = 1; level < TREE_HEIGHT_MAX; level++) {
        path_release(path, level);
    }
}

enum path_way { PATH_KEY, PATH_FIRST, PATH_LAST };

/* Which child of the branch on `level` the path takes, and thereby the id one level below. */
static void path_choose(struct tree_path *path, uint32_t level, enum path_way way, struct slice key)
{
    struct path_level *at = &path->levels[level];
    const uint8_t *page = at->frame->page;
    switch (way) {
    case PATH_KEY:
        at->index = branch_find(page, key);
        break;
    case PATH_FIRST:
        at->index = 0;
        break;
    case PATH_LAST:
        at->index = branch_count(page) - 1;
        break;
    }
    path->levels[level - 1].id = branch_child(page, at->index);
}

/* From `level`, whose id is set, down to the leaf. Suspends. */
co_fn static int path_descend(struct tree_path *path, uint32_t level, enum path_way way,
                              struct slice key)
{
    for (; level > 0; level--) {
        struct path_level *at = &path->levels[level];
        path_release(path, level);
        struct tree_page page = {
            .id = at->id, .space = path->tree->space, .level = level, .use = path->use};
        int err = tree_page_read(path->partition, path->version, &page, &at->frame);
        if (err < 0) {
            at->frame = NULL;
            tree_path_deinit(path);
            return err;
        }
        path_choose(path, level, way, key);
    }
    return 0;
}

co_fn static int path_from_root(struct tree_path *path, enum path_way way, struct slice key)
{
    uint32_t root_level = path->tree->height - 1;
    path->levels[root_level].id = path->tree->root;
    return path_descend(path, root_level, way, key);
}

co_fn int tree_path_seek(struct tree_path *path, struct slice key)
{
    return path_from_root(path, PATH_KEY, key);
}

co_fn int tree_path_edge(struct tree_path *path, bool last)
{
    return path_from_root(path, last ? PATH_LAST : PATH_FIRST, (struct slice){0});
}

/* The first key behind the range of the page on `level`, which the levels above it know. */
static bool path_upper_of(const struct tree_path *path, uint32_t level, struct page_key *ret_bound)
{
    for (uint32_t above = level + 1; above < path->tree->height; above++) {
        const struct path_level *at = &path->levels[above];
        if (at->index + 1 < branch_count(at->frame->page)) {
            *ret_bound = branch_separator(at->frame->page, at->index + 1);
            return true;
        }
    }
    return false;
}

bool tree_path_upper(const struct tree_path *path, struct page_key *ret_bound)
{
    return path_upper_of(path, 0, ret_bound);
}

static bool path_covers(const struct tree_path *path, uint32_t level, const struct page_key *key)
{
    struct page_key bound;
    return !path_upper_of(path, level, &bound) || page_key_compare(key, &bound) < 0;
}

co_fn int tree_path_seek_forward(struct tree_path *path, struct slice key)
{
    uint32_t height = path->tree->height;
    if (height == 1 || path->levels[height - 1].frame == NULL) {
        return tree_path_seek(path, key);
    }
    struct page_key wanted = page_key_of(key);
    uint32_t level = 1;
    while (level < height - 1 && !path_covers(path, level, &wanted)) {
        level++;
    }
    path_choose(path, level, PATH_KEY, key);
    return path_descend(path, level - 1, PATH_KEY, key);
}

co_fn int tree_path_step(struct tree_path *path, bool backward)
{
    for (uint32_t level = 1; level < path->tree->height; level++) {
        struct path_level *at = &path->levels[level];
        uint32_t last = branch_count(at->frame->page) - 1;
        if (at->index == (backward ? 0 : last)) {
            continue;
        }
        at->index = backward ? at->index - 1 : at->index + 1;
        path->levels[level - 1].id = branch_child(at->frame->page, at->index);
        TRY(path_descend(path, level - 1, backward ? PATH_LAST : PATH_FIRST, (struct slice){0}));
        return 1;
    }
    return 0;
}
