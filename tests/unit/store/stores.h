/*
 * stores: a store on one shard over a fresh directory, and a model of what a partition must hold,
 * for the tests of the store room's files that do I/O.
 *
 * The io body is the one named by TEST_IO_BACKEND ("uring" or "posix"). Test bodies run on the
 * shard, in a coroutine, where Criterion's own assertions must not be used: MUST prints and aborts.
 */
#ifndef TESTS_STORES_H
#define TESTS_STORES_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "io/io.h"
#include "shard/shard.h"
#include "shard/sync.h"
#include "store/store.h"

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

enum {
    WORLD_PATH_BYTES = 256,
    WORLD_DISPOSED_MAX = 4096,
    WORLD_SPACE = 7, /* where the helpers below put things */
};

/* Makes operations of the shard's io fail. */
struct fault {
    uint32_t kinds; /* bits 1 << enum io_kind */
    uint32_t nth;   /* the nth of them from now fails (1: the next); 0: none */
    bool sticky;    /* and all later ones */
    bool lands;     /* the operation is carried out all the same, only its result is the error */
    int error;
    const char *path; /* only operations on a file whose path contains this; NULL: all */
    uint32_t seen;
    uint32_t failed;
};

struct world {
    struct fault fault;
    char dir[WORLD_PATH_BYTES];
    struct store_options options; /* for the next start */
    struct shard_set *set;
    struct shard *shard;
    struct store *store;
    struct partition *partition; /* number 3, opened by world_open */
    bool unlink_disposed;        /* dispose really removes the file */
    uint32_t disposed_count;
    char *disposed[WORLD_DISPOSED_MAX]; /* paths, in order */
    uint32_t write_bytes_max;           /* the longest write so far */
    int failures;                       /* calls of on_failure */
    int failure;
};

/* A fresh directory and default options: small files, small manifests, 4 MiB of cache. */
void world_init(struct world *world);
void world_deinit(struct world *world);

/* Starts the shard and creates the store; ends both. No partition is open. */
void world_start(struct world *world);
void world_stop(struct world *world);

/* Runs the body on the shard, in a coroutine. */
void world_run(struct world *world, shard_call_fn *body, void *argument);

/* On the shard. */
co_fn void world_open(struct world *world);
co_fn int world_try_open(struct world *world, bool create);
co_fn void world_close(struct world *world);
co_fn void world_reopen(struct world *world);
/* Fails the test unless partition_verify finds all in order. */
co_fn struct store_report world_verify(struct world *world);

/* All of it at once: init, start, open, body(shard, world), close, stop, deinit. */
void world_test(shard_call_fn *body);

/* From now on this fails; world_heal ends it. On the shard. */
void world_break(struct world *world, struct fault fault);
void world_heal(struct world *world);

/* The path of a file of the partition's directory. */
void world_path(const struct world *world, const char *name, char path[WORLD_PATH_BYTES * 2]);
bool world_has_disposed(const struct world *world, const char *name);

/* Copies the directory to a fresh one: what a crash at this moment would leave. Returns its path.
 */
void world_copy(const struct world *world, char to[WORLD_PATH_BYTES]);
/* Of the whole world's directory or a copy. */
void tree_remove(const char *dir);

/* A whole file; malloc'ed. */
uint8_t *file_load(const char *path, size_t *ret_bytes);
void file_save(const char *path, const uint8_t *data, size_t bytes);
/* The names in the partition's directory that contain `part`, sorted; returns how many. */
uint32_t world_list(const struct world *world, const char *part, char names[][64], uint32_t max);

/* Collects the server's log lines instead of printing them; whether one has that text. */
void lines_catch(void);
void lines_clear(void);
bool lines_have(const char *text);

/* ---- batches ---- */

struct changes {
    struct store_change *items;
    uint32_t count, capacity;
    uint32_t applied; /* callbacks so far */
    uint8_t *existed; /* what they said */
};

void changes_put(struct changes *changes, uint32_t space, struct slice key, struct slice value);
void changes_remove(struct changes *changes, uint32_t space, struct slice key);
void changes_clear(struct changes *changes);
void changes_deinit(struct changes *changes);
struct store_batch changes_batch(struct changes *changes);
/* Commits and clears them. */
co_fn int changes_commit(struct world *world, struct changes *changes);

/* One key, one commit, in WORLD_SPACE. */
co_fn int world_put(struct world *world, const char *key, const char *value);
co_fn int world_remove(struct world *world, const char *key);
/* Whether the key is there with that value; fails the test on errors. value NULL: must be absent.
 */
co_fn bool world_holds(struct world *world, const char *key, const char *value);

/* ---- a model ---- */

/* A fixed set of keys, in key order. Each has for each space a seed and a length, which give its
 * value, expiry, type and meta; or it is absent. */
struct model_value {
    bool present;
    uint32_t bytes;
    uint64_t seed;
};

struct model {
    uint32_t key_count;
    uint32_t space_count; /* spaces 0, 10, 20 ... */
    struct slice *keys;   /* ascending */
    uint8_t *key_memory;
    struct model_value *values; /* [space][key] */
    struct random random;
    uint32_t value_bytes_max;
};

void model_init(struct model *model, uint32_t keys, uint32_t spaces, uint64_t seed);
void model_deinit(struct model *model);
static inline uint32_t model_space(uint32_t index)
{
    return index * 10;
}
struct model_value *model_at(struct model *model, uint32_t space, uint32_t key);

/* The value's bytes, malloc'ed. */
uint8_t *model_bytes(const struct model_value *value);
/* Fills in everything but the key. */
void model_entry(const struct model_value *value, const uint8_t *bytes, struct store_entry *entry);
/* Whether the entry (with its value if `values`) is what the model says. */
void model_compare(struct model *model, uint32_t space, uint32_t key,
                   const struct store_entry *entry, bool values);

/* A random batch of about `count` changes per space, committed and taken over into the model. */
co_fn void model_commit(struct model *model, struct world *world, uint32_t count);
/* Everything: counts, gets of all keys, a cursor in both directions over each space. */
co_fn void model_check(struct model *model, struct world *world);
/* Only the cursors. */
co_fn void model_check_cursors(struct model *model, struct world *world, bool values);

#endif
