#include "base/bytes.h"
#include "store/merge.h"
#include "store/merge_cut.h"

enum {
    SOURCE_INDEX_BITS = 16, /* an old item's source: number of the old page, child in it */
    SOURCE_INDEX_MASK = (1 << SOURCE_INDEX_BITS) - 1,
};

/* One merge under way. The next old child is child `index` of old page `page`, number `child` over
 * all. */
struct branch_run {
    const struct branch_merge *merge;
    struct merge_run run;
    struct merge_result result;
    uint32_t page;
    uint32_t index;
    uint32_t child;
    struct page_key last; /* the lower bound pushed last */
    bool started;
    bool grown; /* a child was inserted: run.append is decided */
};

/* The lower bound of child `index` of old page `page`. Of the very first child nobody asks for it.
 */
static struct page_key old_bound(const struct branch_merge *merge, uint32_t page, uint32_t index)
{
    if (index > 0) {
        return branch_separator(merge->old[page], index);
    }
    return page_key_of(page > 0 ? merge->low[page] : slice_of(NULL, 0));
}

/* ---- out ---- */

static struct page_key item_bound(const struct branch_run *branch, const struct merge_item *item)
{
    const struct branch_merge *merge = branch->merge;
    if (item->old) {
        return old_bound(merge, item->source >> SOURCE_INDEX_BITS,
                         item->source & SOURCE_INDEX_MASK);
    }
    const struct branch_change *change = &merge->changes[item->source];
    if (change->separator.bytes > 0 || merge->old_count == 0) {
        return page_key_of(change->separator);
    }
    uint32_t page = 0;
    uint32_t child = change->child;
    while (child >= branch_count(merge->old[page])) {
        child -= branch_count(merge->old[page++]);
    }
    return old_bound(merge, page, child);
}

static struct page_id item_child(const struct branch_run *branch, const struct merge_item *item)
{
    const struct branch_merge *merge = branch->merge;
    if (item->old) {
        return branch_child(merge->old[item->source >> SOURCE_INDEX_BITS],
                            item->source & SOURCE_INDEX_MASK);
    }
    return merge->changes[item->source].id;
}

static void page_build(struct branch_run *branch, const struct merge_group *group, uint8_t *page)
{
    const struct merge_item *items = branch->run.merger->items;
    struct branch_layout layout = {
        .space = branch->merge->space,
        .level = branch->merge->level,
        .count = group->end - group->begin,
        .prefix_bytes = group->prefix_bytes,
    };
    struct page_key key = {0};
    if (layout.count > 1) {
        key = item_bound(branch, &items[group->begin + 1]);
    }
    struct keys_builder builder;
    int err = branch_begin(&builder, page, &layout, &key, item_child(branch, &items[group->begin]));
    ASSERT(err == 0);
    for (uint32_t at = group->begin + 1; at < group->end; at++) {
        key = item_bound(branch, &items[at]);
        err = branch_add(&builder, &key, item_child(branch, &items[at]));
        ASSERT(err == 0);
    }
    branch_end(&builder);
}

static int branch_emit(void *context, const struct merge_group *group)
{
    struct branch_run *branch = context;
    const struct merge_sink *sink = &branch->merge->sink;
    struct merger *merger = branch->run.merger;
    uint8_t *page;
    TRY(sink->begin(sink->context, &page));
    page_build(branch, group, page);
    struct slice low = slice_of(NULL, 0);
    if (branch->run.pages > 0) {
        struct page_key key = item_bound(branch, &merger->items[group->begin]);
        low = slice_of(merger->low, page_key_bytes(&key));
        page_key_copy(&key, 0, page_key_bytes(&key), merger->low);
    }
    branch->result.pages++;
    return sink->end(sink->context, page, low);
}

/* ---- in ---- */

static int push(struct branch_run *branch, struct merge_item *item)
{
    struct page_key key = item_bound(branch, item);
    ASSERT(page_key_bytes(&key) <= STORE_KEY_BYTES_MAX);
    ASSERT(!branch->started || page_key_compare(&branch->last, &key) < 0);
    item->key_bytes = (uint16_t)page_key_bytes(&key);
    item->common = (uint16_t)(branch->started ? page_key_common(&branch->last, &key) : 0);
    item->body = BRANCH_CHILD_BYTES;
    branch->last = key;
    branch->started = true;
    return merge_push(&branch->run, item);
}

static void old_step(struct branch_run *branch)
{
    branch->child++;
    branch->index++;
    if (branch->index == branch_count(branch->merge->old[branch->page])) {
        branch->index = 0;
        branch->page++;
    }
}

/* Pushes the old children up to `end` (a number over all), or all that are left. */
static int push_old_until(struct branch_run *branch, uint64_t end)
{
    while (branch->page < branch->merge->old_count && branch->child < end) {
        struct merge_item item = {
            .source = branch->page << SOURCE_INDEX_BITS | branch->index,
            .old = true,
        };
        TRY(push(branch, &item));
        old_step(branch);
    }
    return 0;
}

static int apply(struct branch_run *branch, uint32_t index)
{
    const struct branch_merge *merge = branch->merge;
    const struct branch_change *change = &merge->changes[index];
    if (change->remove) {
        TRY(push_old_until(branch, change->child));
        ASSERT(branch->page < merge->old_count && branch->child == change->child);
        branch->result.removed++;
        old_step(branch);
        return 0;
    }
    TRY(push_old_until(branch, (uint64_t)change->child + 1));
    ASSERT(!page_id_is_none(change->id));
    if (!branch->grown) {
        branch->run.append = merge->old_count > 0 && branch->page == merge->old_count;
        branch->grown = true;
    }
    branch->result.added++;
    struct merge_item item = {.source = index};
    return push(branch, &item);
}

int branch_merge(struct merger *merger, const struct branch_merge *merge,
                 struct merge_result *ret_result)
{
    ASSERT(merge->old_count <= MERGE_OLD_MAX);
    ASSERT(merge->level > 0 && merge->level <= PAGE_LEVEL_MAX);
    if (merge->old_count <= 1 && merge->change_count == 0) {
        *ret_result = (struct merge_result){.unchanged = true};
        return 0;
    }
    struct branch_run branch = {.merge = merge};
    merge_run_init(&branch.run, merger);
    branch.run.keyless_first = true;
    branch.run.context = &branch;
    branch.run.emit = branch_emit;
    for (uint32_t index = 0; index < merge->change_count; index++) {
        TRY(apply(&branch, index));
    }
    TRY(push_old_until(&branch, UINT64_MAX));
    TRY(merge_finish(&branch.run));
    *ret_result = branch.result;
    return 0;
}
