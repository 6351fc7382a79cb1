/*
 * Walking a partition. Why every key is met that exists from start to end:
 *
 * Let t be the moment at which the first phase passes the key's place in the order of hashes. If
 * the tree hasn't the key then, the key is a dirty record, known not to be in the tree (an open one
 * is asked about first), and is reported. If the tree has it, the second phase meets it, unless a
 * commit takes it out before: a commit that froze a tombstone of the key, which was before the
 * walk's start, since the key exists from then on. So at t that commit is under way, and the record
 * supersedes a frozen removal: such records are reported by the first phase and passed over by the
 * second.
 *
 * A key is met twice if it was written during the walk, or if a checkpoint took it from one phase's
 * side to the other's between the two. A walk of a whole partition in one call (examine_max
 * UINT32_MAX, as for KEYS) keeps checkpoints of the partition away meanwhile, so nothing is met
 * twice.
 */
#include "data/scan.h"

#include "base/mem.h"
#include "data/checkpoint.h"
#include "data/count.h"
#include "data/expire.h"
#include "data/keyspace_impl.h"

enum {
    LEAF_KEYS_ROUGHLY = 32,
    READ_AHEAD_MAX = 16,
    BUCKETS_MIN = 1024,
    BUCKETS_PER_KEY = 16,
};

struct scan {
    struct keyspace *keyspace;
    struct shelf *shelf;
    uint32_t space;
    struct slice prefix;
    uint32_t examine_max;
    uint32_t examined;
    struct scan_position *position;
    scan_each_fn *each;
    void *context;
    int64_t now_ms;
};

/* ---- first phase: the table ---- */

static bool is_reported_first(const struct scan *scan, const struct record *record, uint32_t from)
{
    return record->hash >= from && record->space == scan->space &&
           (record->flags & RECORD_NO_VALUE) == 0 &&
           (record->flags & (RECORD_FRESH | RECORD_SUPERSEDES_REMOVAL)) != 0 &&
           !record_has_expired(record, scan->now_ms) &&
           slice_starts_with(record_key(record), scan->prefix);
}

/* The record with the lowest hash from `from` on, of those in the bucket that are to be reported;
 * NULL: none. *ret_same: how many have that hash; `skip` of them are passed over. */
static const struct record *first_in_bucket(const struct scan *scan, struct table_bucket *bucket,
                                            uint32_t from, uint32_t skip, uint32_t *ret_same)
{
    const struct record *lowest = NULL;
    uint32_t same = 0;
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        for (uint32_t dirty = table_bucket_dirty(bucket); dirty != 0; dirty &= dirty - 1) {
            const struct record *record = table_slot_record(bucket->slots[__builtin_ctz(dirty)]);
            if (!is_reported_first(scan, record, from)) {
                continue;
            }
            if (lowest == NULL || record->hash < lowest->hash) {
                lowest = record;
                same = 1;
            } else if (record->hash == lowest->hash) {
                same++;
                lowest = same <= skip + 1 ? record : lowest;
            }
        }
    }
    *ret_same = same;
    return same > skip ? lowest : NULL;
}

/* Moves the first phase on to the hash after `hash`. */
static void pass_hash(struct scan_position *position, uint32_t hash)
{
    position->hash_next = hash + 1;
    position->in_tree = hash == UINT32_MAX;
}

/* Reports what there is in a bucket; false: stop. */
static bool report_bucket(struct scan *scan, struct table_bucket *bucket)
{
    struct scan_position *position = scan->position;
    uint32_t same;
    const struct record *record;
    while (!position->in_tree &&
           (record = first_in_bucket(scan, bucket, position->hash_next, 0, &same)) != NULL) {
        uint32_t hash = record->hash;
        position->hash_next = hash;
        /* Two keys with the same 32 bits of hash: a position can't stand between them. */
        for (uint32_t i = 0; i < same; i++) {
            uint32_t ignored;
            record = first_in_bucket(scan, bucket, hash, i, &ignored);
            scan->examined++;
            if (!scan->each(scan->context, record_key(record), record, record->type)) {
                if (i + 1 == same) {
                    pass_hash(position, hash);
                }
                return false;
            }
        }
        pass_hash(position, hash);
        if (scan->examined >= scan->examine_max) {
            return false;
        }
    }
    return true;
}

/* Asks the tree about the open records in the bucket. */
static co_fn int close_bucket(struct scan *scan, uint32_t last)
{
    uint8_t name[STORE_KEY_BYTES_MAX];
    struct open_range range = {
        .first = scan->position->hash_next,
        .last = last,
        .space = scan->space,
        .prefix = scan->prefix,
    };
    struct key key;
    while (shelf_find_open(scan->keyspace, scan->shelf, &range, name, &key)) {
        TRY(keyspace_close_open(scan->keyspace, scan->shelf, &key));
    }
    return 0;
}

/* 1: stopped, with more to come. 0: on to the tree. */
static co_fn int scan_table(struct scan *scan)
{
    struct table *table = &scan->shelf->table;
    struct scan_position *position = scan->position;
    /* A bucket with nothing to report is little work, but there may be many of them. */
    uint64_t buckets_max = BUCKETS_MIN + (uint64_t)scan->examine_max * BUCKETS_PER_KEY;
    uint64_t buckets = 0;
    while (!position->in_tree) {
        TRY(close_bucket(scan, table_bucket_last(table, position->hash_next)));
        /* The table may have grown: the bucket is the one of now. No suspension from here to the
         * end of the bucket. */
        uint32_t last = table_bucket_last(table, position->hash_next);
        if (!report_bucket(scan, table_bucket(table, position->hash_next))) {
            return 1;
        }
        pass_hash(position, last);
        if (++buckets == buckets_max && !position->in_tree) {
            return 1;
        }
        co_yield_if_due();
    }
    position->key_bytes = 0;
    position->after_key = false;
    return 0;
}

/* ---- second phase: the tree ---- */

/* The record to report an entry with, if it is to be reported. */
static bool is_reported_second(const struct scan *scan, const struct store_entry *entry,
                               const struct record **ret_record)
{
    struct key key = keyspace_key(scan->keyspace, scan->space, entry->key);
    struct table_place place;
    const struct record *record = shelf_find(scan->shelf, &key, &place);
    *ret_record = NULL;
    if (record == NULL || (record->flags & RECORD_LOADING) != 0) {
        return entry->expire_ms == 0 || entry->expire_ms > scan->now_ms;
    }
    if ((record->flags & (RECORD_NO_VALUE | RECORD_SUPERSEDES_REMOVAL)) != 0 ||
        record_has_expired(record, scan->now_ms)) {
        return false;
    }
    *ret_record = record;
    return true;
}

static void pass_key(struct scan_position *position, struct slice key)
{
    ASSERT(key.bytes <= STORE_KEY_BYTES_MAX);
    if (key.bytes > 0) {
        memcpy(position->key, key.data, key.bytes);
    }
    position->key_bytes = (uint32_t)key.bytes;
    position->after_key = true;
}

/* 1: stopped, with more to come. 0: the end. */
static co_fn int scan_entries(struct scan *scan, struct store_cursor *cursor)
{
    struct store_entry entry;
    while (TRY(store_cursor_next(cursor, &entry)) == 1) {
        if (!slice_starts_with(entry.key, scan->prefix)) {
            return 0;
        }
        const struct record *record;
        bool go_on = true;
        scan->examined++;
        if (is_reported_second(scan, &entry, &record)) {
            uint8_t type = record != NULL ? record->type : entry.type;
            go_on = scan->each(scan->context, entry.key, record, type);
        }
        pass_key(scan->position, entry.key);
        if (!go_on || scan->examined >= scan->examine_max) {
            return 1;
        }
        co_yield_if_due();
    }
    return 0;
}

static co_fn int scan_tree(struct scan *scan)
{
    const struct scan_position *position = scan->position;
    /* The first key after the empty one is a zero byte: `from` can't say "after the empty key"
     * itself. */
    static const uint8_t zero = 0;
    struct slice from = scan->prefix;
    if (position->after_key) {
        from = position->key_bytes > 0 ? slice_of(position->key, position->key_bytes)
                                       : slice_of(&zero, 1);
    }
    struct store_cursor_options options = {
        .space = scan->space,
        .from = from,
        .exclusive = position->after_key && position->key_bytes > 0,
        .read_ahead = (uint32_t)min_u64(scan->examine_max / LEAF_KEYS_ROUGHLY, READ_AHEAD_MAX),
    };
    struct store_cursor *cursor;
    TRY(store_cursor_open(scan->shelf->partition, &options, &cursor));
    int result = scan_entries(scan, cursor);
    store_cursor_close(cursor);
    return result;
}

/* ---- the walk ---- */

/* Keeps checkpoints of the partition away until leave_peace. */
static co_fn void enter_peace(struct shelf *shelf)
{
    while (shelf->phase != SHELF_IDLE || shelf->freeze_wanted) {
        co_event_wait(&shelf->freed);
    }
    shelf->walkers++;
}

static void leave_peace(struct shelf *shelf)
{
    if (--shelf->walkers == 0) {
        co_event_signal(&shelf->freed);
    }
}

static co_fn int scan_walk(struct scan *scan)
{
    if (!scan->position->in_tree) {
        int more = scan_table(scan);
        if (more != 0) {
            return more;
        }
    }
    return shelf_tree_is_empty(scan->shelf, scan->space) ? 0 : scan_tree(scan);
}

static struct scan scan_of(struct keyspace *keyspace, const struct scan_range *range,
                           struct scan_position *position, scan_each_fn *each, void *context)
{
    ASSERT(range->examine_max > 0);
    struct shelf *shelf = keyspace->by_partition[range->partition];
    ASSERT(shelf != NULL);
    return (struct scan){
        .keyspace = keyspace,
        .shelf = shelf,
        .space = range->space,
        .prefix = range->prefix,
        .examine_max = range->examine_max,
        .position = position,
        .each = each,
        .context = context,
        .now_ms = keyspace_now_ms(keyspace),
    };
}

co_fn int scan_partition(struct keyspace *keyspace, const struct scan_range *range,
                         struct scan_position *position, scan_each_fn *each, void *context)
{
    struct scan scan = scan_of(keyspace, range, position, each, context);
    bool whole = range->examine_max == UINT32_MAX;
    if (whole) {
        enter_peace(scan.shelf);
    } else {
        shelf_wait_settled(scan.shelf);
    }
    int more = scan_walk(&scan);
    if (whole) {
        leave_peace(scan.shelf);
    }
    return more;
}

co_fn int scan_partition_fresh(struct keyspace *keyspace, uint32_t partition, uint32_t space,
                               scan_each_fn *each, void *context)
{
    struct scan_position *position = mem_calloc(1, sizeof(*position));
    if (position == NULL) {
        return ERR_MEMORY;
    }
    struct scan_range range = {
        .partition = partition,
        .space = space,
        .examine_max = UINT32_MAX,
    };
    struct scan scan = scan_of(keyspace, &range, position, each, context);
    shelf_wait_settled(scan.shelf);
    int more = scan_table(&scan);
    mem_free(position);
    return more;
}
