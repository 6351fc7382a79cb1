/*
 * keyspace: the records of one shard: what is in memory, what is dirty, what has to be fetched.
 *
 * Model. A shard owns the partitions p with p % shards == id. Each partition has a record table
 * (data/table.h) in front of its trees (store). The table holds dirty records (changed since the
 * partition's last checkpoint: never dropped), clean ones (copies of what the tree has: dropped
 * under memory pressure, second touch counts), tombstones (dirty deletions), and absent markers
 * (the tree has been asked; pinned, gone with the pin). A key that is in none of these forms is
 * *unknown*: keyspace_find says ERR_AGAIN and keyspace_load fetches it.
 *
 * Handlers never suspend: whoever runs a command first makes its keys resident (keyspace_load pins
 * them), then the handler finds, changes, replies. Every change goes into the log's batch as it is
 * made, physically: the outcome and its absolute expiry.
 *
 * An expired record is treated as absent everywhere, and removed (with a logged deletion) by
 * whoever meets it.
 *
 * Threads: one per shard, on its thread. Suspension: only what says so.
 */
#ifndef DATA_KEYSPACE_H
#define DATA_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/slice.h"
#include "data/key.h"
#include "data/record.h"
#include "log/log.h"
#include "store/store.h"

struct keyspace;

enum { KEYSPACE_DATABASES_MAX = 256 };

struct keyspace_options {
    uint32_t partitions;         /* P of the whole store */
    uint64_t record_bytes_max;   /* this shard's budget for records, clean and dirty */
    uint64_t dirty_bytes_max;    /* at this many dirty bytes writers wait */
    uint64_t dirty_bytes_target; /* above it checkpoints run */
    uint64_t log_bytes_target;   /* so do they when the log is longer than this */
    uint32_t checkpoint_age_s;   /* and for dirty records older than this; 0: never by age */
    uint32_t databases;
};

NODISCARD int keyspace_create(struct shard *shard, struct store *store, struct log *log,
                              struct log_writer *writer, const struct keyspace_options *options,
                              struct keyspace **ret_keyspace);
/* Opens this shard's partitions and replays the log into the tables, as far as it concerns them.
 * `spaces` are the superblock's. Suspends. */
NODISCARD co_fn int keyspace_open(struct keyspace *keyspace, const uint32_t *spaces,
                                  uint32_t space_next, bool create);
/* Closes the partitions; does not checkpoint. Whether all were closed in order. Suspends. */
co_fn bool keyspace_close(struct keyspace *keyspace);
void keyspace_destroy(struct keyspace *keyspace);
void keyspace_set_options(struct keyspace *keyspace, const struct keyspace_options *options);

/* ---- finding ---- */

/* For batches: fetch the key's bucket, then its record, into the CPU cache ahead of keyspace_find.
 */
void keyspace_prefetch_bucket(const struct keyspace *keyspace, const struct key *key);
void keyspace_prefetch_record(const struct keyspace *keyspace, const struct key *key);

/* 1: *ret_record is the live record, borrowed until the next change or suspension. 0: the key does
 * not exist. ERR_AGAIN: unknown, load it. `touch` marks it as used. */
NODISCARD int keyspace_find(struct keyspace *keyspace, const struct key *key, bool touch,
                            struct record **ret_record);

/* ---- fetching ---- */

/* Embedded in the waiting command. */
struct key_load;
typedef void
key_load_fn(struct key_load *load,
            int result); /* 0: resident and pinned; or an error (-EIO, ERR_CORRUPT): not pinned */
struct key_load {
    key_load_fn *done; /* runs on the shard, outside of coroutines, never inside keyspace_load */
    struct keyspace *keyspace;
    struct key key; /* name borrowed until the unpin */
    struct list_node node;
    int result;
};
/* Makes the key resident and pins it. Concurrent loads of a key share one read. `done` is always
 * called, in a later pass. */
void keyspace_load(struct keyspace *keyspace, struct key_load *load);
/* If the key is resident: pins it and returns true, without a callback. */
bool keyspace_pin(struct keyspace *keyspace, const struct key *key);
void keyspace_unpin(struct keyspace *keyspace, const struct key *key);

/* ---- changing ---- */

/* Whether a write of about so many bytes may run now: false while the dirty records are at their
 * limit or the log has no room (ask again next pass); keyspace_write_error then tells a lasting
 * reason (-ENOSPC) or 0. */
bool keyspace_admits(struct keyspace *keyspace, uint64_t bytes);
int keyspace_write_error(const struct keyspace *keyspace);

struct put {
    uint8_t type;       /* enum record_type */
    uint8_t meta;       /* RECORD_META_* */
    int64_t expire_ms;  /* 0: never */
    struct slice value; /* copied */
    struct blob *blob;  /* instead of `value`; a reference, handed over also if the put fails */
};
/* Sets the key, whatever was there; the old value needn't be resident. ERR_MEMORY,
 * ERR_KEY_TOO_LONG, ERR_VALUE_TOO_LARGE: nothing changed. An expiry in the past removes the key. */
NODISCARD int keyspace_put(struct keyspace *keyspace, const struct key *key, const struct put *put);
/* Removes a resident key. Returns 1 if it existed, 0 if not, ERR_AGAIN if unknown. */
NODISCARD int keyspace_remove(struct keyspace *keyspace, const struct key *key);
/* Changes only the expiry (0: none) of a live, resident record. ERR_NOT_FOUND: it doesn't exist;
 * ERR_AGAIN; ERR_MEMORY. An expiry in the past removes the key. */
NODISCARD int keyspace_set_expire(struct keyspace *keyspace, const struct key *key,
                                  int64_t expire_ms);
/* Appends to / overwrites part of a live resident string, in place where possible; grows it with
 * zeros. ERR_NOT_FOUND, ERR_AGAIN, ERR_WRONG_TYPE, ERR_VALUE_TOO_LARGE, ERR_MEMORY: nothing
 * changed. */
NODISCARD int keyspace_write_range(struct keyspace *keyspace, const struct key *key,
                                   uint64_t offset, struct slice bytes);

/* ---- changes of several keys as one (atomic across a crash) ---- */

/* Between begin and end all changes become one log record. No suspension in between. */
void keyspace_group_begin(struct keyspace *keyspace);
void keyspace_group_end(struct keyspace *keyspace);

/* ---- databases ---- */

uint32_t keyspace_space(const struct keyspace *keyspace, uint32_t database);
/* All shards adopt a new map at the same point (cmd/exclusive.h sees to that); one of them logs it.
 * Records and trees of spaces that are in no database any more are dropped in the background. */
void keyspace_adopt_spaces(struct keyspace *keyspace, const uint32_t *spaces, uint32_t space_next);
void keyspace_log_spaces(struct keyspace *keyspace, const uint32_t *spaces, uint32_t space_next);
uint32_t keyspace_space_next(const struct keyspace *keyspace);

/* ---- whole-keyspace questions, this shard's part ---- */

/* Exact; resolves what blind writes left open. Suspends. */
NODISCARD co_fn int keyspace_count(struct keyspace *keyspace, uint32_t space, uint64_t *ret_count);
/* The same without resolving: blind writes count as new keys. */
uint64_t keyspace_count_quick(const struct keyspace *keyspace, uint32_t space,
                              uint64_t *ret_expires);

/* Calls each with a live key (borrowed) of one partition, until it returns false. Used by SCAN and
 * KEYS: data/scan.h. */

/* A random live key copied to `name` (STORE_KEY_BYTES_MAX bytes); 0 if this shard has none.
 * Suspends. */
NODISCARD co_fn int keyspace_random(struct keyspace *keyspace, uint32_t space, uint8_t *name,
                                    uint32_t *ret_bytes);

/* ---- background ---- */

/* Started once after keyspace_open: checkpoints, eviction, expiry, dropping of dead spaces
 * (low-priority coroutines and timers). */
NODISCARD int keyspace_start_background(struct keyspace *keyspace);
co_fn void keyspace_stop_background(struct keyspace *keyspace); /* Suspends. */
/* Checkpoints every partition that has dirty records; returns when done. Suspends. */
NODISCARD co_fn int keyspace_checkpoint_all(struct keyspace *keyspace);
/* No record of this shard below it is still needed from the log. */
struct lsn keyspace_low_lsn(const struct keyspace *keyspace);
struct partition *keyspace_partition(const struct keyspace *keyspace,
                                     uint32_t partition); /* NULL: not ours */
/* Drops every clean record that nobody has pinned: DEBUG EVICT, so that tests meet cold keys. */
void keyspace_evict_all(struct keyspace *keyspace);
void keyspace_set_active_expire(struct keyspace *keyspace, bool on); /* DEBUG SET-ACTIVE-EXPIRE */
/* The highest real time seen, also by an earlier process if it was set: expiry never goes back. */
int64_t keyspace_clock_high_ms(const struct keyspace *keyspace);
void keyspace_set_clock_high_ms(struct keyspace *keyspace, int64_t now_ms);

struct keyspace_stats {
    uint64_t hits, misses; /* keyspace_hits and keyspace_misses of INFO */
    uint64_t expired, evicted_clean, loads, checkpoints, checkpoint_records;
    uint64_t record_bytes, dirty_bytes, records, dirty_records;
    uint64_t changes_since_checkpoint; /* keys that differ from what the trees have */
    int64_t last_checkpoint_ms;
    int last_checkpoint_error;
    bool checkpoint_running;
    uint64_t table_bytes;
};
void keyspace_stats(const struct keyspace *keyspace, struct keyspace_stats *ret_stats);
void keyspace_reset_stats(struct keyspace *keyspace);

#endif
