#include "store/merge_cut.h"

#include <string.h>

#include "base/bytes.h"

static_assert((int)MERGE_ITEMS_MAX > (int)LEAF_ENTRIES_MAX &&
                  (int)MERGE_ITEMS_MAX > (int)BRANCH_CHILDREN_MAX,
              "a full window is more than a page, so a cut makes room");

void merger_init(struct merger *merger)
{
    merger->split_fill = MERGE_SPLIT_FILL_DEFAULT;
    merger->append_fill = MERGE_APPEND_FILL_DEFAULT;
    merger->begin = 0;
    merger->end = 0;
}

void merge_run_init(struct merge_run *run, struct merger *merger)
{
    ASSERT(merger->split_fill >= MERGE_FILL_MIN && merger->split_fill <= 100);
    ASSERT(merger->append_fill >= MERGE_FILL_MIN && merger->append_fill <= 100);
    *run = (struct merge_run){.merger = merger};
    merger->begin = 0;
    merger->end = 0;
}

/* ---- how much goes into a page ---- */

/* Content bytes that an item costs in a page of this prefix. */
static inline uint32_t item_bytes(const struct merge_item *item, uint32_t prefix_bytes)
{
    return item->body + keys_cost(item->key_bytes, prefix_bytes);
}

/* The cost of the first item of a page. */
static uint32_t first_bytes(const struct merge_run *run, const struct merge_item *item,
                            uint32_t prefix_bytes)
{
    return run->keyless_first ? item->body : item_bytes(item, prefix_bytes);
}

/* What items[begin..end) share: known for all but the last, which is `next` to them. */
static uint32_t next_prefix(const struct merge_run *run, uint32_t begin, uint32_t next,
                            uint32_t prefix_bytes)
{
    const struct merge_item *item = &run->merger->items[next];
    if (run->keyless_first && next == begin + 1) {
        return item->key_bytes; /* the page's only key so far */
    }
    return (uint32_t)min_u64(prefix_bytes, item->common);
}

static uint32_t group_bytes(const struct merge_run *run, uint32_t begin, uint32_t end,
                            uint32_t prefix_bytes)
{
    const struct merge_item *items = run->merger->items;
    uint32_t bytes = prefix_bytes + first_bytes(run, &items[begin], prefix_bytes);
    for (uint32_t at = begin + 1; at < end; at++) {
        bytes += item_bytes(&items[at], prefix_bytes);
    }
    return bytes;
}

/* The longest group from the first waiting item on that ends at `end` or before, fits in a page and
 * comes nearest to `target` content bytes. At least one item. */
static struct merge_group group_fill(const struct merge_run *run, uint32_t end, uint32_t target)
{
    const struct merger *merger = run->merger;
    uint32_t begin = merger->begin;
    ASSERT(begin < end && end <= merger->end);
    uint32_t prefix = run->keyless_first ? 0 : merger->items[begin].key_bytes;
    uint32_t bytes = group_bytes(run, begin, begin + 1, prefix);
    ASSERT(bytes <= PAGE_CONTENT_BYTES_MAX);
    uint32_t at = begin + 1;
    for (; at < end; at++) {
        uint32_t shared = next_prefix(run, begin, at, prefix);
        uint32_t before = bytes;
        if (shared != prefix) {
            before = group_bytes(run, begin, at, shared);
        }
        uint32_t after = before + item_bytes(&merger->items[at], shared);
        if (after > PAGE_CONTENT_BYTES_MAX || (bytes + after) / 2 > target) {
            break;
        }
        prefix = shared;
        bytes = after;
    }
    return (struct merge_group){.begin = begin, .end = at, .prefix_bytes = prefix};
}

/* What an item will cost about, before it is known in which page: its prefix is then at least what
 * it shares with its neighbour, at best. */
static uint32_t item_estimate(const struct merge_item *item)
{
    return item_bytes(item, item->common);
}

/* The items that are left fill more than a page: an even share of them. `fits` would fill one. */
static struct merge_group group_share(const struct merge_run *run, struct merge_group fits)
{
    const struct merger *merger = run->merger;
    uint64_t total = 0;
    for (uint32_t at = merger->begin; at < merger->end; at++) {
        total += item_estimate(&merger->items[at]);
    }
    uint64_t fill = (uint64_t)PAGE_CONTENT_BYTES_MAX * merger->split_fill / 100;
    /* A sixteenth of a page too much is no reason for one page more: it may come from rounding
     * before. */
    uint64_t spare = min_u64(total, fill / 16);
    uint64_t pages = max_u64(2, div_ceil(total - spare, fill));
    uint64_t share = total / pages;
    uint32_t end = merger->begin;
    uint64_t taken = 0;
    while (end < fits.end) {
        uint32_t bytes = item_estimate(&merger->items[end]);
        if (taken + bytes / 2 > share) {
            break;
        }
        taken += bytes;
        end++;
    }
    end = end > merger->begin ? end : merger->begin + 1;
    return group_fill(run, end, PAGE_CONTENT_BYTES_MAX);
}

static struct merge_group group_next(const struct merge_run *run, bool final)
{
    const struct merger *merger = run->merger;
    struct merge_group fits = group_fill(run, merger->end, PAGE_CONTENT_BYTES_MAX);
    if (final && fits.end == merger->end) {
        return fits;
    }
    if (run->append) {
        uint32_t fill = PAGE_CONTENT_BYTES_MAX * merger->append_fill / 100;
        return group_fill(run, merger->end, fill);
    }
    if (final) {
        return group_share(run, fits);
    }
    return group_fill(run, merger->end, PAGE_CONTENT_BYTES_MAX * merger->split_fill / 100);
}

/* ---- the window ---- */

static int emit_one(struct merge_run *run, bool final)
{
    struct merge_group group = group_next(run, final);
    TRY(run->emit(run->context, &group));
    run->pages++;
    run->merger->begin = group.end;
    return 0;
}

int merge_push(struct merge_run *run, const struct merge_item *item)
{
    struct merger *merger = run->merger;
    if (merger->end == MERGE_ITEMS_MAX && merger->begin == 0) {
        TRY(emit_one(run, false));
    }
    if (merger->end == MERGE_ITEMS_MAX) {
        uint32_t count = merger->end - merger->begin;
        memmove(merger->items, merger->items + merger->begin, count * sizeof(merger->items[0]));
        merger->begin = 0;
        merger->end = count;
    }
    ASSERT(merger->end < MERGE_ITEMS_MAX);
    merger->items[merger->end++] = *item;
    return 0;
}

int merge_finish(struct merge_run *run)
{
    while (run->merger->begin < run->merger->end) {
        TRY(emit_one(run, true));
    }
    return 0;
}
