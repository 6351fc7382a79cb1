#include <string.h>

#include "base/bytes.h"
#include "store/merge.h"
#include "store/merge_cut.h"

enum {
    SOURCE_INDEX_BITS = 16, /* an old item's source: number of the old page, index in it */
    SOURCE_INDEX_MASK = (1 << SOURCE_INDEX_BITS) - 1,
};

/* One merge under way. The next old record is record `index` of old page `page`. */
struct leaf_run {
    const struct leaf_merge *merge;
    struct merge_run run;
    struct merge_result result;
    uint32_t page;
    uint32_t index;
    struct page_key last; /* the key pushed last */
    bool started;         /* there is one */
    bool changed;
    bool grown; /* a new key was placed: run.append is decided */
};

static bool item_same_run(const struct merge_item *a, const struct merge_item *b)
{
    return a->old && b->old && a->source + 1 == b->source;
}

static const uint8_t *old_page(const struct leaf_run *leaf, const struct merge_item *item)
{
    return leaf->merge->old[item->source >> SOURCE_INDEX_BITS];
}

static uint32_t old_index(const struct merge_item *item)
{
    return item->source & SOURCE_INDEX_MASK;
}

static struct page_key item_key(const struct leaf_run *leaf, const struct merge_item *item)
{
    if (item->old) {
        return keys_get(old_page(leaf, item), old_index(item));
    }
    struct leaf_change change;
    leaf->merge->get(leaf->merge->context, item->source, &change);
    return page_key_of(change.key);
}

/* ---- out: a group becomes a page ---- */

/* Adds the old items from `at` on that stand in a row there and here, as they are; returns how
 * many, 0 if the prefix is another now. */
static uint32_t add_old_run(struct leaf_run *leaf, struct keys_builder *builder, uint32_t at,
                            uint32_t end)
{
    const struct merge_item *items = leaf->run.merger->items;
    const uint8_t *page = old_page(leaf, &items[at]);
    if (page_prefix_bytes(page) != builder->prefix_bytes) {
        return 0;
    }
    uint32_t count = 1;
    while (at + count < end && item_same_run(&items[at + count - 1], &items[at + count])) {
        count++;
    }
    int err = keys_add_run(builder, page, old_index(&items[at]), count);
    ASSERT(err == 0);
    return count;
}

/* An old record under a new prefix: the bytes behind the key stay as they are. */
static void add_old(struct leaf_run *leaf, struct keys_builder *builder,
                    const struct merge_item *item)
{
    const uint8_t *page = old_page(leaf, item);
    struct page_key key = keys_get(page, old_index(item));
    struct keys_item body = keys_item(page, old_index(item));
    uint8_t *to;
    int err = keys_add(builder, &key, item->body, &to);
    ASSERT(err == 0);
    memcpy(to, page + body.offset, item->body);
}

static void add_change(struct leaf_run *leaf, struct keys_builder *builder,
                       const struct merge_item *item)
{
    struct leaf_change change;
    leaf->merge->get(leaf->merge->context, item->source, &change);
    struct page_key key = page_key_of(change.key);
    int err = leaf_add(builder, &key, &change.entry);
    ASSERT(err == 0);
}

static void page_build(struct leaf_run *leaf, const struct merge_group *group, uint8_t *page)
{
    const struct merge_item *items = leaf->run.merger->items;
    struct page_key first = item_key(leaf, &items[group->begin]);
    struct keys_builder builder;
    int err = leaf_begin(&builder, page, leaf->merge->space, group->end - group->begin,
                         group->prefix_bytes, &first);
    ASSERT(err == 0);
    for (uint32_t at = group->begin; at < group->end;) {
        uint32_t count = items[at].old ? add_old_run(leaf, &builder, at, group->end) : 0;
        if (count > 0) {
            at += count;
            continue;
        }
        if (items[at].old) {
            add_old(leaf, &builder, &items[at]);
        } else {
            add_change(leaf, &builder, &items[at]);
        }
        at++;
    }
    leaf_end(&builder);
}

/* The shortest key that is above all of the page before and not above this page's first. */
static struct slice low_bound(struct leaf_run *leaf, const struct merge_group *group)
{
    const struct merge_item *item = &leaf->run.merger->items[group->begin];
    if (leaf->run.pages == 0) {
        return slice_of(NULL, 0);
    }
    uint32_t bytes = item->common + 1u;
    struct page_key key = item_key(leaf, item);
    page_key_copy(&key, 0, bytes, leaf->run.merger->low);
    return slice_of(leaf->run.merger->low, bytes);
}

static int leaf_emit(void *context, const struct merge_group *group)
{
    struct leaf_run *leaf = context;
    const struct merge_sink *sink = &leaf->merge->sink;
    ASSERT(leaf->changed || leaf->merge->old_count > 1);
    uint8_t *page;
    TRY(sink->begin(sink->context, &page));
    page_build(leaf, group, page);
    leaf->result.pages++;
    return sink->end(sink->context, page, low_bound(leaf, group));
}

/* ---- in: old records and changes side by side ---- */

static int push(struct leaf_run *leaf, struct merge_item *item, const struct page_key *key)
{
    item->key_bytes = (uint16_t)page_key_bytes(key);
    ASSERT(!leaf->started || item->common < item->key_bytes);
    ASSERT_SLOW(!leaf->started || page_key_compare(&leaf->last, key) < 0);
    TRY(merge_push(&leaf->run, item));
    leaf->last = *key;
    leaf->started = true;
    return 0;
}

static int push_change(struct leaf_run *leaf, uint32_t index, const struct leaf_change *change)
{
    struct page_key key = page_key_of(change->key);
    ASSERT(leaf_entry_bytes(&change->entry) <= PAGE_CONTENT_BYTES_MAX);
    struct merge_item item = {
        .source = index,
        .common = (uint16_t)(leaf->started ? page_key_common(&leaf->last, &key) : 0),
        .body = (uint16_t)leaf_entry_bytes(&change->entry),
    };
    return push(leaf, &item, &key);
}

/* The next old record stays. */
static int push_old(struct leaf_run *leaf)
{
    const uint8_t *page = leaf->merge->old[leaf->page];
    struct page_key key = keys_get(page, leaf->index);
    struct keys_item body = keys_item(page, leaf->index);
    struct merge_item item = {
        .source = leaf->page << SOURCE_INDEX_BITS | leaf->index,
        .body = (uint16_t)(body.end - body.offset),
        .old = true,
    };
    const struct merger *merger = leaf->run.merger;
    bool neighbour = merger->end > merger->begin && leaf->index > 0 &&
                     item_same_run(&merger->items[merger->end - 1], &item);
    if (neighbour) {
        item.common = (uint16_t)keys_common(page, leaf->index);
    } else if (leaf->started) {
        item.common = (uint16_t)page_key_common(&leaf->last, &key);
    }
    leaf->index++;
    return push(leaf, &item, &key);
}

static bool old_left(const struct leaf_run *leaf)
{
    return leaf->page < leaf->merge->old_count;
}

/* Pushes the old records below `key`; *ret_found: the next one has that key. */
static int push_old_below(struct leaf_run *leaf, struct slice key, bool *ret_found)
{
    *ret_found = false;
    while (old_left(leaf)) {
        const uint8_t *page = leaf->merge->old[leaf->page];
        uint32_t index;
        *ret_found = leaf_find(page, key, &index);
        ASSERT(leaf->index <= index); /* changes ascend */
        while (leaf->index < index) {
            TRY(push_old(leaf));
        }
        if (index < leaf_count(page)) {
            return 0;
        }
        leaf->page++;
        leaf->index = 0;
    }
    return 0;
}

static int push_old_rest(struct leaf_run *leaf)
{
    for (; old_left(leaf); leaf->page++, leaf->index = 0) {
        while (leaf->index < leaf_count(leaf->merge->old[leaf->page])) {
            TRY(push_old(leaf));
        }
    }
    return 0;
}

static bool entries_equal(const struct leaf_entry *a, const struct leaf_entry *b)
{
    if (a->type != b->type || a->meta != b->meta || a->expire_ms != b->expire_ms ||
        a->is_extent != b->is_extent) {
        return false;
    }
    if (a->is_extent) {
        return a->extent.pos.value == b->extent.pos.value && a->extent.bytes == b->extent.bytes &&
               a->extent.checksum == b->extent.checksum;
    }
    return slice_equal(a->value, b->value);
}

/* The change meets its key: the next old record. */
static int apply_existing(struct leaf_run *leaf, uint32_t index, const struct leaf_change *change)
{
    const struct leaf_merge *merge = leaf->merge;
    struct leaf_entry old;
    leaf_get(merge->old[leaf->page], leaf->index, &old);
    if (!change->remove && entries_equal(&old, &change->entry)) {
        return push_old(leaf);
    }
    leaf->changed = true;
    leaf->index++;
    bool kept = !change->remove && change->entry.is_extent && old.is_extent &&
                change->entry.extent.pos.value == old.extent.pos.value;
    if (old.is_extent && !kept && merge->extent_dead != NULL) {
        merge->extent_dead(merge->context, &old.extent);
    }
    if (change->remove) {
        leaf->result.removed++;
        return 0;
    }
    return push_change(leaf, index, change);
}

static int apply_absent(struct leaf_run *leaf, uint32_t index, const struct leaf_change *change)
{
    if (change->remove) {
        return 0;
    }
    leaf->changed = true;
    leaf->result.added++;
    if (!leaf->grown) {
        leaf->run.append = leaf->merge->old_count > 0 && !old_left(leaf);
        leaf->grown = true;
    }
    return push_change(leaf, index, change);
}

static int apply(struct leaf_run *leaf, uint32_t index)
{
    const struct leaf_merge *merge = leaf->merge;
    struct leaf_change change;
    merge->get(merge->context, index, &change);
    ASSERT(change.key.bytes <= STORE_KEY_BYTES_MAX);
    bool existed;
    TRY(push_old_below(leaf, change.key, &existed));
    if (merge->existed != NULL) {
        merge->existed(merge->context, index, existed);
    }
    if (existed) {
        return apply_existing(leaf, index, &change);
    }
    return apply_absent(leaf, index, &change);
}

int leaf_merge(struct merger *merger, const struct leaf_merge *merge,
               struct merge_result *ret_result)
{
    ASSERT(merge->old_count <= MERGE_OLD_MAX);
    ASSERT(merge->begin <= merge->end);
    struct leaf_run leaf = {.merge = merge};
    merge_run_init(&leaf.run, merger);
    leaf.run.context = &leaf;
    leaf.run.emit = leaf_emit;
    for (uint32_t index = merge->begin; index < merge->end; index++) {
        TRY(apply(&leaf, index));
    }
    TRY(push_old_rest(&leaf));
    /* One old page is less than a window: if nothing changed, nothing was emitted so far. */
    leaf.result.unchanged = merge->old_count <= 1 && !leaf.changed;
    if (!leaf.result.unchanged) {
        TRY(merge_finish(&leaf.run));
    }
    *ret_result = leaf.result;
    return 0;
}
