/*
 * Records in and out of a partition's table, with everything that is counted about them: memory,
 * dirty memory, keys that expire, where in the log the oldest change stands.
 *
 * The memory of an orphan (record_impl.h) stays counted, as dirty, until its checkpoint frees it.
 */
#include "data/shelf.h"

#include "base/mem.h"
#include "data/checkpointer.h"
#include "data/count.h"
#include "data/keyspace_impl.h"
#include "data/load.h"

enum { COUNTS_FIRST = 4 };

/* ---- counts of spaces ---- */

struct space_count *shelf_count(struct shelf *shelf, uint32_t space)
{
    for (uint32_t i = 0; i < shelf->count_count; i++) {
        if (shelf->counts[i].space != space) {
            continue;
        }
        if (i > 0) {
            struct space_count found = shelf->counts[i];
            shelf->counts[i] = shelf->counts[0];
            shelf->counts[0] = found;
        }
        return &shelf->counts[0];
    }
    return NULL;
}

struct space_count *shelf_count_make(struct shelf *shelf, uint32_t space)
{
    struct space_count *count = shelf_count(shelf, space);
    if (LIKELY(count != NULL)) {
        return count;
    }
    if (shelf->count_count == shelf->count_capacity) {
        uint32_t capacity = shelf->count_capacity == 0 ? COUNTS_FIRST : 2 * shelf->count_capacity;
        struct space_count *counts = shelf->counts == NULL
                                         ? mem_alloc(capacity * sizeof(*counts))
                                         : mem_realloc(shelf->counts, capacity * sizeof(*counts));
        if (counts == NULL) {
            return NULL;
        }
        shelf->counts = counts;
        shelf->count_capacity = capacity;
    }
    shelf->counts[shelf->count_count++] = (struct space_count){.space = space};
    return shelf_count(shelf, space);
}

void shelf_count_forget(struct shelf *shelf, uint32_t space)
{
    if (shelf_count(shelf, space) != NULL) {
        shelf->counts[0] = shelf->counts[--shelf->count_count];
    }
}

struct tree_counts {
    struct shelf *shelf;
    bool make;
    int error;
};

static void read_tree_count(void *context, uint32_t space, uint64_t keys)
{
    struct tree_counts *counts = context;
    struct space_count *count =
        counts->make ? shelf_count_make(counts->shelf, space) : shelf_count(counts->shelf, space);
    if (count != NULL) {
        count->tree_keys = keys;
    } else if (counts->make) {
        counts->error = ERR_MEMORY;
    }
}

int shelf_read_tree_counts(struct shelf *shelf, bool make)
{
    for (uint32_t i = 0; i < shelf->count_count; i++) {
        shelf->counts[i].tree_keys = 0;
    }
    struct tree_counts counts = {.shelf = shelf, .make = make};
    partition_each_space(shelf->partition, read_tree_count, &counts);
    return counts.error;
}

bool shelf_tree_is_empty(struct shelf *shelf, uint32_t space)
{
    const struct space_count *count = shelf_count(shelf, space);
    return count == NULL || count->tree_keys == 0;
}

/* ---- memory ---- */

static void add_memory(struct keyspace *keyspace, struct shelf *shelf, const struct record *record,
                       bool dirty)
{
    uint64_t bytes = record_memory(record);
    keyspace->record_bytes += bytes;
    if (dirty) {
        keyspace->dirty_bytes += bytes;
        shelf->dirty_bytes += bytes;
    }
}

static void take_memory(struct keyspace *keyspace, struct shelf *shelf, uint64_t bytes, bool dirty)
{
    ASSERT(keyspace->record_bytes >= bytes);
    keyspace->record_bytes -= bytes;
    if (dirty) {
        ASSERT(shelf->dirty_bytes >= bytes && keyspace->dirty_bytes >= bytes);
        keyspace->dirty_bytes -= bytes;
        shelf->dirty_bytes -= bytes;
    }
}

static void add_expires(struct shelf *shelf, const struct record *record, int64_t sign)
{
    if ((record->flags & RECORD_EXPIRES) == 0) {
        return;
    }
    struct space_count *count = shelf_count(shelf, record->space);
    if (count != NULL) {
        count->expires += (uint64_t)sign;
    }
}

static void enter(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                  const struct record *record)
{
    add_memory(keyspace, shelf, record, table_is_dirty(place));
    if ((record->flags & RECORD_EXPIRES) != 0) {
        table_set_expiring(place);
        add_expires(shelf, record, 1);
    }
}

/* The record at `place` goes: its memory too, or it becomes an orphan. */
static void leave(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                  struct record *record)
{
    add_expires(shelf, record, -1);
    if ((record->flags & RECORD_LOADING) != 0) {
        fetch_overtaken(keyspace, record_fetch(record));
    }
    if ((record->flags & RECORD_FROZEN) != 0) {
        ASSERT((record->flags & RECORD_ORPHAN) == 0 && table_is_dirty(place));
        record->flags &= (uint16_t)~RECORD_TREE_STATE;
        record->flags |= RECORD_ORPHAN;
        record->pins = 0;
        return;
    }
    take_memory(keyspace, shelf, record_memory(record), table_is_dirty(place));
    record_destroy(record);
}

void shelf_orphan_freed(struct keyspace *keyspace, struct shelf *shelf, uint64_t bytes)
{
    take_memory(keyspace, shelf, bytes, true);
}

/* ---- dirty ---- */

static uint64_t log_position(const struct keyspace *keyspace, const struct shelf *shelf)
{
    if (UNLIKELY(keyspace->replay_lsn != LSN_NONE)) {
        return keyspace->replay_lsn;
    }
    if (UNLIKELY(shelf->foreign_writes > 0)) {
        return shelf->foreign_low;
    }
    return log_reserved(keyspace->log).value;
}

void shelf_changed(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    /* Also if the record is dirty already: a checkpoint may have passed it by, and then this change
     * is later than what that checkpoint covers. */
    if (shelf->low == LSN_NONE) {
        shelf->low = log_position(keyspace, shelf);
        shelf->dirty_since_ns = shard_mono_ns(keyspace->shard);
    }
    if (!table_is_dirty(place)) {
        uint64_t bytes = record_memory(table_slot_record(place.bucket->slots[place.slot]));
        table_set_dirty(&shelf->table, place);
        keyspace->dirty_bytes += bytes;
        shelf->dirty_bytes += bytes;
        if (keyspace->dirty_bytes > keyspace->options.dirty_bytes_target) {
            keyspace_wake_checkpointer(keyspace);
        }
    }
}

/* With nothing dirty left, nothing of the log is needed. */
static void forget_low(struct shelf *shelf)
{
    if (shelf->table.dirty == 0 && shelf->phase == SHELF_IDLE) {
        shelf->low = LSN_NONE;
    }
}

void shelf_cleaned(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    uint64_t bytes = record_memory(record);
    ASSERT(shelf->dirty_bytes >= bytes && keyspace->dirty_bytes >= bytes);
    keyspace->dirty_bytes -= bytes;
    shelf->dirty_bytes -= bytes;
    table_clear_dirty(&shelf->table, place);
    record->flags &= (uint16_t) ~(RECORD_FROZEN | RECORD_TREE_STATE | RECORD_SUPERSEDES |
                                  RECORD_SUPERSEDES_REMOVAL);
    forget_low(shelf);
}

void shelf_resolve(struct keyspace *keyspace, struct shelf *shelf, struct record *record,
                   bool in_tree)
{
    ASSERT((record->flags & RECORD_OPEN) != 0);
    count_resolved(keyspace, shelf, record, in_tree);
    record->flags &= (uint16_t)~RECORD_TREE_STATE;
    if (!in_tree) {
        record->flags |= RECORD_FRESH;
    }
    struct space_count *count = shelf_count(shelf, record->space);
    if (count != NULL) {
        ASSERT(count->open > 0);
        count->open--;
        count->keys -= in_tree;
    }
}

/* ---- in and out ---- */

int shelf_insert(struct keyspace *keyspace, struct shelf *shelf, uint64_t hash,
                 struct record *record, struct table_place *ret_place)
{
    uint64_t before = table_memory(&shelf->table);
    TRY(table_insert(&shelf->table, hash, record, ret_place));
    keyspace->table_bytes += table_memory(&shelf->table) - before;
    enter(keyspace, shelf, *ret_place, record);
    return 0;
}

int shelf_reserve(struct keyspace *keyspace, struct shelf *shelf, uint32_t space)
{
    if (shelf_count_make(shelf, space) == NULL) {
        return ERR_MEMORY;
    }
    uint64_t before = table_memory(&shelf->table);
    int err = table_reserve(&shelf->table);
    keyspace->table_bytes += table_memory(&shelf->table) - before;
    return err;
}

void shelf_replace(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                   struct record *record)
{
    struct record *old = table_slot_record(place.bucket->slots[place.slot]);
    ASSERT((record->flags & RECORD_FROZEN) == 0);
    record->pins = old->pins;
    record->flags |= old->flags & RECORD_TREE_STATE;
    if ((old->flags & RECORD_FROZEN) != 0) {
        bool removal = (old->flags & RECORD_TOMBSTONE) != 0;
        record->flags |= RECORD_SUPERSEDES | (removal ? RECORD_SUPERSEDES_REMOVAL : 0);
    } else {
        record->flags |= old->flags & (RECORD_SUPERSEDES | RECORD_SUPERSEDES_REMOVAL);
    }
    table_replace(place, record);
    leave(keyspace, shelf, place, old);
    enter(keyspace, shelf, place, record);
}

void shelf_remove(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    if ((record->flags & RECORD_OPEN) != 0) {
        struct space_count *count = shelf_count(shelf, record->space);
        if (count != NULL) {
            count->open--;
        }
    }
    leave(keyspace, shelf, place, record);
    table_remove(&shelf->table, place);
    forget_low(shelf);
}

void shelf_resize_begin(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    const struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    ASSERT((record->flags & (RECORD_FROZEN | RECORD_LOADING)) == 0);
    add_expires(shelf, record, -1);
    take_memory(keyspace, shelf, record_memory(record), table_is_dirty(place));
}

void shelf_resize_end(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    enter(keyspace, shelf, place, table_slot_record(place.bucket->slots[place.slot]));
}

void shelf_make_absent(struct keyspace *keyspace, struct shelf *shelf, struct table_place place)
{
    struct record *record = table_slot_record(place.bucket->slots[place.slot]);
    ASSERT((record->flags & (RECORD_FROZEN | RECORD_LOADING)) == 0);
    if (record->pins == 0) {
        shelf_remove(keyspace, shelf, place);
        return;
    }
    shelf_resize_begin(keyspace, shelf, place);
    record_strip(record, RECORD_ABSENT);
    shelf_resize_end(keyspace, shelf, place);
    if (table_is_dirty(place)) {
        shelf_cleaned(keyspace, shelf, place);
    }
}

/* ---- life ---- */

void shelf_init(struct shelf *shelf, uint32_t number)
{
    *shelf = (struct shelf){
        .number = number,
        .low = LSN_NONE,
        .frozen_low = LSN_NONE,
    };
    table_init(&shelf->table);
    co_event_init(&shelf->freed);
}

static void destroy_records(struct keyspace *keyspace, struct shelf *shelf)
{
    uint32_t hash = 0;
    uint32_t last;
    do {
        struct table_bucket *bucket = table_bucket(&shelf->table, hash);
        for (; bucket != NULL; bucket = table_bucket_next(bucket)) {
            for (uint32_t i = 0; i < TABLE_BUCKET_SLOTS; i++) {
                if (bucket->slots[i] != 0) {
                    shelf_remove(keyspace, shelf, (struct table_place){bucket, i});
                }
            }
        }
        last = table_bucket_last(&shelf->table, hash);
        hash = last + 1;
    } while (last != UINT32_MAX);
}

void shelf_deinit(struct keyspace *keyspace, struct shelf *shelf)
{
    ASSERT(shelf->phase == SHELF_IDLE);
    destroy_records(keyspace, shelf);
    ASSERT(shelf->table.records == 0 && shelf->table.dirty == 0 && shelf->dirty_bytes == 0);
    keyspace->table_bytes -= table_memory(&shelf->table);
    table_deinit(&shelf->table);
    mem_free(shelf->counts);
}
