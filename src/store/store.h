/*
 * store: the page store. Ordered, durable maps of one partition, with snapshots.
 *
 * Model. A partition has one tree for each space (a database's current contents), over 4 KiB pages
 * named by logical page ids. A chunked copy-on-write mapping takes page ids to positions in
 * append-only data files. A commit applies one sorted batch: it writes changed pages to new
 * positions, syncs, appends one manifest record, syncs, and publishes a new snapshot. Readers keep
 * the snapshot they began with. Pages never change in place, so a position in a file means the same
 * bytes for ever, and the page cache is keyed by it.
 *
 * Values up to about half a page live in the leaf; larger ones are extents: one contiguous run of
 * pages, one read.
 *
 * Who calls: data, on the shard that owns the partition. One commit at a time for a partition;
 * reads go on during it. Files: page.h, leaf.h, branch.h (formats), tree_*.c (search, batch,
 * cursor, verify), mapper.h, manifest.h, datafile.h, cache.h, super.h.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "base/slice.h"
#include "log/log.h"
#include "shard/coro.h"
#include "shard/shard.h"

enum {
    STORE_PAGE_BYTES = 4096,
    STORE_KEY_BYTES_MAX = 1536,      /* so that any two records fit in a leaf */
    STORE_VALUE_BYTES_MAX = 1 << 29, /* 512 MiB */
    STORE_INLINE_BYTES_MAX = 1792,   /* key + value of a record that lives in a leaf whole */
};

struct store;     /* one per shard: cache, limits, options */
struct partition; /* one partition's trees */

struct store_options {
    const char *dir;             /* the server's data directory; borrowed for the store's life */
    uint64_t store_id;           /* seeds every checksum */
    bool direct;                 /* O_DIRECT for data files */
    uint64_t cache_bytes;        /* page cache of this shard, at the start */
    uint32_t data_file_bytes;    /* a data file is sealed at this size; 1 MiB .. 1 GiB */
    uint32_t reads_in_flight;    /* window of parallel leaf reads of one commit or scan */
    uint32_t write_bytes;        /* of one background write, at most 256 KiB */
    uint64_t manifest_bytes_min; /* a manifest log is rewritten when it outgrows max(this, 2x its
                                    snapshot) */
    bool ended;                  /* in order: each manifest must end with its closing record */
    uint32_t ended_epoch;        /* no manifest may end with a record that is older; 0: none was
                                    ended in order */
    uint32_t epoch;              /* of this opening */
    /* Hands over a file that nothing needs any longer (path is copied by the receiver). */
    void (*dispose)(void *context, const char *path);
    void *context;
    /* A failed sync or an unreadable manifest write: must not return to normal service. */
    void (*on_failure)(void *context, int error);
};

NODISCARD int store_create(struct shard *shard, const struct store_options *options,
                           struct store **ret_store);
void store_destroy(struct store *store); /* all partitions closed */
void store_set_cache_bytes(struct store *store, uint64_t bytes);

/* Opens partition `number`, creating its directory and first manifest if absent and `create`. A
 * missing or damaged manifest of a partition that must exist is an error that names the file.
 * Suspends. */
NODISCARD co_fn int partition_open(struct store *store, uint32_t number, bool create,
                                   struct partition **ret_partition);
/* Waits for readers and a commit in progress. Whether its manifest ends with a closing record now.
 * Suspends. */
co_fn bool partition_close(struct partition *partition);

uint32_t partition_number(const struct partition *partition);
/* Everything with an LSN below this is in the trees. 0 for a fresh partition. */
struct lsn partition_applied(const struct partition *partition);
/* Keys in the tree of a space, as of the last commit. */
uint64_t partition_count(const struct partition *partition, uint32_t space);
/* Calls each for every space that has a tree. */
typedef void partition_space_fn(void *context, uint32_t space, uint64_t count);
void partition_each_space(const struct partition *partition, partition_space_fn *each,
                          void *context);

/* ---- reading ---- */

/* A record as the store knows it. `type` and `meta` are data's. */
struct store_entry {
    struct slice key;
    struct slice value;   /* empty when the value was not asked for */
    uint64_t value_bytes; /* its length in any case */
    int64_t expire_ms;    /* 0: never */
    uint8_t type;
    uint8_t meta;
};

/* What a read found; holds a pin on the page or owns the extent's memory until store_found_release.
 */
struct store_found {
    struct store_entry entry; /* slices valid until release; key points to the caller's key */
    void *frame;              /* pinned page, or NULL */
    uint8_t *extent; /* owned memory (mem_alloc) of a large value, or NULL: may be taken by setting
                        it NULL */
};

/* 1 found, 0 absent, negative error (ERR_CORRUPT, -EIO: this page only). Concurrent reads of one
 * page share it. Suspends unless all pages are cached. */
NODISCARD co_fn int store_get(struct partition *partition, uint32_t space, struct slice key,
                              struct store_found *ret_found);
void store_found_release(struct partition *partition, struct store_found *found);

/* Whether the key is in the tree, without reading its value's extent. 1, 0 or an error. Suspends.
 */
NODISCARD co_fn int store_exists(struct partition *partition, uint32_t space, struct slice key);

/* Ordered iteration over the snapshot taken at open. */
struct store_cursor;
struct store_cursor_options {
    uint32_t space;
    struct slice from; /* start here; copied. Empty: from the end that `reverse` implies */
    bool reverse;
    bool exclusive;      /* don't return `from` itself */
    bool values;         /* read extents too */
    uint32_t read_ahead; /* leaves, 0: one at a time */
};
NODISCARD co_fn int store_cursor_open(struct partition *partition,
                                      const struct store_cursor_options *options,
                                      struct store_cursor **ret_cursor);
/* 1 and an entry borrowed until the next call (key included), 0 at the end, negative error.
 * Suspends. */
NODISCARD co_fn int store_cursor_next(struct store_cursor *cursor, struct store_entry *ret_entry);
void store_cursor_close(struct store_cursor *cursor);

/* The largest key <= key. 1/0/error. `key_buffer` of STORE_KEY_BYTES_MAX bytes receives the key.
 * Suspends. */
NODISCARD co_fn int store_floor(struct partition *partition, uint32_t space, struct slice key,
                                uint8_t *key_buffer, struct store_found *ret_found);

/* Some key of the tree, nearly uniform; 0 if it has none. Suspends. */
NODISCARD co_fn int store_random(struct partition *partition, uint32_t space, struct random *random,
                                 uint8_t *key_buffer, struct store_found *ret_found);

/* ---- committing ---- */

struct store_change {
    uint32_t space;
    bool remove;              /* else put */
    struct store_entry entry; /* key; and for a put value, expire_ms, type, meta; borrowed */
};

/* A batch is read by index, so that nobody has to copy it. Order: by space, then key, strictly
 * ascending. `get` is called several times for an index, always with the same answer; keys, values
 * (written to disk from where they are) and drop_spaces stay put until the commit returns. */
struct store_batch {
    uint32_t count;
    void *context;
    void (*get)(void *context, uint32_t index, struct store_change *ret_change);
    /* At publication, without suspending, for each change: whether the key was in the tree before.
     * May be NULL. */
    void (*applied)(void *context, uint32_t index, bool existed);
    struct lsn applied_lsn;      /* partition_applied after this commit */
    const uint32_t *drop_spaces; /* trees to remove whole; none of them occurs in the changes */
    uint32_t drop_count;
};

/* Applies the batch atomically and durably. Refuses, in every build: unsorted or repeated keys
 * (ERR_UNSORTED), a key too long or empty-space violations (ERR_KEY_TOO_LONG), a value too large
 * (ERR_VALUE_TOO_LARGE); then nothing has changed. -ENOSPC and read errors leave the old snapshot
 * in force as well; a failed sync goes to on_failure. Suspends. */
NODISCARD co_fn int partition_commit(struct partition *partition, const struct store_batch *batch);

/* ---- checking and figures ---- */

struct store_report {
    uint64_t leaves, branches, extents, keys, pages_live;
    uint32_t height_max;
    char error[256]; /* the first violation, empty if none */
};
/* Reads everything: order, bounds, each page reachable exactly once, counters, checksums, counts. 0
 * or ERR_CORRUPT. Suspends. */
NODISCARD co_fn int partition_verify(struct partition *partition, struct store_report *ret_report);

struct store_stats {
    uint64_t page_reads, page_read_bytes, cache_hits, cache_misses, cache_bytes, branch_bytes;
    uint64_t mapping_bytes, page_writes, commits, commit_bytes, manifest_bytes;
    uint64_t data_bytes, live_bytes; /* on disk; live share */
    uint32_t data_files;
};
void store_stats(const struct store *store, struct store_stats *ret_stats);

#endif
