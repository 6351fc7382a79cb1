/*
 * engine: an open store without a wire: data directory, log, shards with their partitions, gc
 * thread. The server puts commands and connections on top of it, the embedding library its own
 * calls.
 *
 * Opening, in this order: directory and lock (waits for a dead process's last writes) → superblock
 * → log scan → shards: manifests and replay, in parallel → superblock with the new epoch → log
 * begins → background work. An epoch of 0 in the superblock says that the first opening has not got
 * that far: partitions that are missing are then created, later they are damage.
 *
 * Closing: checkpoint of everything (if asked) → shards end → superblock marked clean.
 *
 * Threads: open and close are called by the main (or embedding) thread and block.
 */
#ifndef SERVER_ENGINE_H
#define SERVER_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/keyspace.h"
#include "io/io.h"
#include "log/log.h"
#include "shard/shard.h"
#include "store/store.h"

struct engine;

struct engine_options {
    const char *dir; /* borrowed for the engine's life */
    uint32_t shards;
    uint32_t partitions; /* of a new store; 0: 64, or what an existing one has */
    uint32_t databases;
    enum io_backend io_backend;
    bool log_enabled;             /* appendonly */
    enum log_sync_mode sync_mode; /* appendfsync */
    uint64_t memory_bytes;        /* maxmemory, already resolved */
    uint32_t data_file_bytes;
    uint32_t log_segment_bytes; /* of a new store */
    uint64_t log_bytes_target;  /* a longer log makes partitions flush */
    uint32_t checkpoint_age_s;
    uint32_t dirty_percent; /* of the record memory that may be dirty */
    uint32_t lock_timeout_ms;
};
struct engine_options engine_options_default(void);

/* What hangs on each shard (SHARD_SLOT_SERVER). */
struct engine_shard {
    struct engine *engine;
    struct shard *shard;
    struct store *store;
    struct log_writer *writer;
    struct keyspace *keyspace;
    int error;   /* of the start */
    bool closed; /* at the end: each partition, in order */
    struct shard_timer low_timer;
    /* Published for the gc thread. */
    _Atomic uint64_t low_lsn;
    _Atomic int64_t clock_high_ms;
};

/* Errors have been logged with file and reason. */
NODISCARD int engine_open(const struct engine_options *options, struct engine **ret_engine);

/* `before` runs on every shard first (may be NULL): the rooms above take their leave. save:
 * checkpoint everything. */
void engine_close(struct engine *engine, bool save, shard_stop_fn *before, void *argument);

/* Whether nobody has the store in `dir` open, having waited so long for whoever is about to let go.
 */
bool engine_is_free(const char *dir, uint32_t timeout_ms);

struct shard_set *engine_shards(struct engine *engine);
struct log *engine_log(struct engine *engine);
uint32_t engine_partitions(const struct engine *engine);
/* The highest real time that the store has seen, as far as its shards have published it. To be
 * called by who may touch the superblock: the gc thread, or whoever opens and closes. */
int64_t engine_clock_high_ms(const struct engine *engine);
const struct engine_options *engine_options(const struct engine *engine);
struct engine_shard *engine_shard_of(const struct shard *shard);

/* maxmemory at run time; any thread. The gc thread applies it, scaled by its governor. */
void engine_set_memory(struct engine *engine, uint64_t memory_bytes);
uint64_t engine_memory_bytes(const struct engine *engine);
void engine_apply_memory(struct engine *engine, uint32_t scale);

/* The engine can't promise anything any more (a write or sync of the log or of a manifest failed):
 * says so and ends the process at once, so that no reply leaves and the next start recovers from
 * the disk alone. */
void engine_fail(void *context, int error) __attribute__((noreturn));

#endif
