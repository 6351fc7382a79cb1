/*
 * Verifying a whole partition: every page and extent of a version is read. Beside checksums and
 * formats, which are looked at on every read, this proves what only the whole can show: order
 * across pages, each page reachable exactly once, no page in the map that is not reachable,
 * counters of files and trees.
 *
 * The version is held, so commits may go on. Counters of files are those of the newest version;
 * they are compared only if that is still the one that was read.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/extent.h"
#include "store/leaf_stream.h"

struct verify_file {
    uint64_t number;
    uint64_t live; /* pages found */
};

struct verify {
    struct partition *partition;
    struct version *version; /* held */
    struct store_report *report;
    uint64_t *seen; /* a bit for each page id */
    uint32_t id_end;
    struct verify_file *files; /* by number */
    uint32_t file_count;
    struct leaf_stream stream;
    /* the tree being walked */
    const struct tree *tree;
    uint64_t keys, extents;
    struct page_id branches[TREE_HEIGHT_MAX]; /* last seen on each level */
};

/* Notes the first violation. Returns ERR_CORRUPT. */
__attribute__((format(printf, 2, 3))) static int violation(struct verify *verify, const char *text,
                                                           ...)
{
    struct store_report *report = verify->report;
    if (report->error[0] == 0) {
        va_list args;
        va_start(args, text);
        vsnprintf(report->error, sizeof(report->error), text, args);
        va_end(args);
    }
    return err_corrupt(verify->partition->dir, 0, "%s", report->error);
}

/* ---- places ---- */

static int note_live(struct verify *verify, struct file_pos pos, uint32_t pages)
{
    uint32_t low = 0;
    uint32_t high = verify->file_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (verify->files[middle].number < file_pos_file(pos)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == verify->file_count || verify->files[low].number != file_pos_file(pos)) {
        return violation(verify, "position %llu is in no file", (unsigned long long)pos.value);
    }
    verify->files[low].live += pages;
    verify->report->pages_live += pages;
    return 0;
}

static int note_page(struct verify *verify, struct page_id id)
{
    struct file_pos pos = mapper_get(verify->version->map, id);
    if (id.value >= verify->id_end || file_pos_is_none(pos)) {
        return violation(verify, "page %u is not in the map", id.value);
    }
    uint64_t bit = (uint64_t)1 << (id.value % 64);
    if ((verify->seen[id.value / 64] & bit) != 0) {
        return violation(verify, "page %u is reached twice", id.value);
    }
    verify->seen[id.value / 64] |= bit;
    return note_live(verify, pos, 1);
}

/* ---- branches ---- */

/* The lower bound of the page on `level` of the path, which the levels above it know. */
static bool path_lower(const struct tree_path *path, uint32_t level, struct page_key *ret_bound)
{
    for (uint32_t above = level + 1; above < path->tree->height; above++) {
        const struct path_level *at = &path->levels[above];
        if (at->index > 0) {
            *ret_bound = branch_separator(at->frame->page, at->index);
            return true;
        }
    }
    return false;
}

static bool path_upper(const struct tree_path *path, uint32_t level, struct page_key *ret_bound)
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

/* The page on `level` has keys from `first` to `last`: they lie in its range. */
static int check_range(struct verify *verify, uint32_t level, struct page_id id,
                       const struct page_key *first, const struct page_key *last)
{
    const struct tree_path *path = &verify->stream.path;
    struct page_key bound;
    if (path_lower(path, level, &bound) && page_key_compare(first, &bound) < 0) {
        return violation(verify, "page %u has a key below its range", id.value);
    }
    if (path_upper(path, level, &bound) && page_key_compare(last, &bound) >= 0) {
        return violation(verify, "page %u has a key above its range", id.value);
    }
    return 0;
}

static int check_branch(struct verify *verify, uint32_t level)
{
    const struct path_level *at = &verify->stream.path.levels[level];
    const uint8_t *page = at->frame->page;
    verify->report->branches++;
    TRY(note_page(verify, at->id));
    uint32_t count = branch_count(page);
    if (count < 2) {
        return 0;
    }
    struct page_key first = branch_separator(page, 1);
    struct page_key last = branch_separator(page, count - 1);
    return check_range(verify, level, at->id, &first, &last);
}

/* The branches that the path has come to since the last leaf. */
static int check_branches(struct verify *verify)
{
    for (uint32_t level = verify->tree->height - 1; level > 0; level--) {
        struct page_id id = verify->stream.path.levels[level].id;
        if (id.value != verify->branches[level].value) {
            verify->branches[level] = id;
            TRY(check_branch(verify, level));
        }
    }
    return 0;
}

/* ---- leaves ---- */

co_fn static int check_extent(struct verify *verify, const struct extent *extent)
{
    verify->extents++;
    verify->report->extents++;
    uint8_t *value;
    TRY(extent_read(verify->partition, extent, &value));
    mem_free(value);
    return note_live(verify, extent->pos, extent_pages(extent));
}

co_fn static int check_leaf(struct verify *verify, const struct frame *leaf)
{
    const uint8_t *page = leaf->page;
    uint32_t count = leaf_count(page);
    verify->report->leaves++;
    verify->keys += count;
    TRY(check_branches(verify));
    TRY(note_page(verify, page_id(page)));
    if (count == 0) {
        return violation(verify, "leaf %u is empty", page_id(page).value);
    }
    struct page_key first = keys_get(page, 0);
    struct page_key last = keys_get(page, count - 1);
    TRY(check_range(verify, 0, page_id(page), &first, &last));
    for (uint32_t i = 0; i < count; i++) {
        struct leaf_entry entry;
        leaf_get(page, i, &entry);
        if (entry.is_extent) {
            TRY(check_extent(verify, &entry.extent));
        }
    }
    return 0;
}

co_fn static int check_leaves(struct verify *verify)
{
    struct leaf_stream_start start = {
        .partition = verify->partition,
        .version = verify->version,
        .tree = verify->tree,
        .window = 1, /* so that the path stands at the leaf in hand */
    };
    TRY(leaf_stream_init(&verify->stream, &start));
    struct frame *leaf;
    int err = leaf_stream_next(&verify->stream, &leaf);
    while (err > 0) {
        err = check_leaf(verify, leaf);
        co_yield_if_due();
        err = err < 0 ? err : leaf_stream_next(&verify->stream, &leaf);
    }
    leaf_stream_deinit(&verify->stream);
    return err;
}

co_fn static int check_tree(struct verify *verify, const struct tree *tree)
{
    verify->tree = tree;
    verify->keys = 0;
    verify->extents = 0;
    for (uint32_t level = 0; level < TREE_HEIGHT_MAX; level++) {
        verify->branches[level] = PAGE_ID_NONE;
    }
    if (tree->height > verify->report->height_max) {
        verify->report->height_max = tree->height;
    }
    TRY(check_leaves(verify));
    if (verify->keys != tree->keys || verify->extents != tree->extents) {
        return violation(verify, "space %u has %llu keys, %llu extents; counted are %llu, %llu",
                         tree->space, (unsigned long long)verify->keys,
                         (unsigned long long)verify->extents, (unsigned long long)tree->keys,
                         (unsigned long long)tree->extents);
    }
    verify->report->keys += verify->keys;
    return 0;
}

/* ---- the whole ---- */

static int check_map_reached(struct verify *verify)
{
    struct page_id id = {0};
    struct file_pos pos;
    while (mapper_next(verify->version->map, id, &id, &pos)) {
        if ((verify->seen[id.value / 64] >> (id.value % 64) & 1) == 0) {
            return violation(verify, "page %u is in the map and in no tree", id.value);
        }
        id.value++;
    }
    return 0;
}

static int check_files(struct verify *verify)
{
    if (partition_version(verify->partition) != verify->version) {
        return 0;
    }
    for (uint32_t i = 0; i < verify->file_count; i++) {
        const struct verify_file *found = &verify->files[i];
        const struct datafile *file = datafiles_find(&verify->partition->files, found->number);
        if (file == NULL || file->live != found->live) {
            return violation(verify, "data file %llu has %llu live pages, counted are %u",
                             (unsigned long long)found->number, (unsigned long long)found->live,
                             file == NULL ? 0 : file->live);
        }
    }
    return 0;
}

/* The tables to count in. */
static int verify_prepare(struct verify *verify)
{
    const struct mapper_root *map = verify->version->map;
    const struct mapper_chunk *chunk = mapper_next_chunk(map, 0);
    for (; chunk != NULL; chunk = mapper_next_chunk(map, chunk->index + 1)) {
        verify->id_end = (chunk->index + 1) * MAPPER_CHUNK_PAGES;
    }
    const struct datafiles *files = &verify->partition->files;
    verify->seen = mem_calloc(verify->id_end / 64 + 1, sizeof(uint64_t));
    verify->files = mem_calloc(files->count + 1, sizeof(verify->files[0]));
    if (verify->seen == NULL || verify->files == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < files->count; i++) {
        if (!files->files[i]->dead) {
            verify->files[verify->file_count++].number = files->files[i]->number;
        }
    }
    return 0;
}

co_fn static int verify_run(struct verify *verify)
{
    TRY(verify_prepare(verify));
    for (uint32_t i = 0; i < verify->version->tree_count; i++) {
        TRY(check_tree(verify, &verify->version->trees[i]));
    }
    TRY(check_map_reached(verify));
    return check_files(verify);
}

co_fn int partition_verify(struct partition *partition, struct store_report *ret_report)
{
    struct verify *verify = mem_calloc(1, sizeof(*verify));
    if (verify == NULL) {
        return ERR_MEMORY;
    }
    *ret_report = (struct store_report){0};
    verify->partition = partition;
    verify->report = ret_report;
    verify->version = version_hold(partition);
    int err = verify_run(verify);
    if (err < 0 && ret_report->error[0] == 0) {
        snprintf(ret_report->error, sizeof(ret_report->error), "a page or extent of space %u: %s",
                 verify->tree == NULL ? 0 : verify->tree->space, error_text(err));
    }
    version_release(partition, verify->version);
    mem_free(verify->files);
    mem_free(verify->seen);
    mem_free(verify);
    return err;
}
