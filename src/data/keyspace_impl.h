/*
 * keyspace_impl: what the bodies of a keyspace share. Not for other rooms.
 *
 *     keyspace.c      life, options, keys, finding, figures
 *     shelf.c         records in and out of a table, with all that is counted about them
 *     put.c, range.c  changes of whole records, of parts of a value
 *     journal.c       their way into the log; change.c what it looks like
 *     load.c          fetching unknown keys
 *     checkpoint.c    dirty records to the trees; batch.c sorts them
 *     checkpointer.c  when, and which partition; admission of writes
 *     evict.c         dropping clean records
 *     expire.c        time, and removing what has expired
 *     count.c         exact counts, a random key
 *     spaces.c        databases, dropping dead spaces
 *     replay.c        opening
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
#include "data/keyspace.h"
#include "data/shelf.h"
#include "log/log.h"
#include "shard/shard.h"
#include "shard/sync.h"
#include "store/store.h"

struct count_walk;
struct latch_table;

enum { KEYSPACE_TICK_MS = 100 };

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

    bool quiet;          /* changes are in the log already: replay */
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

/* ---- background ---- */

/* Starts a low-priority coroutine that ends with keyspace_background_end. */
NODISCARD int keyspace_background_start(struct keyspace *keyspace, const char *name,
                                        coro_main_fn *main);
void keyspace_background_end(struct keyspace *keyspace);

#endif
