/*
 * Two sources, merged by key:
 *
 *   - keys that are in memory only, since no checkpoint has taken them yet: the first phase of
 * data/scan.h reports them in no order. The `count_max` first ones of the range are kept (struct
 * fresh) and sorted. If there were more, `cut` is set and nothing beyond the last kept one may be
 * told of.
 *   - the trees of the shard's partitions, each in order, through a heap (struct source).
 *
 * The fresh ones are collected before the trees' snapshots are taken: a key that a checkpoint moves
 * in between is in both, and told once. What a key's value is, and whether it still exists, the
 * table knows better than either if it knows the key.
 */
#include "server/embed_fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "data/scan.h"

enum {
    FETCH_READ_AHEAD = 4,
    FETCH_BYTES_MAX = (600 << 20),
};

/* A tree, at its next entry. */
struct source {
    struct store_cursor *cursor;
    struct partition *partition;
    struct store_entry entry; /* borrowed from the cursor */
};

struct fetching {
    struct embed_fetch *fetch;
    struct engine_shard *here;
    uint32_t space;
    int64_t now_ms;

    struct slice *fresh; /* owned, and so are the bytes of each */
    uint32_t fresh_count;
    uint32_t fresh_next;
    bool cut;
    int error; /* of collecting them */

    struct source *sources; /* owned; heap[0] is the one with the next key */
    struct source **heap;   /* owned */
    uint32_t source_count;  /* opened */
    uint32_t heap_count;
    uint32_t told;
};

/* ---- order and range ---- */

/* As slice_compare, in the direction of the scan. */
static int compare(const struct fetching *fetching, struct slice one, struct slice other)
{
    int order = slice_compare(one, other);
    return fetching->fetch->reverse ? -order : order;
}

static bool in_range(const struct embed_fetch *fetch, struct slice key)
{
    if (fetch->has_low) {
        int order = slice_compare(key, fetch->low);
        if (order < 0 || (order == 0 && fetch->low_exclusive)) {
            return false;
        }
    }
    if (fetch->has_high) {
        int order = slice_compare(key, fetch->high);
        if (order > 0 || (order == 0 && !fetch->high_inclusive)) {
            return false;
        }
    }
    return true;
}

/* ---- fresh keys ---- */

static int compare_ascending(const void *one, const void *other)
{
    return slice_compare(*(const struct slice *)one, *(const struct slice *)other);
}

static int compare_descending(const void *one, const void *other)
{
    return -compare_ascending(one, other);
}

static void fresh_free_from(struct fetching *fetching, uint32_t first)
{
    for (uint32_t i = first; i < fetching->fresh_count; i++) {
        mem_free((void *)fetching->fresh[i].data);
    }
    fetching->fresh_count = first;
}

/* In order, each once, and no more than will be told. */
static void fresh_sort(struct fetching *fetching)
{
    qsort(fetching->fresh, fetching->fresh_count, sizeof(*fetching->fresh),
          fetching->fetch->reverse ? compare_descending : compare_ascending);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fetching->fresh_count; i++) {
        if (kept > 0 && slice_equal(fetching->fresh[kept - 1], fetching->fresh[i])) {
            mem_free((void *)fetching->fresh[i].data);
        } else {
            fetching->fresh[kept++] = fetching->fresh[i];
        }
    }
    fetching->fresh_count = kept;
    if (kept > fetching->fetch->count_max) {
        fresh_free_from(fetching, fetching->fetch->count_max);
        fetching->cut = true;
    }
}

static bool is_beyond_cut(const struct fetching *fetching, struct slice key)
{
    return fetching->cut &&
           compare(fetching, key, fetching->fresh[fetching->fetch->count_max - 1]) > 0;
}

static int fresh_add(struct fetching *fetching, struct slice key)
{
    if (fetching->fresh_count == fetching->fetch->count_max * 2) {
        fresh_sort(fetching);
        if (is_beyond_cut(fetching, key)) {
            return 0;
        }
    }
    /* One byte more, so that the empty key is an allocation, too. */
    uint8_t *copy = mem_alloc(key.bytes + 1);
    if (copy == NULL) {
        return ERR_MEMORY;
    }
    if (key.bytes > 0) {
        memcpy(copy, key.data, key.bytes);
    }
    fetching->fresh[fetching->fresh_count++] = slice_of(copy, key.bytes);
    return 0;
}

static bool fresh_each(void *context, struct slice key, const struct record *record, uint8_t type)
{
    struct fetching *fetching = context;
    (void)record;
    (void)type;
    if (in_range(fetching->fetch, key) && !is_beyond_cut(fetching, key)) {
        fetching->error = fresh_add(fetching, key);
    }
    return fetching->error == 0;
}

/* Suspends. */
static co_fn int fresh_collect(struct fetching *fetching, uint32_t partition)
{
    TRY(scan_partition_fresh(fetching->here->keyspace, partition, fetching->space, fresh_each,
                             fetching));
    return fetching->error;
}

/* ---- trees ---- */

static bool source_is_before(const struct fetching *fetching, const struct source *one,
                             const struct source *other)
{
    return compare(fetching, one->entry.key, other->entry.key) < 0;
}

static void heap_sift_down(struct fetching *fetching, uint32_t at)
{
    struct source **heap = fetching->heap;
    for (;;) {
        uint32_t first = at;
        for (uint32_t child = at * 2 + 1; child <= at * 2 + 2; child++) {
            if (child < fetching->heap_count &&
                source_is_before(fetching, heap[child], heap[first])) {
                first = child;
            }
        }
        if (first == at) {
            return;
        }
        struct source *moved = heap[at];
        heap[at] = heap[first];
        heap[first] = moved;
        at = first;
    }
}

/* Moves the first source to its next entry, or out of the heap at its end. Suspends. */
static co_fn int heap_advance(struct fetching *fetching)
{
    struct source *source = fetching->heap[0];
    int got = TRY(store_cursor_next(source->cursor, &source->entry));
    if (got == 0 || !in_range(fetching->fetch, source->entry.key)) {
        fetching->heap[0] = fetching->heap[--fetching->heap_count];
    }
    if (fetching->heap_count > 0) {
        heap_sift_down(fetching, 0);
    }
    return 0;
}

/*
 * Where the trees are entered: at the low end of the range, or, in reverse, at the high one. An
 * empty `from` means the end of the tree that the direction implies, so what concerns the empty key
 * is said by the key after it, a zero byte.
 */
static struct store_cursor_options cursor_options(const struct fetching *fetching)
{
    static const uint8_t zero = 0;
    const struct embed_fetch *fetch = fetching->fetch;
    struct store_cursor_options options = {
        .space = fetching->space,
        .reverse = fetch->reverse,
        .values = !fetch->keys_only,
        .read_ahead = fetch->count_max > 1 ? FETCH_READ_AHEAD : 0,
    };
    bool bounded = fetch->reverse ? fetch->has_high : fetch->has_low;
    if (bounded) {
        options.from = fetch->reverse ? fetch->high : fetch->low;
        options.exclusive = fetch->reverse ? !fetch->high_inclusive : fetch->low_exclusive;
    }
    if (bounded && options.from.bytes == 0 && (fetch->reverse || options.exclusive)) {
        options.from = slice_of(&zero, 1);
        options.exclusive = fetch->reverse;
    }
    return options;
}

/* Suspends. */
static co_fn int source_open(struct fetching *fetching, uint32_t partition)
{
    struct source *source = &fetching->sources[fetching->source_count];
    struct store_cursor_options options = cursor_options(fetching);
    source->partition = keyspace_partition(fetching->here->keyspace, partition);
    TRY(store_cursor_open(source->partition, &options, &source->cursor));
    fetching->source_count++;
    int got = TRY(store_cursor_next(source->cursor, &source->entry));
    if (got == 1 && in_range(fetching->fetch, source->entry.key)) {
        fetching->heap[fetching->heap_count++] = source;
    }
    return 0;
}

/* ---- telling ---- */

static int tell(struct fetching *fetching, struct slice key, struct slice value)
{
    struct buffer *entries = &fetching->fetch->entries;
    uint8_t head[EMBED_ENTRY_HEAD_BYTES];
    value.bytes = fetching->fetch->keys_only ? 0 : value.bytes;
    store_le32(head, (uint32_t)key.bytes);
    store_le32(head + 4, (uint32_t)value.bytes);
    TRY(buffer_reserve(entries, sizeof(head) + key.bytes + value.bytes));
    TRY(buffer_append(entries, head, sizeof(head)));
    TRY(buffer_append_slice(entries, key));
    TRY(buffer_append_slice(entries, value));
    fetching->told++;
    return 0;
}

/* A key that was in memory only, and has since been written to the tree and dropped from memory.
 * Suspends. */
static co_fn int tell_stored(struct fetching *fetching, const struct key *key)
{
    struct partition *partition = keyspace_partition(fetching->here->keyspace, key->partition);
    struct store_found found;
    if (TRY(store_get(partition, fetching->space, key->name, &found)) == 0) {
        return 0;
    }
    int err = 0;
    if (found.entry.expire_ms == 0 || found.entry.expire_ms > fetching->now_ms) {
        err = tell(fetching, key->name, found.entry.value);
    }
    store_found_release(partition, &found);
    return err;
}

/* `entry` is NULL if no tree has shown the key. Suspends. */
static co_fn int tell_key(struct fetching *fetching, struct slice name,
                          const struct store_entry *entry)
{
    struct key key = keyspace_key(fetching->here->keyspace, fetching->space, name);
    struct record *record;
    int found = keyspace_find(fetching->here->keyspace, &key, false, &record);
    if (found != ERR_AGAIN) {
        return found == 1 ? tell(fetching, name, record_value(record)) : found;
    }
    if (entry == NULL) {
        return tell_stored(fetching, &key);
    }
    bool expired = entry->expire_ms != 0 && entry->expire_ms <= fetching->now_ms;
    return expired ? 0 : tell(fetching, name, entry->value);
}

/* The next key of either source, which moves on. 1, or 0 if no more can be told. Suspends. */
static co_fn int tell_next(struct fetching *fetching)
{
    bool has_fresh = fetching->fresh_next < fetching->fresh_count;
    const struct source *source = fetching->heap_count > 0 ? fetching->heap[0] : NULL;
    if (!has_fresh && (source == NULL || fetching->cut)) {
        fetching->fetch->more = fetching->cut;
        return 0;
    }
    int order = 0;
    if (has_fresh && source != NULL) {
        order = compare(fetching, fetching->fresh[fetching->fresh_next], source->entry.key);
    }
    bool take_fresh = has_fresh && (source == NULL || order <= 0);
    bool take_source = source != NULL && (!has_fresh || order >= 0);
    struct slice name = take_source ? source->entry.key : fetching->fresh[fetching->fresh_next];
    TRY(tell_key(fetching, name, take_source ? &source->entry : NULL));
    fetching->fresh_next += take_fresh;
    if (take_source) {
        TRY(heap_advance(fetching));
    }
    return 1;
}

static bool is_full(const struct fetching *fetching)
{
    const struct embed_fetch *fetch = fetching->fetch;
    return fetching->told >= fetch->count_max || fetch->entries.bytes >= fetch->bytes_max;
}

/* ---- a fetch ---- */

/* Suspends. */
static co_fn int fetch_merge(struct fetching *fetching, const struct shard *there)
{
    uint32_t partitions = engine_partitions(fetching->here->engine);
    uint32_t step = shard_count(there);
    for (uint32_t p = shard_id(there); p < partitions; p += step) {
        TRY(fresh_collect(fetching, p));
    }
    fresh_sort(fetching);
    for (uint32_t p = shard_id(there); p < partitions; p += step) {
        TRY(source_open(fetching, p));
    }
    for (uint32_t i = fetching->heap_count / 2; i-- > 0;) {
        heap_sift_down(fetching, i);
    }
    while (!is_full(fetching)) {
        if (TRY(tell_next(fetching)) == 0) {
            return 0;
        }
        co_yield_if_due();
    }
    fetching->fetch->more = true;
    return 0;
}

static void fetch_end(struct fetching *fetching)
{
    for (uint32_t i = 0; i < fetching->source_count; i++) {
        store_cursor_close(fetching->sources[i].cursor);
    }
    if (fetching->fresh != NULL) {
        fresh_free_from(fetching, 0);
    }
    mem_free(fetching->fresh);
    mem_free(fetching->sources);
    mem_free(fetching->heap);
}

static int fetch_begin(struct fetching *fetching)
{
    uint32_t partitions = engine_partitions(fetching->here->engine);
    fetching->fresh = mem_calloc((size_t)fetching->fetch->count_max * 2, sizeof(struct slice));
    fetching->sources = mem_calloc(partitions, sizeof(*fetching->sources));
    fetching->heap = mem_calloc(partitions, sizeof(*fetching->heap));
    bool complete = fetching->fresh != NULL && fetching->sources != NULL && fetching->heap != NULL;
    return complete ? 0 : ERR_MEMORY;
}

int embed_fetch_there(struct shard *there, void *argument)
{
    struct embed_fetch *fetch = argument;
    ASSERT(fetch->count_max > 0);
    struct engine_shard *here = embed_here(there);
    struct fetching fetching = {
        .fetch = fetch,
        .here = here,
        .space = keyspace_space(here->keyspace, 0),
        .now_ms = shard_now_ms(there),
    };
    fetch->more = false;
    buffer_deinit(&fetch->entries);
    buffer_init(&fetch->entries, FETCH_BYTES_MAX);
    int err = fetch_begin(&fetching);
    if (err == 0) {
        err = fetch_merge(&fetching, there);
    }
    fetch_end(&fetching);
    return err < 0 ? err : embed_settle(here);
}
