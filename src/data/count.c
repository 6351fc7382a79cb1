/*
 * How many keys there are.
 *
 * A put of a key that is not in memory does not ask the tree whether the key is new: it takes it
 * for new, and the record is *open* until somebody knows: the checkpoint that commits it, a scan
 * that meets it, or a count, which has to ask the tree about all open ones.
 *
 * A count is exact as of its begin. It adds up what is counted then, and takes one off for each
 * record that was open then and turns out to be in the tree. Records that are opened later don't
 * matter, and are told from the others by a bit, RECORD_OPEN_EPOCH, whose meaning changes from
 * count to count: at the begin all open records of the space have the same bit as its epoch, then
 * the epoch is turned.
 */
#include "data/count.h"

#include "base/mem.h"
#include "data/checkpoint.h"
#include "data/expire.h"
#include "data/keyspace_impl.h"
#include "data/scan.h"

enum {
    COUNT_WORKERS_MAX = 16, /* questions to the tree at a time */
    STEP_BUCKETS = 32,
    RANDOM_TRIES = 64,
    RANDOM_BUCKETS = 64,
};

struct count_walk {
    struct keyspace *keyspace;
    uint32_t space;
    int64_t keys;
    uint32_t shelf; /* the next range to be looked at */
    uint32_t hash;
    int error;
    struct co_group workers;
};

/* ---- open records ---- */

static bool is_old(struct shelf *shelf, const struct record *record)
{
    const struct space_count *count = shelf_count(shelf, record->space);
    return count != NULL && ((record->flags & RECORD_OPEN_EPOCH) != 0) != count->epoch;
}

void count_resolved(struct keyspace *keyspace, struct shelf *shelf, const struct record *record,
                    bool in_tree)
{
    struct count_walk *walk = keyspace->count;
    if (walk != NULL && in_tree && record->space == walk->space && is_old(shelf, record)) {
        walk->keys--;
    }
}

static bool open_matches(struct shelf *shelf, const struct record *record,
                         const struct open_range *range)
{
    return (record->flags & RECORD_OPEN) != 0 && record->space == range->space &&
           record->hash >= range->first && record->hash <= range->last &&
           slice_starts_with(record_key(record), range->prefix) &&
           (!range->old || is_old(shelf, record));
}

static const struct record *find_open_in(struct shelf *shelf, struct table_bucket *bucket,
                                         const struct open_range *range)
{
    for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
        for (uint32_t dirty = table_bucket_dirty(bucket); dirty != 0; dirty &= dirty - 1) {
            const struct record *record = table_slot_record(bucket->slots[__builtin_ctz(dirty)]);
            if (open_matches(shelf, record, range)) {
                return record;
            }
        }
    }
    return NULL;
}

bool shelf_find_open(struct keyspace *keyspace, struct shelf *shelf, const struct open_range *range,
                     uint8_t *name, struct key *ret_key)
{
    uint32_t hash = range->first;
    for (;;) {
        struct table_bucket *bucket = table_bucket(&shelf->table, hash);
        const struct record *record = find_open_in(shelf, bucket, range);
        if (record != NULL) {
            struct slice bytes = record_key(record);
            if (bytes.bytes > 0) {
                memcpy(name, bytes.data, bytes.bytes);
            }
            *ret_key = keyspace_key(keyspace, record->space, slice_of(name, bytes.bytes));
            return true;
        }
        /* The range was one bucket's; it is more if that was split. */
        uint32_t last = table_bucket_last(&shelf->table, hash);
        if (last >= range->last) {
            return false;
        }
        hash = last + 1;
    }
}

co_fn int keyspace_close_open(struct keyspace *keyspace, struct shelf *shelf, const struct key *key)
{
    for (;;) {
        shelf_wait_settled(shelf);
        uint32_t publications = shelf->publications;
        bool in_tree = TRY(store_exists(shelf->partition, key->space, key->name)) == 1;
        struct table_place place;
        struct record *record = shelf_find(shelf, key, &place);
        if (record == NULL || (record->flags & RECORD_OPEN) == 0) {
            return 0;
        }
        /* Otherwise the answer is about a tree that is no longer the one. */
        if (shelf->publications == publications) {
            shelf_resolve(keyspace, shelf, record, in_tree);
            return 0;
        }
    }
}

/* ---- the exact count ---- */

/* Takes the next bucket's range from the walk. */
static bool next_range(struct count_walk *walk, struct shelf **ret_shelf, struct open_range *range)
{
    if (walk->shelf == walk->keyspace->shelf_count) {
        return false;
    }
    struct shelf *shelf = &walk->keyspace->shelves[walk->shelf];
    const struct space_count *count = shelf_count(shelf, walk->space);
    bool any = count != NULL && count->open > 0;
    range->first = walk->hash;
    range->last = any ? table_bucket_last(&shelf->table, walk->hash) : UINT32_MAX;
    walk->hash = range->last + 1;
    walk->shelf += range->last == UINT32_MAX;
    *ret_shelf = shelf;
    return true;
}

static co_fn int close_range(struct keyspace *keyspace, struct shelf *shelf,
                             const struct open_range *range)
{
    uint8_t name[STORE_KEY_BYTES_MAX];
    struct key key;
    while (shelf_find_open(keyspace, shelf, range, name, &key)) {
        TRY(keyspace_close_open(keyspace, shelf, &key));
    }
    return 0;
}

static co_fn void count_worker(void *argument)
{
    struct count_walk *walk = argument;
    struct open_range range = {.space = walk->space, .old = true};
    struct shelf *shelf;
    for (uint32_t step = 0; walk->error == 0 && next_range(walk, &shelf, &range); step++) {
        int err = close_range(walk->keyspace, shelf, &range);
        walk->error = err != 0 ? err : walk->error;
        if (step % STEP_BUCKETS == 0) {
            co_yield_if_due();
        }
    }
    co_group_done(&walk->workers);
}

/* What is counted now; whether some of it is open. */
static bool begin_count(struct count_walk *walk)
{
    bool any_open = false;
    for (uint32_t i = 0; i < walk->keyspace->shelf_count; i++) {
        struct space_count *count = shelf_count(&walk->keyspace->shelves[i], walk->space);
        if (count != NULL) {
            walk->keys += count->keys;
            any_open |= count->open > 0;
            count->epoch = !count->epoch;
        }
    }
    return any_open;
}

/* After a count that failed: all open records must have the epoch's bit again. */
static co_fn void renew_epoch(struct count_walk *walk)
{
    struct open_range range = {.space = walk->space, .old = true};
    struct shelf *shelf;
    walk->shelf = 0;
    walk->hash = 0;
    while (next_range(walk, &shelf, &range)) {
        struct table_bucket *bucket = table_bucket(&shelf->table, range.first);
        const struct record *record;
        while ((record = find_open_in(shelf, bucket, &range)) != NULL) {
            ((struct record *)record)->flags ^= RECORD_OPEN_EPOCH;
        }
    }
}

static co_fn void resolve_all(struct count_walk *walk)
{
    struct sched *sched = shard_sched(walk->keyspace->shard);
    co_group_init(&walk->workers);
    for (uint32_t i = 0; i < COUNT_WORKERS_MAX; i++) {
        co_group_add(&walk->workers, 1);
        if (coro_start(sched, "count", CORO_NORMAL, count_worker, walk) != 0) {
            /* With too few coroutines this one does the work. */
            count_worker(walk);
            break;
        }
    }
    co_group_wait(&walk->workers);
}

co_fn int keyspace_count(struct keyspace *keyspace, uint32_t space, uint64_t *ret_count)
{
    co_mutex_lock(&keyspace->counting);
    struct count_walk walk = {.keyspace = keyspace, .space = space};
    if (begin_count(&walk)) {
        keyspace->count = &walk;
        resolve_all(&walk);
        if (walk.error != 0) {
            renew_epoch(&walk);
        }
        keyspace->count = NULL;
    }
    co_mutex_unlock(&keyspace->counting);
    if (walk.error != 0) {
        return walk.error;
    }
    ASSERT(walk.keys >= 0);
    *ret_count = (uint64_t)walk.keys;
    return 0;
}

uint64_t keyspace_count_quick(const struct keyspace *keyspace, uint32_t space,
                              uint64_t *ret_expires)
{
    int64_t keys = 0;
    uint64_t expires = 0;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        const struct space_count *count = shelf_count(&keyspace->shelves[i], space);
        if (count != NULL) {
            keys += count->keys;
            expires += count->expires;
        }
    }
    if (ret_expires != NULL) {
        *ret_expires = expires;
    }
    return (uint64_t)max_i64(keys, 0);
}

/* ---- a random key ---- */

struct random_pick {
    struct keyspace *keyspace;
    uint32_t space;
    uint8_t *name; /* of the caller, STORE_KEY_BYTES_MAX bytes */
    uint32_t bytes;
};

static void pick(struct random_pick *pick, struct slice key)
{
    if (key.bytes > 0) {
        memcpy(pick->name, key.data, key.bytes);
    }
    pick->bytes = (uint32_t)key.bytes;
}

/* A shelf, each as likely as it has keys. */
static struct shelf *random_shelf(struct random_pick *random, uint64_t keys)
{
    struct keyspace *keyspace = random->keyspace;
    uint64_t at = random_below(&keyspace->random, keys);
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        const struct space_count *count = shelf_count(&keyspace->shelves[i], random->space);
        uint64_t here = count == NULL ? 0 : (uint64_t)max_i64(count->keys, 0);
        if (at < here) {
            return &keyspace->shelves[i];
        }
        at -= here;
    }
    return &keyspace->shelves[0];
}

/* One of the live records in memory, from a random place on. */
static bool random_in_table(struct random_pick *random, struct shelf *shelf)
{
    int64_t now_ms = keyspace_now_ms(random->keyspace);
    uint32_t hash = (uint32_t)random_u64(&random->keyspace->random);
    for (uint32_t i = 0; i < RANDOM_BUCKETS; i++) {
        struct table_bucket *bucket = table_bucket(&shelf->table, hash);
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            uint32_t first = (uint32_t)random_below(&random->keyspace->random, TABLE_BUCKET_SLOTS);
            for (uint32_t s = 0; s < TABLE_BUCKET_SLOTS; s++) {
                uint64_t slot = bucket->slots[(first + s) % TABLE_BUCKET_SLOTS];
                const struct record *record = table_slot_record(slot);
                if (record != NULL && record->space == random->space &&
                    (record->flags & RECORD_NO_VALUE) == 0 && !record_has_expired(record, now_ms)) {
                    pick(random, record_key(record));
                    return true;
                }
            }
        }
        hash = table_bucket_last(&shelf->table, hash) + 1; /* from the last on to 0 */
    }
    return false;
}

/* A key of the tree, unless the table says that it is gone. 1, 0 or an error. */
static co_fn int random_in_tree(struct random_pick *random, struct shelf *shelf)
{
    struct keyspace *keyspace = random->keyspace;
    struct store_found found;
    if (TRY(store_random(shelf->partition, random->space, &keyspace->random, random->name,
                         &found)) == 0) {
        return 0;
    }
    struct key key =
        keyspace_key(keyspace, random->space, slice_of(random->name, found.entry.key.bytes));
    int64_t now_ms = keyspace_now_ms(keyspace);
    struct table_place place;
    const struct record *record = shelf_find(shelf, &key, &place);
    bool live = found.entry.expire_ms == 0 || found.entry.expire_ms > now_ms;
    if (record != NULL && (record->flags & RECORD_LOADING) == 0) {
        live = (record->flags & RECORD_NO_VALUE) == 0 && !record_has_expired(record, now_ms);
    }
    random->bytes = (uint32_t)key.name.bytes;
    store_found_release(shelf->partition, &found);
    return live ? 1 : 0;
}

static bool take_first(void *context, struct slice key, const struct record *record, uint8_t type)
{
    (void)record;
    (void)type;
    pick(context, key);
    return false;
}

/* Any key at all: when luck didn't help, most are gone or there are very few. */
static co_fn int first_key(struct random_pick *random)
{
    struct scan_position *position = mem_alloc(sizeof(*position));
    if (position == NULL) {
        return ERR_MEMORY;
    }
    int result = 0;
    random->bytes = UINT32_MAX;
    for (uint32_t i = 0; i < random->keyspace->shelf_count && result == 0; i++) {
        *position = (struct scan_position){0};
        struct scan_range range = {
            .partition = random->keyspace->shelves[i].number,
            .space = random->space,
            .examine_max = STEP_BUCKETS,
        };
        do {
            result = scan_partition(random->keyspace, &range, position, take_first, random);
        } while (result == 1 && random->bytes == UINT32_MAX);
        result = random->bytes != UINT32_MAX ? 1 : result;
    }
    mem_free(position);
    return result;
}

co_fn int keyspace_random(struct keyspace *keyspace, uint32_t space, uint8_t *name,
                          uint32_t *ret_bytes)
{
    struct random_pick random = {.keyspace = keyspace, .space = space, .name = name};
    for (uint32_t i = 0; i < RANDOM_TRIES; i++) {
        uint64_t keys = keyspace_count_quick(keyspace, space, NULL);
        if (keys == 0) {
            return 0;
        }
        struct shelf *shelf = random_shelf(&random, keys);
        const struct space_count *count = shelf_count(shelf, space);
        uint64_t tree_keys = count == NULL ? 0 : count->tree_keys;
        /* Dirty records against the tree: roughly what is only in memory against what is on disk.
         */
        bool in_table = random_below(&keyspace->random, shelf->table.dirty + tree_keys + 1) <
                        shelf->table.dirty;
        int found =
            in_table ? random_in_table(&random, shelf) : TRY(random_in_tree(&random, shelf));
        if (found == 1) {
            *ret_bytes = random.bytes;
            return 1;
        }
    }
    int found = TRY(first_key(&random));
    if (found == 1) {
        *ret_bytes = random.bytes;
    }
    return found;
}
