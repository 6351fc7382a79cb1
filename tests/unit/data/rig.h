/*
 * rig: keyspaces over a real shard set, real stores and a real log in a fresh directory, for the
 * tests of the data room's files that do I/O.
 *
 * The io body is the one named by TEST_IO_BACKEND ("uring" or "posix"). Bodies run on a shard, in a
 * coroutine, where Criterion's own assertions must not be used: MUST prints and aborts.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/random.h"
#include "data/keyspace.h"
#include "data/checkpoint.h"
#include "data/checkpointer.h"
#include "data/count.h"
#include "data/evict.h"
#include "data/expire.h"
#include "data/keyspace_impl.h"
#include "data/load.h"
#include "data/put.h"
#include "data/shelf.h"
#include "data/spaces.h"
#include "shard/shard.h"

#define MUST(x)                                                                        \
    do {                                                                               \
        if (!(x)) {                                                                    \
            fprintf(stderr, "%s:%d: must be true: %s\n", __FILE_NAME__, __LINE__, #x); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

#define MUST_BE(value, expected)                                                                  \
    do {                                                                                          \
        long long must_is_ = (long long)(value);                                                  \
        long long must_be_ = (long long)(expected);                                               \
        if (must_is_ != must_be_) {                                                               \
            fprintf(stderr, "%s:%d: %s is %lld, must be %lld\n", __FILE_NAME__, __LINE__, #value, \
                    must_is_, must_be_);                                                          \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

enum { RIG_SHARDS_MAX = 4, RIG_DATABASES = 4, RIG_PATH_BYTES = 256 };

struct rig;

struct rig_shard {
    struct rig *rig;
    struct store *store;
    struct log_writer *writer;
    struct keyspace *keyspace;
};

struct rig {
    char dir[RIG_PATH_BYTES];
    uint32_t shard_count;
    struct keyspace_options options; /* for the next opening */
    uint64_t cache_bytes;
    enum log_sync_mode sync_mode;
    bool log_enabled;
    bool background; /* keyspace_start_background at the opening */

    bool created;
    uint32_t epoch;
    struct lsn log_start; /* as the superblock would have it */
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t space_next;

    struct shard_set *set;
    struct log *log;
    struct rig_shard shards[RIG_SHARDS_MAX];
    pthread_t housekeeper;
    pthread_mutex_t *housekeeper_works; /* held while files of the log come and go */
    sem_t housekeeping;
    atomic_bool housekeeper_ends;
    int failures;
};

/* A fresh directory; 16 partitions, no background work, budgets without meaning. */
void rig_init(struct rig *rig, uint32_t shards);
void rig_deinit(struct rig *rig);
/* Opens everything. Fails the test unless it works. */
void rig_open(struct rig *rig);
int rig_try_open(struct rig *rig);

enum rig_close {
    RIG_CLEAN, /* checkpoints everything first */
    RIG_CRASH, /* what is in memory is forgotten; what the kernel has is there */
};
void rig_close(struct rig *rig, enum rig_close how);

/* Runs the body on a shard, in a coroutine. */
typedef void rig_body(struct keyspace *keyspace, void *argument);
void rig_run(struct rig *rig, uint32_t shard, rig_body *body, void *argument);

/* init, open, body on shard 0, close, deinit. */
void rig_test(rig_body *body);
/* The same with a restart between two bodies: the second one finds no page in memory. */
void rig_test_restarted(rig_body *before, enum rig_close how, rig_body *after);

/* Opens a copy of the directory as it is now, as after a crash at this moment, in `copy`. */
void rig_fork(const struct rig *rig, struct rig *copy);

/* ---- on the shard, in a coroutine ---- */

static inline struct key rig_key(const struct keyspace *keyspace, const char *name)
{
    return keyspace_key(keyspace, keyspace_space(keyspace, 0), slice_cstr(name));
}

/* Loads and pins. */
co_fn int rig_load(struct keyspace *keyspace, const struct key *key);
/* What it holds; loads it if need be, leaves it unpinned. 1, 0 or an error. The record is borrowed
 * as from keyspace_find. */
co_fn int rig_find(struct keyspace *keyspace, const struct key *key, struct record **ret_record);
/* Fails the test unless the key holds the value (NULL: is absent). */
co_fn void rig_holds(struct keyspace *keyspace, const char *name, const char *value);
void rig_put(struct keyspace *keyspace, const char *name, const char *value);
void rig_put_expiring(struct keyspace *keyspace, const char *name, const char *value,
                      int64_t expire_ms);
/* Loads and removes; returns whether it existed. */
co_fn bool rig_remove(struct keyspace *keyspace, const char *name);
co_fn uint64_t rig_count(struct keyspace *keyspace);
co_fn void rig_checkpoint(struct keyspace *keyspace);
/* Drops all clean, unpinned records. */
void rig_evict_all(struct keyspace *keyspace);
co_fn void rig_sleep_ms(struct keyspace *keyspace, int64_t ms);
/* The sums that must be right whenever nothing is under way. */
co_fn void rig_verify(struct keyspace *keyspace);

#endif
