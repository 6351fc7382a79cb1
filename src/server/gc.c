#include "server/gc.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/thread.h"
#include "io/file.h"
#include "server/memory.h"

enum {
    GC_TICK_MS = 100,
    GC_TRIM_TICKS = 10, /* the trim point moves once a second */
    GC_CLOCK_MS = 60000, /* so old may the superblock's clock be */
};

/* Waits for its unlink; pushed by shard threads without a lock, taken all at once by the gc thread.
 */
struct gc_file {
    struct gc_file *next;
    char path[];
};

struct gc {
    struct engine *engine;
    struct super *super;
    struct thread thread;
    struct mutex mutex;
    struct condition condition;
    _Atomic(struct gc_file *) files;
    _Atomic uint32_t files_count;
    _Atomic bool stopping;
    _Atomic bool woken;
    uint32_t scale; /* the memory governor's */
    uint64_t governed_bytes;
    uint64_t ticks;
    bool running;
};

int gc_create(struct engine *engine, struct super *super, struct gc **ret_gc)
{
    struct gc *gc = mem_calloc(1, sizeof(*gc));
    if (gc == NULL) {
        return ERR_MEMORY;
    }
    gc->engine = engine;
    gc->super = super;
    gc->scale = MEMORY_SCALE_ONE;
    mutex_init(&gc->mutex);
    condition_init(&gc->condition);
    *ret_gc = gc;
    return 0;
}

/* ---- files ---- */

void gc_dispose(void *context, const char *path)
{
    struct gc *gc = context;
    size_t bytes = strlen(path) + 1;
    struct gc_file *file =
        atomic_load(&gc->files_count) < GC_FILES_MAX ? mem_alloc(sizeof(*file) + bytes) : NULL;
    if (file == NULL) {
        LOGGER_NOTICE("%s is not needed any longer; it is removed at the next start", path);
        return;
    }
    memcpy(file->path, path, bytes);
    atomic_fetch_add(&gc->files_count, 1);
    file->next = atomic_load(&gc->files);
    while (!atomic_compare_exchange_weak(&gc->files, &file->next, file)) {
    }
}

static void gc_unlink_all(struct gc *gc)
{
    struct gc_file *file = atomic_exchange(&gc->files, NULL);
    while (file != NULL) {
        struct gc_file *next = file->next;
        KILL_POINT("gc-unlink");
        int err = file_unlink(file->path);
        if (err < 0 && err != -ENOENT) {
            LOGGER_WARNING("can't remove %s: %s", file->path, error_text(err));
        }
        mem_free(file);
        atomic_fetch_sub(&gc->files_count, 1);
        file = next;
    }
}

/* ---- the trim point ---- */

struct gc_spaces {
    uint32_t spaces[SUPER_DATABASES_MAX];
    uint32_t space_next;
    const struct super *super;
    uint64_t durable;
};

/* On shard 0: the map as of now, durable. Suspends. */
static co_fn int gc_fetch_spaces(struct shard *there, void *argument)
{
    struct gc_spaces *fetched = argument;
    struct engine_shard *here = engine_shard_of(there);
    struct log *log = engine_log(here->engine);
    for (uint32_t i = 0; i < fetched->super->databases; i++) {
        fetched->spaces[i] = keyspace_space(here->keyspace, i);
    }
    fetched->space_next = keyspace_space_next(here->keyspace);
    if (fetched->space_next != fetched->super->space_next ||
        memcmp(fetched->spaces, fetched->super->spaces, sizeof(fetched->spaces)) != 0) {
        TRY(log_wait_durable(here->writer, log_reserved(log)));
    }
    fetched->durable = log_durable(log).value;
    return 0;
}

static uint64_t gc_lowest_needed(struct gc *gc)
{
    struct shard_set *shards = engine_shards(gc->engine);
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < shard_set_count(shards); i++) {
        const struct engine_shard *shard = engine_shard_of(shard_set_get(shards, i));
        lowest = min_u64(lowest, atomic_load(&shard->low_lsn));
    }
    return lowest;
}

static void gc_move_trim_point(struct gc *gc)
{
    struct super *super = gc->super;
    uint64_t lowest = gc_lowest_needed(gc);
    struct gc_spaces fetched = {.super = super};
    int err = shard_call_from_outside(shard_set_get(engine_shards(gc->engine), 0), gc_fetch_spaces,
                                      &fetched);
    if (err < 0) {
        return;
    }
    bool map_changed = fetched.space_next != super->space_next ||
                       memcmp(fetched.spaces, super->spaces, sizeof(fetched.spaces)) != 0;
    uint64_t segment = super->log_segment_bytes;
    int64_t clock_high_ms = engine_clock_high_ms(gc->engine);
    bool clock_old = clock_high_ms - super->clock_high_ms > GC_CLOCK_MS;
    if (lowest / segment == super->log_start.value / segment && !map_changed && !clock_old) {
        return;
    }
    memcpy(super->spaces, fetched.spaces, sizeof(super->spaces));
    super->space_next = fetched.space_next;
    super->log_start.value = max_u64(super->log_start.value, lowest);
    super->log_watermark.value = max_u64(super->log_watermark.value, fetched.durable);
    super->clock_high_ms = clock_high_ms;
    err = super_write(engine_options(gc->engine)->dir, super);
    if (err < 0) {
        LOGGER_WARNING("can't write the superblock: %s", error_text(err));
        if (err != -ENOSPC) {
            engine_fail(gc->engine, err);
        }
        return;
    }
    log_trim(engine_log(gc->engine), super->log_start);
}

/* ---- memory ---- */

static void gc_govern(struct gc *gc)
{
    uint64_t memory_bytes = engine_memory_bytes(gc->engine);
    uint32_t scale = memory_govern(memory_bytes, mem_resident_bytes(), gc->scale);
    if (scale != gc->scale || memory_bytes != gc->governed_bytes) {
        gc->scale = scale;
        gc->governed_bytes = memory_bytes;
        engine_apply_memory(gc->engine, scale);
    }
}

/* ---- the thread ---- */

static void gc_tick(struct gc *gc)
{
    gc_unlink_all(gc);
    gc_govern(gc);
    if (gc->ticks++ % GC_TRIM_TICKS == 0) {
        gc_move_trim_point(gc);
    }
}

static void gc_main(void *argument)
{
    struct gc *gc = argument;
    int64_t next_ns = clock_mono_ns();
    while (!atomic_load(&gc->stopping)) {
        while (log_housekeep(engine_log(gc->engine))) {
        }
        if (clock_mono_ns() >= next_ns) {
            gc_tick(gc);
            next_ns = clock_mono_ns() + GC_TICK_MS * 1000000LL;
        }
        mutex_lock(&gc->mutex);
        if (!atomic_exchange(&gc->woken, false) && !atomic_load(&gc->stopping)) {
            IGNORE(condition_wait_until(&gc->condition, &gc->mutex, next_ns),
                   "a tick and a signal are handled alike");
        }
        mutex_unlock(&gc->mutex);
    }
    gc_unlink_all(gc);
}

int gc_start(struct gc *gc)
{
    TRY(thread_start(&gc->thread, "gc", gc_main, gc));
    gc->running = true;
    return 0;
}

/* A shard thread must not wait for the mutex, so a signal can fall between the check and the wait;
 * whoever needs room asks again, and the tick comes in any case. */
void gc_wake(void *context)
{
    struct gc *gc = context;
    if (!atomic_exchange(&gc->woken, true)) {
        condition_signal(&gc->condition);
    }
}

void gc_stop(struct gc *gc)
{
    if (gc == NULL || !gc->running) {
        return;
    }
    mutex_lock(&gc->mutex);
    atomic_store(&gc->stopping, true);
    condition_signal(&gc->condition);
    mutex_unlock(&gc->mutex);
    thread_join(&gc->thread);
    gc->running = false;
}

void gc_destroy(struct gc *gc)
{
    if (gc == NULL) {
        return;
    }
    ASSERT(!gc->running);
    gc_unlink_all(gc);
    mutex_deinit(&gc->mutex);
    condition_deinit(&gc->condition);
    mem_free(gc);
}
