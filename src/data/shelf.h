/*
 * shelf: one partition's records in memory: its table, what is counted about it, and the trees
 * behind it.
 *
 * Everything that enters or leaves a table, or changes its size or its state in it, goes through
 * here, so that the sums are right at any time. Threads: the shard's. Suspension: none.
 */
#ifndef DATA_SHELF_H
#define DATA_SHELF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/key.h"
#include "data/record_impl.h"
#include "data/table.h"
#include "shard/sync.h"
#include "store/store.h"

/* "No position": larger than any. */
#define LSN_NONE UINT64_MAX

/*
 * The keys of one space in one partition. With e = 1 if the tree has a record's key and 0 if not:
 *
 *     number of keys = keys - (sum of e over the records that are RECORD_OPEN)
 */
struct space_count {
    uint32_t space;
    bool epoch; /* RECORD_OPEN_EPOCH of what is opened now, see count.c */
    int64_t keys;
    uint64_t open;      /* records that are RECORD_OPEN */
    uint64_t expires;   /* records in memory that expire */
    uint64_t tree_keys; /* in the tree as it is published */
};

enum shelf_phase {
    SHELF_IDLE,
    SHELF_COMMITTING, /* records are frozen; the tree is still the old one */
    SHELF_SETTLING,   /* the tree is the new one, but not all frozen records know */
};

struct shelf {
    struct table table;
    struct partition *partition; /* the trees; NULL: not open */
    uint32_t number;
    uint32_t hand; /* of the eviction: a position in the order of hashes */

    struct space_count *counts; /* owned; the last used first */
    uint32_t count_count;
    uint32_t count_capacity;

    uint64_t dirty_bytes; /* memory of dirty records, orphans included */
    uint64_t low; /* LSN: no change since the last freeze lies below; LSN_NONE: there is none */
    uint64_t frozen_low;    /* the same for what a running checkpoint froze */
    int64_t dirty_since_ns; /* when `low` was set */

    uint32_t foreign_writes; /* see latch.h */
    uint64_t foreign_low;    /* LSN: no such change lies below; while foreign_writes > 0 */
    bool freeze_wanted;      /* a checkpoint waits until foreign_writes is 0 */

    enum shelf_phase phase;
    uint32_t publications; /* how often the published trees have changed */
    uint32_t walkers;      /* scans that want no publication meanwhile */
    struct co_event freed; /* the phase, walkers or foreign_writes have gone down */
};

struct keyspace;

static inline struct record *shelf_find(const struct shelf *shelf, const struct key *key,
                                        struct table_place *ret_place)
{
    return table_find(&shelf->table, key->hash, key->space, key->name, ret_place);
}

void shelf_init(struct shelf *shelf, uint32_t number);
/* Destroys the records too. */
void shelf_deinit(struct keyspace *keyspace, struct shelf *shelf);

/* The counts of a space. shelf_count_make makes them if there are none; NULL when memory is out. */
struct space_count *shelf_count(struct shelf *shelf, uint32_t space);
struct space_count *shelf_count_make(struct shelf *shelf, uint32_t space);
void shelf_count_forget(struct shelf *shelf, uint32_t space);
/* Reads tree_keys of all spaces anew. With `make` for all trees, at an opening (ERR_MEMORY);
 * without, after a publication: a tree without counts is that of a dead space then, since a put
 * made the others'. */
NODISCARD int shelf_read_tree_counts(struct shelf *shelf, bool make);
/* Whether a key that is not in the table can only be absent. */
bool shelf_tree_is_empty(struct shelf *shelf, uint32_t space);

/* Adds a record of a key that has none. It is clean. ERR_MEMORY: nothing changed, the record is the
 * caller's. */
NODISCARD int shelf_insert(struct keyspace *keyspace, struct shelf *shelf, uint64_t hash,
                           struct record *record, struct table_place *ret_place);
/* Takes what shelf_insert and shelf_count_make may need for a key of the space; they can't fail
 * right after table_unreserve. ERR_MEMORY. */
NODISCARD int shelf_reserve(struct keyspace *keyspace, struct shelf *shelf, uint32_t space);
/* Puts `record` into the place of another one of the same key, which is destroyed or, if it is
 * frozen, left to its checkpoint. Pins and the dirty bit go over; who waited for a loading marker
 * is told. */
void shelf_replace(struct keyspace *keyspace, struct shelf *shelf, struct table_place place,
                   struct record *record);
/* Takes a record out of the table and destroys it, or leaves it to its checkpoint. */
void shelf_remove(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);

/* A change was made to the record at `place`: it is dirty from now on. */
void shelf_changed(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);
/* It is what the tree has. */
void shelf_cleaned(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);

/* Memory of a record is going to change in place: between the two, its counts are taken out. */
void shelf_resize_begin(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);
void shelf_resize_end(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);

/* Memory of an orphan has gone. */
void shelf_orphan_freed(struct keyspace *keyspace, struct shelf *shelf, uint64_t bytes);

/* Turns the live, unfrozen record at `place` into an absent marker, or drops it if nobody has it
 * pinned. */
void shelf_make_absent(struct keyspace *keyspace, struct shelf *shelf, struct table_place place);

/* The tree (as it is published) turned out to have the key of an open record, or not to have it. */
void shelf_resolve(struct keyspace *keyspace, struct shelf *shelf, struct record *record,
                   bool in_tree);

#endif
