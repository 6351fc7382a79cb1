/*
 * Looking up one key: get, exists, floor, random.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "store/extent.h"
#include "store/tree_page.h"

/* ---- to the leaf ---- */

/* The leaf that would hold the key, pinned. Suspends unless everything is cached. */
co_fn static int find_leaf(struct partition *partition, const struct version *version,
                           const struct tree *tree, struct slice key, struct frame **ret_frame)
{
    struct tree_page page = {tree->root, tree->space, tree->height - 1, CACHE_USE_POINT, true};
    for (;;) {
        struct frame *frame;
        TRY(tree_page_read(partition, version, &page, &frame));
        if (page.level == 0) {
            *ret_frame = frame;
            return 0;
        }
        page.id = branch_child(frame->page, branch_find(frame->page, key));
        page.level--;
        tree_page_release(partition, frame);
    }
}

/* ---- from the leaf ---- */

/* The entry without its key; the value only if it is inline. */
static void found_fill(struct store_found *found, const struct leaf_entry *entry)
{
    found->entry.value = entry->is_extent ? slice_of(NULL, 0) : entry->value;
    found->entry.value_bytes = leaf_value_bytes(entry);
    found->entry.expire_ms = entry->expire_ms;
    found->entry.type = entry->type;
    found->entry.meta = entry->meta;
}

/* Record `index` of the leaf, whose pin is handed over: into *found on success. Suspends for an
 * extent. */
co_fn static int found_take(struct partition *partition, struct frame *frame, uint32_t index,
                            struct store_found *found)
{
    struct leaf_entry entry;
    leaf_get(frame->page, index, &entry);
    found_fill(found, &entry);
    if (!entry.is_extent) {
        found->frame = frame;
        return 1;
    }
    struct extent extent = entry.extent;
    tree_page_release(partition, frame);
    uint8_t *value;
    TRY(extent_read(partition, &extent, &value));
    found->extent = value;
    found->entry.value = slice_of(value, extent.bytes);
    return 1;
}

co_fn static int get_in(struct partition *partition, const struct version *version,
                        const struct tree *tree, struct slice key, struct store_found *found)
{
    struct frame *frame;
    TRY(find_leaf(partition, version, tree, key, &frame));
    uint32_t index;
    if (!leaf_find(frame->page, key, &index)) {
        tree_page_release(partition, frame);
        return 0;
    }
    return found_take(partition, frame, index, found);
}

co_fn int store_get(struct partition *partition, uint32_t space, struct slice key,
                    struct store_found *ret_found)
{
    struct version *version = version_hold(partition);
    const struct tree *tree = version_tree(version, space);
    struct store_found found = {.entry.key = key};
    int err = tree == NULL ? 0 : get_in(partition, version, tree, key, &found);
    version_release(partition, version);
    if (err > 0) {
        *ret_found = found;
    }
    return err;
}

void store_found_release(struct partition *partition, struct store_found *found)
{
    if (found->frame != NULL) {
        tree_page_release(partition, found->frame);
    }
    mem_free(found->extent);
    *found = (struct store_found){0};
}

co_fn int store_exists(struct partition *partition, uint32_t space, struct slice key)
{
    struct version *version = version_hold(partition);
    const struct tree *tree = version_tree(version, space);
    int err = 0;
    if (tree != NULL) {
        struct frame *frame;
        err = find_leaf(partition, version, tree, key, &frame);
        if (err == 0) {
            uint32_t index;
            err = leaf_find(frame->page, key, &index);
            tree_page_release(partition, frame);
        }
    }
    version_release(partition, version);
    return err;
}

/* ---- floor and random ---- */

/* Reads the path's leaf. Suspends. */
co_fn static int path_leaf(struct tree_path *path, struct frame **ret_frame)
{
    struct tree_page page = {
        .id = tree_path_leaf(path), .space = path->tree->space, .use = CACHE_USE_POINT};
    return tree_page_read(path->partition, path->version, &page, ret_frame);
}

/* Record `index` of the leaf with its key in `key_buffer`; takes the pin. Suspends for an extent.
 */
co_fn static int found_take_with_key(struct partition *partition, struct frame *frame,
                                     uint32_t index, uint8_t *key_buffer, struct store_found *found)
{
    uint32_t bytes = leaf_key_copy(frame->page, index, key_buffer);
    found->entry.key = slice_of(key_buffer, bytes);
    return found_take(partition, frame, index, found);
}

/* The last record of a leaf at or before the path's that is not above the key. Suspends. */
co_fn static int floor_in(struct tree_path *path, struct slice key, uint8_t *key_buffer,
                          struct store_found *found)
{
    TRY(tree_path_seek(path, key));
    for (;;) {
        struct frame *frame;
        TRY(path_leaf(path, &frame));
        uint32_t index;
        bool exact = leaf_find(frame->page, key, &index);
        if (exact || index > 0) {
            return found_take_with_key(path->partition, frame, exact ? index : index - 1,
                                       key_buffer, found);
        }
        tree_page_release(path->partition, frame);
        /* Separators are short: the leaf's range may begin below its first key. */
        if (TRY(tree_path_step(path, true)) == 0) {
            return 0;
        }
    }
}

co_fn int store_floor(struct partition *partition, uint32_t space, struct slice key,
                      uint8_t *key_buffer, struct store_found *ret_found)
{
    struct version *version = version_hold(partition);
    const struct tree *tree = version_tree(version, space);
    struct store_found found = {0};
    int err = 0;
    if (tree != NULL) {
        struct tree_path path;
        tree_path_init(&path, partition, version, tree, CACHE_USE_POINT);
        err = floor_in(&path, key, key_buffer, &found);
        tree_path_deinit(&path);
    }
    version_release(partition, version);
    if (err > 0) {
        *ret_found = found;
    }
    return err;
}

/* A leaf by a random child on each level: keys below fuller pages are met a little less often.
 * Suspends. */
co_fn static int random_leaf(struct partition *partition, const struct version *version,
                             const struct tree *tree, struct random *random,
                             struct frame **ret_frame)
{
    struct tree_page page = {tree->root, tree->space, tree->height - 1, CACHE_USE_POINT, true};
    for (;;) {
        struct frame *frame;
        TRY(tree_page_read(partition, version, &page, &frame));
        if (page.level == 0) {
            *ret_frame = frame;
            return 0;
        }
        uint32_t child = (uint32_t)random_below(random, branch_count(frame->page));
        page.id = branch_child(frame->page, child);
        page.level--;
        tree_page_release(partition, frame);
    }
}

co_fn static int random_in(struct partition *partition, const struct version *version,
                           const struct tree *tree, struct random *random, uint8_t *key_buffer,
                           struct store_found *found)
{
    struct frame *frame;
    TRY(random_leaf(partition, version, tree, random, &frame));
    uint32_t count = leaf_count(frame->page);
    if (count == 0) {
        tree_page_release(partition, frame);
        return 0;
    }
    uint32_t index = (uint32_t)random_below(random, count);
    return found_take_with_key(partition, frame, index, key_buffer, found);
}

co_fn int store_random(struct partition *partition, uint32_t space, struct random *random,
                       uint8_t *key_buffer, struct store_found *ret_found)
{
    struct version *version = version_hold(partition);
    const struct tree *tree = version_tree(version, space);
    struct store_found found = {0};
    int err = tree == NULL ? 0 : random_in(partition, version, tree, random, key_buffer, &found);
    version_release(partition, version);
    if (err > 0) {
        *ret_found = found;
    }
    return err;
}
