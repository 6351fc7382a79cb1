#include "server/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/mem.h"
#include "io/file.h"
#include "server/gc.h"
#include "server/memory.h"
#include "store/super.h"

enum {
    ENGINE_PATH_BYTES = 1024,
    ENGINE_LOW_LSN_NS = 100000000,
    ENGINE_EXIT_FAILED = 74, /* sysexits: input/output error */
    ENGINE_READS_IN_FLIGHT = 64,
    ENGINE_WRITE_BYTES = 256 << 10,
    ENGINE_MANIFEST_BYTES_MIN = 256 << 10,
    ENGINE_CLOCK_BEHIND_MS = 1000,
};

struct engine {
    struct engine_options options;
    int lock_fd;
    bool fresh; /* the first opening has not been completed */
    bool ended; /* the last one has been closed in order */
    bool direct;
    struct super super;
    struct log *log;
    struct shard_set *shards;
    struct gc *gc;
    struct engine_shard shard_states[SHARDS_MAX];
    _Atomic uint64_t memory_bytes;
};

struct engine_options engine_options_default(void)
{
    return (struct engine_options){
        .shards = 1,
        .databases = 16,
        .io_backend = IO_BACKEND_AUTO,
        .log_enabled = true,
        .sync_mode = LOG_SYNC_EVERYSEC,
        .memory_bytes = 256u << 20,
        .data_file_bytes = 32 << 20,
        .log_segment_bytes = LOG_SEGMENT_BYTES_DEFAULT,
        .log_bytes_target = 1ull << 30,
        .checkpoint_age_s = 300,
        .dirty_percent = 50,
        .lock_timeout_ms = 30000,
    };
}

void engine_fail(void *context, int error)
{
    (void)context;
    LOGGER_WARNING("FATAL: a write or sync has failed: %s. What is not yet durable can't be "
                   "promised any more; exiting at once, the next start recovers from the disk.",
                   error_text(error));
    _exit(ENGINE_EXIT_FAILED);
}

/* ---- opening: directory, lock, superblock ---- */

static void engine_waits_for_lock(const char *path)
{
    LOGGER_NOTICE("%s is held: waiting for another process, or for the last writes of a dead one",
                  path);
}

bool engine_is_free(const char *dir, uint32_t timeout_ms)
{
    char path[ENGINE_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/LOCK", dir);
    if (!file_exists(path)) {
        return true;
    }
    int fd = file_lock(path, timeout_ms, engine_waits_for_lock);
    if (fd >= 0) {
        IGNORE(file_close(fd), "nothing was written to it");
    }
    return fd >= 0;
}

static int engine_lock(struct engine *engine)
{
    char path[ENGINE_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/LOCK", engine->options.dir);
    int fd = file_lock(path, engine->options.lock_timeout_ms, engine_waits_for_lock);
    if (fd < 0) {
        LOGGER_WARNING("can't lock %s: %s", path, error_text(fd));
        return fd;
    }
    engine->lock_fd = fd;
    return 0;
}

static void engine_compare_clocks(const struct super *super)
{
    int64_t behind_ms = super->clock_high_ms - clock_real_ms();
    if (behind_ms > ENGINE_CLOCK_BEHIND_MS) {
        LOGGER_WARNING("the clock is %lld s behind what this store has seen: keys that have "
                       "expired stay so, and no others expire until it has caught up",
                       (long long)(behind_ms / 1000));
    }
}

static int engine_read_super(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    int err = super_read(options->dir, &engine->super);
    if (err == 0) {
        err = super_settle(options->dir, &engine->super);
    }
    if (err == -ENOENT) {
        uint32_t partitions = options->partitions > 0 ? options->partitions : 64;
        err = super_create(options->dir, partitions, options->databases, options->log_segment_bytes,
                           &engine->super);
    }
    if (err < 0) {
        LOGGER_WARNING("can't read the superblock of %s: %s", options->dir, error_text(err));
        return err;
    }
    struct super *super = &engine->super;
    engine->fresh = super->epoch == 0;
    if (options->partitions > 0 && options->partitions != super->partitions) {
        LOGGER_WARNING("the store in %s has %u partitions, which can't be changed to %u",
                       options->dir, super->partitions, options->partitions);
        return ERR_CONFIG;
    }
    for (; super->databases < options->databases; super->databases++) {
        super->spaces[super->databases] = super->space_next++;
    }
    engine_compare_clocks(super);
    engine->ended = super->clean && !engine->fresh;
    super->epoch++;
    super->clean = false;
    return 0;
}

static int engine_open_log(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    char path[ENGINE_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/log", options->dir);
    TRY(file_mkdir(path, 0700));
    struct log_options log_options = {
        .dir = path,
        .store_id = engine->super.store_id,
        .segment_bytes = engine->super.log_segment_bytes,
        .spare_segments = 2,
        .shards = options->shards,
        .sync_mode = options->sync_mode,
        .enabled = options->log_enabled,
        .start = engine->super.log_start,
        .watermark = engine->super.log_watermark,
        .epoch = engine->super.epoch,
        .on_failure = engine_fail,
        .context = engine,
    };
    int err = log_open(&log_options, &engine->log);
    if (err < 0) {
        LOGGER_WARNING("can't open the log in %s: %s", path, error_text(err));
        return err;
    }
    log_set_housekeeper(engine->log, gc_wake, engine->gc);
    return 0;
}

/* ---- opening: on each shard ---- */

static struct keyspace_options engine_keyspace_options(const struct engine *engine, uint32_t scale)
{
    const struct engine_options *options = &engine->options;
    struct memory_plan plan = memory_plan(atomic_load(&engine->memory_bytes), options->shards,
                                          options->dirty_percent, scale);
    return (struct keyspace_options){
        .partitions = engine->super.partitions,
        .record_bytes_max = plan.record_bytes,
        .dirty_bytes_max = plan.dirty_bytes_max,
        .dirty_bytes_target = plan.dirty_bytes_target,
        .log_bytes_target = options->log_bytes_target,
        .checkpoint_age_s = options->checkpoint_age_s,
        .databases = engine->super.databases,
    };
}

static struct store_options engine_store_options(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    struct memory_plan plan = memory_plan(atomic_load(&engine->memory_bytes), options->shards,
                                          options->dirty_percent, MEMORY_SCALE_ONE);
    return (struct store_options){
        .dir = options->dir,
        .store_id = engine->super.store_id,
        .direct = engine->direct,
        .cache_bytes = plan.cache_bytes,
        .data_file_bytes = options->data_file_bytes,
        .reads_in_flight = ENGINE_READS_IN_FLIGHT,
        .write_bytes = ENGINE_WRITE_BYTES,
        .manifest_bytes_min = ENGINE_MANIFEST_BYTES_MIN,
        .ended = engine->ended,
        .ended_epoch = engine->super.ended,
        .epoch = engine->super.epoch,
        .dispose = gc_dispose,
        .context = engine->gc,
        .on_failure = engine_fail,
    };
}

static void engine_publish_low(struct shard *shard, struct shard_timer *timer)
{
    struct engine_shard *here = container_of(timer, struct engine_shard, low_timer);
    atomic_store(&here->low_lsn, keyspace_low_lsn(here->keyspace).value);
    atomic_store(&here->clock_high_ms, keyspace_clock_high_ms(here->keyspace));
    shard_timer_arm(shard, timer, ENGINE_LOW_LSN_NS, engine_publish_low);
}

static co_fn void engine_shard_destroy(struct engine_shard *here)
{
    if (here->keyspace != NULL) {
        here->closed = keyspace_close(here->keyspace);
        atomic_store(&here->clock_high_ms, keyspace_clock_high_ms(here->keyspace));
        keyspace_destroy(here->keyspace);
    }
    if (here->writer != NULL) {
        log_writer_destroy(here->writer);
    }
    store_destroy(here->store);
    here->keyspace = NULL;
    here->writer = NULL;
    here->store = NULL;
}

static co_fn int engine_shard_create(struct engine_shard *here)
{
    struct engine *engine = here->engine;
    struct store_options store_options = engine_store_options(engine);
    struct keyspace_options options = engine_keyspace_options(engine, MEMORY_SCALE_ONE);
    TRY(store_create(here->shard, &store_options, &here->store));
    TRY(log_writer_create(engine->log, here->shard, &here->writer));
    TRY(keyspace_create(here->shard, here->store, engine->log, here->writer, &options,
                        &here->keyspace));
    keyspace_set_clock_high_ms(here->keyspace, engine->super.clock_high_ms);
    return keyspace_open(here->keyspace, engine->super.spaces, engine->super.space_next,
                         engine->fresh);
}

/* An error is kept for engine_start_shards: the other shards have to be taken down, too, and a
 * start that fails leaves no shard to do that on. Suspends. */
static co_fn int engine_shard_start(struct shard *shard, void *argument)
{
    struct engine *engine = argument;
    struct engine_shard *here = &engine->shard_states[shard_id(shard)];
    here->engine = engine;
    here->shard = shard;
    atomic_store(&here->low_lsn, engine->super.log_start.value);
    atomic_store(&here->clock_high_ms, engine->super.clock_high_ms);
    shard_set_slot(shard, SHARD_SLOT_SERVER, here);
    here->error = engine_shard_create(here);
    if (here->error < 0) {
        LOGGER_WARNING("shard %u can't start: %s", shard_id(shard), error_text(here->error));
        engine_shard_destroy(here);
    }
    return 0;
}

static int engine_shard_go(struct shard *shard, void *argument)
{
    (void)argument;
    struct engine_shard *here = engine_shard_of(shard);
    TRY(keyspace_start_background(here->keyspace));
    engine_publish_low(shard, &here->low_timer);
    return 0;
}

static co_fn void engine_shard_stop(struct shard *shard, void *argument)
{
    (void)argument;
    struct engine_shard *here = engine_shard_of(shard);
    if (here->keyspace != NULL) {
        shard_timer_disarm(shard, &here->low_timer);
        engine_shard_destroy(here);
    }
}

/* ---- opening ---- */

static int engine_start_shards(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    struct shard_options shard_options = shard_options_default();
    shard_options.io.backend = options->io_backend;
    shard_options.io.lock_fd = engine->lock_fd;
    int err = shard_set_start(options->shards, &shard_options, engine_shard_start, engine,
                              &engine->shards);
    if (err < 0) {
        LOGGER_WARNING("can't start %u shards: %s", options->shards, error_text(err));
        return err;
    }
    for (uint32_t i = 0; err == 0 && i < options->shards; i++) {
        err = engine->shard_states[i].error;
    }
    if (err < 0) {
        shard_set_stop(engine->shards, engine_shard_stop, NULL);
    }
    return err;
}

/* The directory, and its name: without the parent's sync a power cut takes the whole store. Synced
 * at each start, since the one that made it may have been killed before. A parent that we may not
 * read was made by somebody with more rights, and so was the name. */
static int engine_make_dir(const char *dir)
{
    char parent[ENGINE_PATH_BYTES];
    snprintf(parent, sizeof(parent), "%s/..", dir);
    int err = file_mkdir(dir, 0700);
    if (err < 0) {
        LOGGER_WARNING("can't create %s: %s", dir, error_text(err));
        return err;
    }
    err = file_sync_dir(parent);
    if (err < 0 && err != -EACCES) {
        LOGGER_WARNING("can't sync the directory that holds %s: %s", dir, error_text(err));
        return err;
    }
    return 0;
}

static int engine_prepare(struct engine *engine)
{
    TRY(engine_make_dir(engine->options.dir));
    TRY(engine_lock(engine));
    TRY(engine_read_super(engine));
    TRY(gc_create(engine, &engine->super, &engine->gc));
    engine->direct = file_direct_works(engine->options.dir);
    return engine_open_log(engine);
}

static int engine_go(struct engine *engine)
{
    TRY(super_write(engine->options.dir, &engine->super));
    TRY(log_begin(engine->log));
    for (uint32_t i = 0; i < engine->options.shards; i++) {
        TRY(shard_call_from_outside(shard_set_get(engine->shards, i), engine_shard_go, NULL));
    }
    return gc_start(engine->gc);
}

static void engine_free(struct engine *engine)
{
    if (engine->log != NULL) {
        IGNORE(log_close(engine->log, false), "an engine that didn't open promises nothing");
    }
    gc_destroy(engine->gc);
    if (engine->lock_fd >= 0) {
        IGNORE(file_close(engine->lock_fd), "the lock goes with the process");
    }
    mem_free(engine);
}

int engine_open(const struct engine_options *options, struct engine **ret_engine)
{
    ASSERT(options->shards >= 1 && options->shards <= SHARDS_MAX);
    struct engine *engine = mem_calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return ERR_MEMORY;
    }
    engine->options = *options;
    engine->lock_fd = -1;
    atomic_store(&engine->memory_bytes, options->memory_bytes);
    int err = engine_prepare(engine);
    if (err < 0) {
        engine_free(engine);
        return err;
    }
    err = engine_start_shards(engine);
    if (err < 0) {
        engine_free(engine);
        return err;
    }
    err = engine_go(engine);
    if (err < 0) {
        LOGGER_WARNING("can't begin: %s", error_text(err));
        gc_stop(engine->gc);
        shard_set_stop(engine->shards, engine_shard_stop, NULL);
        engine_free(engine);
        return err;
    }
    *ret_engine = engine;
    return 0;
}

/* ---- closing ---- */

static co_fn int engine_shard_checkpoint(struct shard *shard, void *argument)
{
    (void)argument;
    return keyspace_checkpoint_all(engine_shard_of(shard)->keyspace);
}

static co_fn int engine_shard_quiet(struct shard *shard, void *argument)
{
    (void)argument;
    keyspace_stop_background(engine_shard_of(shard)->keyspace);
    return 0;
}

/* Runs fn on every shard from this thread; returns the first error, having run all. */
static int engine_each_shard(struct engine *engine, shard_call_fn *fn)
{
    int first = 0;
    for (uint32_t i = 0; i < engine->options.shards; i++) {
        int err = shard_call_from_outside(shard_set_get(engine->shards, i), fn, NULL);
        first = first < 0 ? first : err;
    }
    return first;
}

struct engine_leave {
    shard_stop_fn *before;
    void *argument;
};

static int engine_shard_leave(struct shard *shard, void *argument)
{
    const struct engine_leave *leave = argument;
    leave->before(shard, leave->argument);
    return 0;
}

/* On shard 0, whose map all shards have. */
static int engine_shard_spaces(struct shard *shard, void *argument)
{
    struct super *super = argument;
    const struct keyspace *keyspace = engine_shard_of(shard)->keyspace;
    for (uint32_t i = 0; i < super->databases; i++) {
        super->spaces[i] = keyspace_space(keyspace, i);
    }
    super->space_next = keyspace_space_next(keyspace);
    return 0;
}

int64_t engine_clock_high_ms(const struct engine *engine)
{
    int64_t high_ms = engine->super.clock_high_ms;
    for (uint32_t i = 0; i < engine->options.shards; i++) {
        high_ms = max_i64(high_ms, atomic_load(&engine->shard_states[i].clock_high_ms));
    }
    return high_ms;
}

/* Everything below `end` is in the trees and durable: the next start has nothing to replay, and
 * expects each manifest to end with its closing record. So the map of spaces that stands in the
 * superblock must be the last one, too. */
static void engine_mark_clean(struct engine *engine, struct lsn end)
{
    struct super *super = &engine->super;
    super->log_start = end;
    super->log_watermark = super->log_start;
    super->clean = true;
    super->ended = super->epoch;
    super->clock_high_ms = engine_clock_high_ms(engine);
    int err = super_write(engine->options.dir, super);
    if (err < 0) {
        LOGGER_WARNING("can't write the superblock: %s; the next start replays the log",
                       error_text(err));
    }
}

static bool engine_is_closed(const struct engine *engine)
{
    bool closed = true;
    for (uint32_t i = 0; i < engine->options.shards; i++) {
        closed = closed && engine->shard_states[i].closed;
    }
    return closed;
}

void engine_close(struct engine *engine, bool save, shard_stop_fn *before, void *argument)
{
    for (uint32_t i = 0; before != NULL && i < engine->options.shards; i++) {
        struct engine_leave leave = {before, argument};
        IGNORE(
            shard_call_from_outside(shard_set_get(engine->shards, i), engine_shard_leave, &leave),
            "it returns 0");
    }
    IGNORE(engine_each_shard(engine, engine_shard_quiet), "it returns 0");
    int err = save ? engine_each_shard(engine, engine_shard_checkpoint) : ERR_CANCELED;
    if (save && err < 0) {
        LOGGER_WARNING("the last checkpoint failed: %s; the next start replays the log",
                       error_text(err));
    }
    gc_stop(engine->gc);
    if (err == 0) {
        err = shard_call_from_outside(shard_set_get(engine->shards, 0), engine_shard_spaces,
                                      &engine->super);
    }
    shard_set_stop(engine->shards, engine_shard_stop, NULL);
    struct lsn end = log_reserved(engine->log);
    int closed = log_close(engine->log, true);
    if (err == 0 && closed == 0 && engine_is_closed(engine)) {
        engine_mark_clean(engine, end);
    }
    engine->log = NULL;
    engine_free(engine);
}

/* ---- access ---- */

struct shard_set *engine_shards(struct engine *engine)
{
    return engine->shards;
}

struct log *engine_log(struct engine *engine)
{
    return engine->log;
}

uint32_t engine_partitions(const struct engine *engine)
{
    return engine->super.partitions;
}

const struct engine_options *engine_options(const struct engine *engine)
{
    return &engine->options;
}

struct engine_shard *engine_shard_of(const struct shard *shard)
{
    return shard_slot(shard, SHARD_SLOT_SERVER);
}

void engine_set_memory(struct engine *engine, uint64_t memory_bytes)
{
    atomic_store(&engine->memory_bytes, memory_bytes);
}

uint64_t engine_memory_bytes(const struct engine *engine)
{
    return atomic_load(&engine->memory_bytes);
}

static int engine_shard_apply_memory(struct shard *shard, void *argument)
{
    uint32_t scale = *(const uint32_t *)argument;
    struct engine_shard *here = engine_shard_of(shard);
    struct keyspace_options options = engine_keyspace_options(here->engine, scale);
    struct memory_plan plan =
        memory_plan(engine_memory_bytes(here->engine), here->engine->options.shards,
                    here->engine->options.dirty_percent, scale);
    keyspace_set_options(here->keyspace, &options);
    store_set_cache_bytes(here->store, plan.cache_bytes);
    mem_purge();
    return 0;
}

void engine_apply_memory(struct engine *engine, uint32_t scale)
{
    for (uint32_t i = 0; i < engine->options.shards; i++) {
        IGNORE(shard_call_from_outside(shard_set_get(engine->shards, i), engine_shard_apply_memory,
                                       &scale),
               "it returns 0");
    }
}
