/*
 * keyspace_impl: what the bodies of a keyspace share. Not for other rooms.
 *
 *     keyspace.c    life, options, keys, finding, figures
 *     shelf.c       records in and out of a table, with everything that is counted about them
 *     put.c         changes of whole records; range.c parts of a value
 *     journal.c     their way into the log
 *     load.c        fetching unknown keys
 *     checkpoint.c  dirty records to the trees; batch.c sorts them; checkpointer.c decides when and
 * which evict.c       dropping clean records expire.c      time, and removing what has expired
 *     count.c       exact counts, a random key
 *     spaces.c      databases, dropping dead spaces
 *     replay.c      opening
 *     latch.c, scan.c, scan_cursors.c have faces of their own
 *
 * A *shelf* is one partition's records in memory: its table, what is counted about it, and the
 * trees behind it.
 */
#ifndef DATA_KEYSPACE_IMPL_H
#define DATA_KEYSPACE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/random.h"
#include "data/change.h"
#include "data/keyspace.h"
#include "data/record_impl.h"
#include "data/table.h"
#include "log/log.h"
#include "shard/shard.h"
#include "shard/sync.h"
#include "store/store.h"

enum {
    /* Changes of longer values are logged as the change, not as the whole value. */
    LOG_WHOLE_VALUE_BYTES_MAX = 64 << 10,
    KEYSPACE_TICK_MS = 100,
};

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

struct count_walk; /* count.c */

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

struct latch_table; /* latch.c */

/* Which open records are looked for: by hash, space, the start of their keys, and age (count.c). */
struct open_range {
    uint32_t first;
    uint32_t last;
    uint32_t space;
    struct slice prefix;
    bool old; /* only those that were opened before the count under way */
};

struct keyspace {
    struct shard *shard;
    struct store *store;
    struct log *log;
    struct log_writer *writer;
    struct keyspace_options options;

    uint32_t slot_shift;         /* partition = slot >> slot_shift */
    struct shelf **by_partition; /* owned; NULL for partitions of other shards */
    struct shelf *shelves;       /* owned: the partitions of this shard */
    uint32_t shelf_count;

    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t space_next;
    uint64_t spaces_low;   /* LSN: a map that was logged from here on is not adopted yet; LSN_NONE:
                              none is */
    int64_t clock_high_ms; /* time never goes back behind it */

    bool quiet;          /* changes are in the log already: replay, keyspace_apply */
    uint64_t replay_lsn; /* while the log is replayed: the position; else LSN_NONE */

    uint64_t record_bytes; /* memory of all records, orphans included */
    uint64_t table_bytes;
    uint64_t dirty_bytes;
    uint32_t evict_shelf;  /* where the hand is */
    uint64_t evict_barren; /* buckets it passed since it dropped something */
    bool write_waits;      /* admission was refused: checkpoint whatever the targets say */
    bool drop_trees;       /* there may be trees of dead spaces */
    bool checkpointer_sleeps;

    bool grouping;
    uint32_t group_count;
    struct buffer group; /* the body so far */

    /* Callbacks that are due, in the next pass. */
    struct list ready_loads;
    struct list ready_latches;
    struct message ready_message;
    bool ready_sent;

    struct list fetches_queued; /* struct fetch that no coroutine has taken yet */
    uint32_t fetches_waiting;   /* of these */
    uint32_t fetchers;          /* coroutines */
    uint32_t fetchers_coming;   /* of these, not yet running */

    struct latch_table *latches;

    /* Background. */
    struct shard_timer tick;
    bool background; /* started, and not told to stop */
    uint32_t background_coros;
    struct co_event work;          /* the checkpointer looks again */
    struct co_event ended;         /* a background coroutine has ended, or a checkpoint */
    struct co_mutex checkpointing; /* one checkpoint at a time */
    int checkpoint_error;          /* of the last one */
    int64_t retry_ns;              /* no checkpoint before that, after an error */
    bool expiring;                 /* the sweep runs */
    bool expire_off;
    uint32_t expire_shelf;
    bool sweeping_spaces; /* records of dead spaces are being dropped */
    bool spaces_dirty;    /* a space has died since that began */

    struct co_mutex counting; /* one exact count at a time */
    struct count_walk *count; /* it */
    struct random random;

    struct keyspace_stats stats; /* what is counted; the rest is filled in by keyspace_stats */
};

static inline struct shelf *shelf_of(const struct keyspace *keyspace, const struct key *key)
{
    struct shelf *shelf = keyspace->by_partition[key->partition];
    ASSERT(shelf != NULL);
    return shelf;
}

/* Such a key exists nowhere, so it is resident without a record, and pinned without a pin. */
static inline bool key_is_too_long(const struct key *key)
{
    return key->name.bytes > STORE_KEY_BYTES_MAX;
}

static inline struct record *shelf_find(const struct shelf *shelf, const struct key *key,
                                        struct table_place *ret_place)
{
    return table_find(&shelf->table, key->hash, key->space, key->name, ret_place);
}

/* ---- shelf.c ---- */

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

/* ---- journal.c ---- */

/* Within a group: makes room for a change in its body. ERR_MEMORY or ERR_LIMIT. */
NODISCARD int journal_reserve(struct keyspace *keyspace, const struct key *key,
                              uint64_t value_bytes);
/* Logs a change, for which room was made, unless changes are not logged now. */
void journal_append(struct keyspace *keyspace, const struct change_view *change);
void journal_put(struct keyspace *keyspace, const struct record *record);
void journal_remove(struct keyspace *keyspace, const struct key *key);

/* ---- put.c ---- */

/* Puts without a look at sizes or time. Takes over put->blob in any case. */
NODISCARD int keyspace_set(struct keyspace *keyspace, const struct key *key, const struct put *put);
/* Removes a key, whether it is known or not. ERR_MEMORY. */
NODISCARD int keyspace_erase(struct keyspace *keyspace, const struct key *key);
/* Removes the live record at `place`. Returns 1 or ERR_MEMORY (only while it is frozen). */
NODISCARD int keyspace_erase_found(struct keyspace *keyspace, struct shelf *shelf,
                                   const struct key *key, struct table_place place);

/* These look at no clock: recovery uses them on records that may have expired since. */
NODISCARD int keyspace_set_expire_found(struct keyspace *keyspace, const struct key *key,
                                        struct record *record, int64_t expire_ms);
NODISCARD int keyspace_write_range_found(struct keyspace *keyspace, const struct key *key,
                                         struct record *record, uint64_t offset,
                                         struct slice bytes);

/* A record with the same value (the blob shared) and other figures; in no table. NULL when memory
 * is out. */
NODISCARD struct record *record_copy(const struct record *record, int64_t expire_ms, uint8_t meta);

/* ---- load.c ---- */

/* What stands for a key of which the store said `result` (1: *found, 0: absent): a clean record or
 * an absent marker, in no table. Takes over the extent's memory if there is one. `result` if it is
 * an error; ERR_MEMORY. */
NODISCARD int record_from_store(struct keyspace *keyspace, const struct key *key, int result,
                                struct store_found *found, struct record **ret_record);
/* The marker was replaced: whoever waited for it has its key now. */
void fetch_overtaken(struct keyspace *keyspace, struct fetch *fetch);
/* Starts what could not be started before. */
void keyspace_start_fetches(struct keyspace *keyspace);
void keyspace_ready_init(struct keyspace *keyspace);
/* Calls the loads and latches of the ready lists in the next pass. */
void keyspace_ready_kick(struct keyspace *keyspace);
/* Drops the marker if it isn't pinned any more. */
void keyspace_drop_if_absent(struct keyspace *keyspace, struct shelf *shelf,
                             struct table_place place);

/* ---- expire.c ---- */

int64_t keyspace_now_ms(struct keyspace *keyspace);
static inline bool record_has_expired(const struct record *record, int64_t now_ms)
{
    return (record->flags & RECORD_EXPIRES) != 0 && record_load_expire(record) <= now_ms;
}
/* Removes the expired record at `place`, with a logged deletion. If memory is out it stays, and
 * stays invisible. */
void keyspace_expire(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                     struct table_place place);
/* One step of the sweep, in a coroutine of its own, unless it runs already. */
void keyspace_expire_tick(struct keyspace *keyspace);

/* ---- evict.c ---- */

/* Drops clean records until the budget is met or `buckets` have been looked at. Returns true if
 * there is no more to do now: it is met, or nothing can be dropped. */
bool keyspace_evict(struct keyspace *keyspace, uint32_t buckets);

/* ---- checkpoint.c, checkpointer.c ---- */

/* Freezes what is dirty in a partition and commits it. `applied` is LSN_NONE, or (while the log is
 * replayed) the position up to which everything is in memory. Suspends. */
NODISCARD co_fn int keyspace_checkpoint(struct keyspace *keyspace, struct shelf *shelf,
                                        uint64_t applied);
/* Waits while the published tree and the records' knowledge of it differ. Suspends. */
co_fn void shelf_wait_settled(struct shelf *shelf);
void keyspace_checkpointer_main(void *argument);
void keyspace_wake_checkpointer(struct keyspace *keyspace);
/* The partition a checkpoint should take next, NULL if none is due. */
struct shelf *keyspace_checkpoint_due(struct keyspace *keyspace);

/* ---- count.c ---- */

/* Asks the tree about an open record of a key; `name` must be stable. Afterwards it isn't open any
 * more (or gone). Suspends. */
NODISCARD co_fn int keyspace_close_open(struct keyspace *keyspace, struct shelf *shelf,
                                        const struct key *key);
/* An open record was resolved: the count under way wants to know. */
void count_resolved(struct keyspace *keyspace, struct shelf *shelf, const struct record *record,
                    bool in_tree);

/* Copies the key of an open record of the range to `name` (STORE_KEY_BYTES_MAX bytes); false if
 * there is none. */
bool shelf_find_open(struct keyspace *keyspace, struct shelf *shelf, const struct open_range *range,
                     uint8_t *name, struct key *ret_key);

/* ---- spaces.c ---- */

bool keyspace_space_is_live(const struct keyspace *keyspace, uint32_t space);
void keyspace_sweep_spaces(struct keyspace *keyspace);
/* Trees of a partition that are in no database: at most `max` of them. Returns how many. */
uint32_t keyspace_dead_trees(struct keyspace *keyspace, struct shelf *shelf, uint32_t *spaces,
                             uint32_t max);

/* ---- latch.c ---- */

NODISCARD int latch_table_create(struct latch_table **ret_latches);
void latch_table_destroy(struct latch_table *latches);
/* Requests that were held back for a freeze may join. */
void latch_unhold(struct keyspace *keyspace);
/* Calls what is due; used by the ready message. */
void latch_run_ready(struct keyspace *keyspace);

/* ---- background ---- */

/* Starts a low-priority coroutine that ends with keyspace_background_end. */
NODISCARD int keyspace_background_start(struct keyspace *keyspace, const char *name,
                                        coro_main_fn *main);
void keyspace_background_end(struct keyspace *keyspace);

#endif
