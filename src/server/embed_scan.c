/*
 * Scans and floor: each shard gives batches of its keys in order (embed_fetch.h), and whoever scans
 * merges them: the calling thread, or, for the _async forms, a coroutine on shard 0.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "server/embed_fetch.h"

enum {
    BATCH_COUNT_FIRST = 64,
    BATCH_COUNT_MAX = 2048,
    BATCH_BYTES_MAX = 1 << 20,
};

/* A shard's keys: a batch, and a place in it. */
struct lane {
    struct embed_fetch fetch;
    size_t offset;           /* in the batch: behind the current entry */
    struct eloq_entry entry; /* the current one, if `live` */
    bool live;
    uint8_t *last; /* owned: the last key of the batch before, where the fetch goes on */
};

/* Calls a shard from where the scan runs: from a thread of the program, or, suspending, from a
 * shard. */
typedef int scan_call_fn(struct eloq *db, uint32_t owner, shard_call_fn *fn, void *argument);

struct eloq_scan {
    struct eloq *db;
    scan_call_fn *call;
    bool counted;         /* in db->scans */
    struct lane *current; /* to be moved on by the next call */
    bool started;
    uint8_t *bounds;     /* owned: the range's bytes */
    struct lane lanes[]; /* one for each shard */
};

/* ---- a lane ---- */

static struct slice entry_key(const struct eloq_entry *entry)
{
    return slice_of(entry->key, entry->key_bytes);
}

/* The next batch begins behind the last key of this one. */
static int lane_set_start(struct lane *lane)
{
    struct embed_fetch *fetch = &lane->fetch;
    struct slice key = entry_key(&lane->entry);
    uint8_t *last = mem_alloc(key.bytes + 1);
    if (last == NULL) {
        return ERR_MEMORY;
    }
    if (key.bytes > 0) {
        memcpy(last, key.data, key.bytes);
    }
    mem_free(lane->last);
    lane->last = last;
    if (fetch->reverse) {
        fetch->has_high = true;
        fetch->high = slice_of(last, key.bytes);
        fetch->high_inclusive = false;
    } else {
        fetch->has_low = true;
        fetch->low = slice_of(last, key.bytes);
        fetch->low_exclusive = true;
    }
    return 0;
}

static void lane_read(struct lane *lane)
{
    const uint8_t *at = lane->fetch.entries.data + lane->offset;
    size_t key_bytes = load_le32(at);
    size_t value_bytes = load_le32(at + 4);
    const uint8_t *key = at + EMBED_ENTRY_HEAD_BYTES;
    lane->entry = (struct eloq_entry){key, key_bytes, key + key_bytes, value_bytes};
    lane->offset += EMBED_ENTRY_HEAD_BYTES + key_bytes + value_bytes;
    lane->live = true;
}

/*
 * To the lane's next entry, or its end. A batch may be empty though there is more, if its keys have
 * been deleted just then: the next one starts where it did.
 */
static int lane_advance(struct eloq_scan *scan, struct lane *lane)
{
    struct embed_fetch *fetch = &lane->fetch;
    while (lane->offset == fetch->entries.bytes && fetch->more) {
        if (lane->live) {
            TRY(lane_set_start(lane));
        }
        lane->live = false;
        lane->offset = 0;
        TRY(scan->call(scan->db, (uint32_t)(lane - scan->lanes), embed_fetch_there, fetch));
        fetch->count_max = (uint32_t)min_u64((uint64_t)fetch->count_max * 2, BATCH_COUNT_MAX);
    }
    lane->live = false;
    if (lane->offset < fetch->entries.bytes) {
        lane_read(lane);
    }
    return 0;
}

/* ---- a scan ---- */

static void scan_destroy(struct eloq_scan *scan)
{
    for (uint32_t i = 0; i < scan->db->shards; i++) {
        buffer_deinit(&scan->lanes[i].fetch.entries);
        mem_free(scan->lanes[i].last);
    }
    if (scan->counted) {
        atomic_fetch_sub(&scan->db->scans, 1);
    }
    mem_free(scan->bounds);
    mem_free(scan);
}

static struct eloq_scan *scan_create(struct eloq *db, const struct eloq_range *range,
                                     uint32_t count_max)
{
    struct eloq_scan *scan = mem_calloc(1, sizeof(*scan) + db->shards * sizeof(scan->lanes[0]));
    if (scan == NULL) {
        return NULL;
    }
    scan->db = db;
    scan->call = embed_call;
    scan->bounds = mem_alloc(range->from_bytes + range->to_bytes + 1);
    if (scan->bounds == NULL) {
        scan_destroy(scan);
        return NULL;
    }
    struct embed_fetch fetch = {
        .has_low = range->from != NULL,
        .has_high = range->to != NULL,
        .reverse = range->reverse != 0,
        .keys_only = range->keys_only != 0,
        .count_max = count_max,
        .bytes_max = BATCH_BYTES_MAX,
        .more = true,
    };
    if (fetch.has_low) {
        memcpy(scan->bounds, range->from, range->from_bytes);
        fetch.low = slice_of(scan->bounds, range->from_bytes);
    }
    if (fetch.has_high) {
        memcpy(scan->bounds + range->from_bytes, range->to, range->to_bytes);
        fetch.high = slice_of(scan->bounds + range->from_bytes, range->to_bytes);
    }
    for (uint32_t i = 0; i < db->shards; i++) {
        scan->lanes[i].fetch = fetch;
    }
    return scan;
}

static bool is_before(const struct lane *one, const struct lane *other)
{
    int order = slice_compare(entry_key(&one->entry), entry_key(&other->entry));
    return one->fetch.reverse ? order > 0 : order < 0;
}

/* What follows waits for shards: it blocks, or suspends, as scan->call does. */
static int scan_next(struct eloq_scan *scan, struct eloq_entry *ret_entry)
{
    uint32_t shards = scan->db->shards;
    for (uint32_t i = 0; i < shards && !scan->started; i++) {
        TRY(lane_advance(scan, &scan->lanes[i]));
    }
    scan->started = true;
    if (scan->current != NULL) {
        struct lane *lane = scan->current;
        scan->current = NULL;
        TRY(lane_advance(scan, lane));
    }
    struct lane *first = NULL;
    for (uint32_t i = 0; i < shards; i++) {
        struct lane *lane = &scan->lanes[i];
        if (lane->live && (first == NULL || is_before(lane, first))) {
            first = lane;
        }
    }
    if (first == NULL) {
        return 0;
    }
    scan->current = first;
    *ret_entry = first->entry;
    return 1;
}

static const struct eloq_range everything;

int eloq_scan_open(struct eloq *db, const struct eloq_range *range, struct eloq_scan **ret_scan)
{
    struct eloq_scan *scan =
        scan_create(db, range != NULL ? range : &everything, BATCH_COUNT_FIRST);
    if (scan == NULL) {
        return ERR_MEMORY;
    }
    atomic_fetch_add(&db->scans, 1);
    scan->counted = true;
    *ret_scan = scan;
    return 0;
}

int eloq_scan_next(struct eloq_scan *scan, struct eloq_entry *ret_entry)
{
    return shard_self() != NULL ? ERR_AGAIN : scan_next(scan, ret_entry);
}

void eloq_scan_close(struct eloq_scan *scan)
{
    if (scan != NULL) {
        scan_destroy(scan);
    }
}

static int scan_all(struct eloq_scan *scan, eloq_each_fn *each, void *context)
{
    struct eloq_entry entry;
    while (TRY(scan_next(scan, &entry)) == 1) {
        int result = each(context, &entry);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

int eloq_scan(struct eloq *db, const struct eloq_range *range, eloq_each_fn *each, void *context)
{
    struct eloq_scan *scan;
    TRY(eloq_scan_open(db, range, &scan));
    int result = shard_self() != NULL ? ERR_AGAIN : scan_all(scan, each, context);
    eloq_scan_close(scan);
    return result;
}

/* ---- floor ---- */

/* A scan in reverse that ends with its first key. */
static struct eloq_scan *floor_create(struct eloq *db, struct slice key)
{
    const struct eloq_range range = {
        .to = key.data != NULL ? (const void *)key.data : "", .to_bytes = key.bytes, .reverse = 1};
    struct eloq_scan *scan = scan_create(db, &range, 1);
    for (uint32_t i = 0; scan != NULL && i < db->shards; i++) {
        scan->lanes[i].fetch.high_inclusive = true;
    }
    return scan;
}

/* The entry in memory of its own. */
static int copy_entry(const struct eloq_entry *entry, struct eloq_entry *ret_entry,
                      void **ret_memory)
{
    uint8_t *memory = mem_alloc(entry->key_bytes + entry->value_bytes + 1);
    if (memory == NULL) {
        return ERR_MEMORY;
    }
    memcpy(memory, entry->key, entry->key_bytes);
    memcpy(memory + entry->key_bytes, entry->value, entry->value_bytes);
    memory[entry->key_bytes + entry->value_bytes] = '\0';
    *ret_entry = (struct eloq_entry){memory, entry->key_bytes, memory + entry->key_bytes,
                                     entry->value_bytes};
    *ret_memory = memory;
    return 1;
}

int eloq_floor(struct eloq *db, const void *key, size_t key_bytes, struct eloq_entry *ret_entry,
               void **ret_memory)
{
    if (shard_self() != NULL) {
        return ERR_AGAIN;
    }
    struct eloq_scan *scan = floor_create(db, slice_of(key, key_bytes));
    if (scan == NULL) {
        return ERR_MEMORY;
    }
    struct eloq_entry entry;
    int result = scan_next(scan, &entry);
    if (result == 1) {
        result = copy_entry(&entry, ret_entry, ret_memory);
    }
    scan_destroy(scan);
    return result;
}

/* ---- without blocking ---- */

struct scan_order {
    struct eloq_scan *scan; /* owned */
    eloq_each_fn *each;     /* NULL: floor, which takes the first entry */
    void *context;
    struct eloq_entry entry;
};

static co_fn int scan_there(struct shard *there, void *argument)
{
    (void)there;
    struct scan_order *order = argument;
    return order->each != NULL ? scan_all(order->scan, order->each, order->context)
                               : scan_next(order->scan, &order->entry);
}

static void scan_finish(struct embed_async *async, int result)
{
    struct scan_order *order = async->argument;
    ((eloq_done_fn *)async->callback)(async->context, result);
    scan_destroy(order->scan);
}

static void floor_finish(struct embed_async *async, int result)
{
    struct scan_order *order = async->argument;
    ((eloq_entry_fn *)async->callback)(async->context, result, result == 1 ? &order->entry : NULL);
    scan_destroy(order->scan);
}

static co_fn int call_from_shard(struct eloq *db, uint32_t owner, shard_call_fn *fn, void *argument)
{
    (void)db;
    return shard_call(shard_self(), owner, fn, argument);
}

/* Takes over the scan, also on an error. */
static int post(struct eloq_scan *scan, const struct scan_order *given, embed_finish_fn *finish,
                void (*callback)(void))
{
    if (scan == NULL) {
        return ERR_MEMORY;
    }
    struct embed_async *async;
    int err = embed_async_create(scan->db, sizeof(struct scan_order), 0, &async);
    if (err < 0) {
        scan_destroy(scan);
        return err;
    }
    scan->call = call_from_shard;
    struct scan_order *order = async->argument;
    *order = *given;
    order->scan = scan;
    async->fn = scan_there;
    async->finish = finish;
    async->callback = callback;
    async->context = given->context;
    embed_async_post(async, 0);
    return 0;
}

int eloq_scan_async(struct eloq *db, const struct eloq_range *range, eloq_each_fn *each,
                    eloq_done_fn *done, void *context)
{
    struct scan_order order = {.each = each, .context = context};
    return post(scan_create(db, range != NULL ? range : &everything, BATCH_COUNT_FIRST), &order,
                scan_finish, (void (*)(void))done);
}

int eloq_floor_async(struct eloq *db, const void *key, size_t key_bytes, eloq_entry_fn *done,
                     void *context)
{
    struct scan_order order = {.context = context};
    return post(floor_create(db, slice_of(key, key_bytes)), &order, floor_finish,
                (void (*)(void))done);
}
