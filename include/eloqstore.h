/*
 * eloqstore: an embedded, durable, sharded key-value store. One directory, one process at a time.
 *
 *     struct eloq *db;
 *     if (eloq_open("./data", NULL, &db) == 0) {
 *         eloq_put(db, "key", 3, "value", 5);
 *         eloq_close(db);
 *     }
 *
 * Keys have 0 to 1536 bytes, values 0 to 512 MiB; both hold any bytes. Keys are ordered byte by
 * byte, as memcmp orders them. The directory is the same that eloqstore-server uses: what is stored
 * here are the strings of its database 0.
 *
 * Threads. A store has threads of its own, one for each shard of the keys. Every function may be
 * called by any thread of the program at any time between eloq_open and eloq_close. The plain
 * functions block until they are done. Those that end in _async return at once, and the callback
 * they are given is called by a thread of the store: it must not block, and must not call a
 * function that blocks (it gets ELOQ_WOULD_BLOCK), but may start the next _async one. Memory that
 * is handed to an _async function is copied before it returns.
 *
 * Order. What a thread has waited for is seen by every later call, of any thread. Between _async
 * operations there is no order: start the second from the first one's callback.
 *
 * Durability. When a write is done it is with the kernel: it survives the end of the process. With
 * ELOQ_SYNC_ALWAYS it is also on the device, and survives a power cut. With ELOQ_SYNC_EVERYSEC a
 * power cut loses about a second at most, always from the end of history.
 *
 * If a write or a sync of the log or of a manifest fails, nothing can be promised any more: the
 * process is ended at once with the code 74, and the next eloq_open recovers from the disk.
 * Results are 0 or a positive number for success, or one of the negative codes below, or -errno.
 */
#ifndef ELOQSTORE_H
#define ELOQSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ELOQ_API __attribute__((visibility("default")))

struct eloq;
struct eloq_scan;

enum {                       /* errors */
       ELOQ_CORRUPT = -4096, /* stored data is damaged; the log file says where */
       ELOQ_LIMIT = -4099,   /* too many operations under way */
       ELOQ_KEY_TOO_LONG = -4104,
       ELOQ_VALUE_TOO_LARGE = -4105,
       ELOQ_LOCKED = -4107, /* another process has the directory open */
       ELOQ_BUSY = -4108,   /* operations are under way, or scans are open */
       ELOQ_BAD_OPTIONS = -4109,
       ELOQ_MEMORY = -4112,
       ELOQ_WOULD_BLOCK = -4115, /* called from a callback */
};

/* What a result means, for a person. The text is constant. */
ELOQ_API const char *eloq_error_text(int result);

enum eloq_sync {
    ELOQ_SYNC_EVERYSEC, /* sync the log about once a second */
    ELOQ_SYNC_ALWAYS,   /* before a write is done */
    ELOQ_SYNC_NO,       /* leave it to the kernel */
};

enum eloq_io {
    ELOQ_IO_AUTO, /* io_uring, or threads where the kernel refuses it */
    ELOQ_IO_URING,
    ELOQ_IO_POSIX,
};

struct eloq_options {      /* zeroed is the default of everything */
    uint32_t shards;       /* threads; 0: 1. A store opens with any number */
    uint32_t partitions;   /* of a new store, a power of two; 0: 64, or what the store has */
    uint64_t memory_bytes; /* for records and cached pages; 0: 256 MiB, at least 32 MiB */
    enum eloq_sync sync;
    enum eloq_io io;
    const char *log_path;    /* file for the store's own messages; NULL: none */
    uint32_t lock_timeout_s; /* how long to wait while another process ends; 0: 30 */
};

/*
 * Opens the store in the directory `path`, which is made if it is absent (its parent must be
 * there), and recovers what a process that died has left. `options` may be NULL. On success the
 * caller owns *ret_db. Messages go to one file for the whole process, that of the last eloq_open.
 */
ELOQ_API int eloq_open(const char *path, const struct eloq_options *options, struct eloq **ret_db);

/* Writes everything to the data files and closes. ELOQ_BUSY: _async operations are under way or
 * scans are open; nothing has happened. */
ELOQ_API int eloq_close(struct eloq *db);

/* ---- one key ---- */
/*
 * 1: found; *ret_value (never NULL) and *ret_bytes are the value, which the caller gives back with
 * eloq_free. 0: there is no such key. A byte of value 0 stands behind the value.
 */
ELOQ_API int eloq_get(struct eloq *db, const void *key, size_t key_bytes, void **ret_value,
                      size_t *ret_bytes);
/* NULL is fine. */
ELOQ_API void eloq_free(void *value);

ELOQ_API int eloq_put(struct eloq *db, const void *key, size_t key_bytes, const void *value,
                      size_t value_bytes);

/* 1: the key was there; 0: it was not. */
ELOQ_API int eloq_delete(struct eloq *db, const void *key, size_t key_bytes);

/* ---- several keys as one ---- */
struct eloq_change {
    const void *key;
    size_t key_bytes;
    const void *value; /* NULL: delete the key */
    size_t value_bytes;
};

/*
 * All changes or none, for every reader of these keys and across a crash. If a key occurs twice the
 * later change counts. At most 65536 changes, of together at most 512 MiB.
 */
ELOQ_API int eloq_write(struct eloq *db, const struct eloq_change *changes, size_t count);

/* ---- order ---- */
/* Keys from `from` on (NULL: from the first) and before `to` (NULL: to the last). */
struct eloq_range {
    const void *from;
    size_t from_bytes;
    const void *to;
    size_t to_bytes;
    int reverse;   /* from the last key to the first */
    int keys_only; /* values are not read; they are shown as empty */
};

struct eloq_entry {
    const void *key;
    size_t key_bytes;
    const void *value;
    size_t value_bytes;
};

/*
 * Keys of a range in order. A key that exists from eloq_scan_open to the end is met exactly once;
 * of one that is written or deleted meanwhile an older or a newer state may be met. A scan holds
 * nothing in the store between two calls, so it may stay open long. It belongs to one thread at a
 * time. `range` may be NULL (everything) and is copied.
 * Keys are spread over partitions by hash, and a scan reads from each: what is mainly scanned wants
 * few partitions.
 */
ELOQ_API int eloq_scan_open(struct eloq *db, const struct eloq_range *range,
                            struct eloq_scan **ret);
/* 1: *ret_entry is the next, valid until the next call. 0: there is none. */
ELOQ_API int eloq_scan_next(struct eloq_scan *scan, struct eloq_entry *ret_entry);
ELOQ_API void eloq_scan_close(struct eloq_scan *scan);

/* Calls `each` for every entry until it returns other than 0, which is then the result. */
typedef int eloq_each_fn(void *context, const struct eloq_entry *entry);
ELOQ_API int eloq_scan(struct eloq *db, const struct eloq_range *range, eloq_each_fn *each,
                       void *context);

/*
 * The largest key that is not above `key`. 1: *ret_entry is it, in memory that the caller gives
 * back by eloq_free(*ret_memory). 0: there is none.
 */
ELOQ_API int eloq_floor(struct eloq *db, const void *key, size_t key_bytes,
                        struct eloq_entry *ret_entry, void **ret_memory);

/* ---- without blocking ---- */
/* These return 0 and call `done` exactly once later, with what the blocking function would have
 * returned; or they return an error and never call it. At most ELOQ_ASYNC_MAX are under way for one
 * store at a time: the next one gets ELOQ_LIMIT. */
enum { ELOQ_ASYNC_MAX = 4096 };

typedef void eloq_done_fn(void *context, int result);
/* The value is valid until the callback returns; NULL unless result is 1. */
typedef void eloq_value_fn(void *context, int result, const void *value, size_t value_bytes);
/* The entry is valid until the callback returns; NULL unless result is 1. */
typedef void eloq_entry_fn(void *context, int result, const struct eloq_entry *entry);

ELOQ_API int eloq_get_async(struct eloq *db, const void *key, size_t key_bytes, eloq_value_fn *done,
                            void *context);
ELOQ_API int eloq_put_async(struct eloq *db, const struct eloq_change *change, eloq_done_fn *done,
                            void *context);
ELOQ_API int eloq_delete_async(struct eloq *db, const void *key, size_t key_bytes,
                               eloq_done_fn *done, void *context);
ELOQ_API int eloq_write_async(struct eloq *db, const struct eloq_change *changes, size_t count,
                              eloq_done_fn *done, void *context);
/* `each` is called by a thread of the store, too. */
ELOQ_API int eloq_scan_async(struct eloq *db, const struct eloq_range *range, eloq_each_fn *each,
                             eloq_done_fn *done, void *context);
ELOQ_API int eloq_floor_async(struct eloq *db, const void *key, size_t key_bytes,
                              eloq_entry_fn *done, void *context);

#ifdef __cplusplus
}
#endif

#endif
