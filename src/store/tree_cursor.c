#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "store/extent.h"
#include "store/leaf_stream.h"

struct store_cursor {
    struct partition *partition;
    struct version *version; /* held */
    const struct tree *tree; /* NULL: nothing to iterate */
    struct frame *leaf;      /* the stream's; NULL: the next one is needed */
    uint32_t left;           /* records of the leaf still to come */
    uint32_t index;          /* of the next record, if left > 0 */
    int ended;               /* 0, or what every further call returns: 1 at the end, or an error */
    bool reverse, exclusive, values;
    bool seeking;      /* `from` counts: the first leaf is still to be entered */
    struct slice from; /* points to key */
    uint8_t *extent;   /* the last entry's value, owned */
    struct leaf_stream stream;
    uint8_t key[STORE_KEY_BYTES_MAX];
};

co_fn static int cursor_start(struct store_cursor *cursor,
                              const struct store_cursor_options *options)
{
    cursor->tree = version_tree(cursor->version, options->space);
    if (cursor->tree == NULL) {
        return 0;
    }
    struct leaf_stream_start start = {
        .partition = cursor->partition,
        .version = cursor->version,
        .tree = cursor->tree,
        .from = cursor->seeking ? &cursor->from : NULL,
        .backward = options->reverse,
        .window = options->read_ahead,
    };
    return leaf_stream_init(&cursor->stream, &start);
}

co_fn int store_cursor_open(struct partition *partition, const struct store_cursor_options *options,
                            struct store_cursor **ret_cursor)
{
    if (options->from.bytes > STORE_KEY_BYTES_MAX) {
        return ERR_KEY_TOO_LONG;
    }
    struct store_cursor *cursor = mem_calloc(1, sizeof(*cursor));
    if (cursor == NULL) {
        return ERR_MEMORY;
    }
    cursor->partition = partition;
    cursor->reverse = options->reverse;
    cursor->exclusive = options->exclusive;
    cursor->values = options->values;
    cursor->seeking = options->from.bytes > 0;
    if (cursor->seeking) {
        memcpy(cursor->key, options->from.data, options->from.bytes);
    }
    cursor->from = slice_of(cursor->key, options->from.bytes);
    cursor->version = version_hold(partition);
    int err = cursor_start(cursor, options);
    if (err < 0) {
        version_release(partition, cursor->version);
        mem_free(cursor);
        return err;
    }
    *ret_cursor = cursor;
    return 0;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (cursor->tree != NULL) {
        leaf_stream_deinit(&cursor->stream);
    }
    version_release(cursor->partition, cursor->version);
    mem_free(cursor->extent);
    mem_free(cursor);
}

/* Which records of a leaf are still to come, going the cursor's way. */
static void cursor_enter(struct store_cursor *cursor, struct frame *leaf)
{
    uint32_t count = leaf_count(leaf->page);
    cursor->leaf = leaf;
    cursor->left = count;
    cursor->index = cursor->reverse ? count - 1 : 0;
    if (!cursor->seeking) {
        return;
    }
    uint32_t at;
    bool exact = leaf_find(leaf->page, cursor->from, &at);
    bool skip = (exact || (PLANTED(SCAN_SKIPS_AFTER_SPLIT) && at == 0)) && cursor->exclusive;
    if (cursor->reverse) {
        cursor->left = at + (exact && !skip);
        cursor->index = cursor->left - 1;
    } else {
        cursor->index = at + skip;
        cursor->left = count - cursor->index;
    }
    /* The leaf that would hold `from` settles it: all further leaves lie wholly on the right side.
     */
    cursor->seeking = PLANTED(SCAN_SKIPS_AFTER_SPLIT) && cursor->left == 0;
}

/* Suspends. */
co_fn static int cursor_next_leaf(struct store_cursor *cursor)
{
    while (cursor->left == 0) {
        struct frame *leaf;
        if (TRY(leaf_stream_next(&cursor->stream, &leaf)) == 0) {
            return 0;
        }
        cursor_enter(cursor, leaf);
    }
    return 1;
}

/* The record at the cursor. Suspends for an extent. */
co_fn static int cursor_entry(struct store_cursor *cursor, struct store_entry *ret_entry)
{
    const uint8_t *page = cursor->leaf->page;
    struct leaf_entry entry;
    leaf_get(page, cursor->index, &entry);
    uint32_t key_bytes = leaf_key_copy(page, cursor->index, cursor->key);
    struct slice value = entry.value;
    if (!cursor->values) {
        value = slice_of(NULL, 0);
    } else if (entry.is_extent) {
        TRY(extent_read(cursor->partition, &entry.extent, &cursor->extent));
        value = slice_of(cursor->extent, entry.extent.bytes);
    }
    *ret_entry = (struct store_entry){
        .key = slice_of(cursor->key, key_bytes),
        .value = value,
        .value_bytes = leaf_value_bytes(&entry),
        .expire_ms = entry.expire_ms,
        .type = entry.type,
        .meta = entry.meta,
    };
    return 1;
}

co_fn int store_cursor_next(struct store_cursor *cursor, struct store_entry *ret_entry)
{
    mem_free(cursor->extent);
    cursor->extent = NULL;
    if (cursor->tree == NULL || cursor->ended != 0) {
        return cursor->ended < 0 ? cursor->ended : 0;
    }
    int more = cursor_next_leaf(cursor);
    if (more <= 0) {
        cursor->ended = more == 0 ? 1 : more;
        return more;
    }
    int err = cursor_entry(cursor, ret_entry);
    cursor->left--;
    cursor->index = cursor->reverse ? cursor->index - 1 : cursor->index + 1;
    return err;
}
