/*
 * When to checkpoint, and which partition.
 *
 *     due when                            which partition
 *     dirty memory is above its target,   the one with the most dirty memory: a commit gains most
 *     or a write waits for memory
 *     the log is longer than its target   the one with the oldest change: it keeps the log
 *     a change is older than the age      its own
 *     trees of dead spaces are left       one that has some
 *
 * One checkpoint at a time per shard, in a low-priority coroutine. After an error there is a pause.
 */
#include "data/checkpointer.h"

#include "base/plant.h"
#include "data/checkpoint.h"
#include "data/evict.h"
#include "data/keyspace_impl.h"
#include "data/spaces.h"

enum { RETRY_MS = 1000 };

static uint64_t shelf_low(const struct shelf *shelf)
{
    uint64_t low = PLANTED(LOG_START_TOO_FAR) ? shelf->low : min_u64(shelf->low, shelf->frozen_low);
    return shelf->foreign_writes > 0 ? min_u64(low, shelf->foreign_low) : low;
}

struct lsn keyspace_low_lsn(const struct keyspace *keyspace)
{
    uint64_t low = min_u64(log_reserved(keyspace->log).value, keyspace->spaces_low);
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        low = min_u64(low, shelf_low(&keyspace->shelves[i]));
    }
    return (struct lsn){low};
}

static struct shelf *dirtiest(struct keyspace *keyspace)
{
    struct shelf *most = NULL;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        if (shelf->dirty_bytes > (most == NULL ? 0 : most->dirty_bytes)) {
            most = shelf;
        }
    }
    return most;
}

static struct shelf *oldest(struct keyspace *keyspace)
{
    struct shelf *first = NULL;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        if (shelf_low(shelf) < (first == NULL ? LSN_NONE : shelf_low(first))) {
            first = shelf;
        }
    }
    return first;
}

static struct shelf *with_dead_trees(struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        uint32_t space;
        if (keyspace_dead_trees(keyspace, &keyspace->shelves[i], &space, 1) > 0) {
            return &keyspace->shelves[i];
        }
    }
    return NULL;
}

/* Changes are old by the clock, not by the log: without a log they have no positions. */
static struct shelf *overdue(struct keyspace *keyspace)
{
    int64_t age_ns = (int64_t)keyspace->options.checkpoint_age_s * 1000000000;
    int64_t now_ns = shard_mono_ns(keyspace->shard);
    for (uint32_t i = 0; age_ns > 0 && i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        if (shelf->low != LSN_NONE && now_ns - shelf->dirty_since_ns >= age_ns) {
            return shelf;
        }
    }
    return NULL;
}

static bool log_is_long(const struct keyspace *keyspace)
{
    return log_enabled(keyspace->log) &&
           log_reserved(keyspace->log).value - keyspace_low_lsn(keyspace).value >
               keyspace->options.log_bytes_target;
}

struct shelf *keyspace_checkpoint_due(struct keyspace *keyspace)
{
    struct shelf *shelf = NULL;
    if (keyspace->dirty_bytes > keyspace->options.dirty_bytes_target || keyspace->write_waits) {
        shelf = dirtiest(keyspace);
    }
    if (shelf == NULL && log_is_long(keyspace)) {
        shelf = oldest(keyspace);
    }
    if (shelf == NULL) {
        shelf = overdue(keyspace);
    }
    if (shelf == NULL && keyspace->drop_trees) {
        shelf = with_dead_trees(keyspace);
        keyspace->drop_trees = shelf != NULL;
    }
    return shelf;
}

void keyspace_wake_checkpointer(struct keyspace *keyspace)
{
    if (keyspace->checkpointer_sleeps) {
        keyspace->checkpointer_sleeps = false;
        co_event_signal(&keyspace->work);
    }
}

co_fn void keyspace_checkpointer_main(void *argument)
{
    struct keyspace *keyspace = argument;
    while (keyspace->background) {
        struct shelf *shelf = NULL;
        if (shard_mono_ns(keyspace->shard) >= keyspace->retry_ns) {
            shelf = keyspace_checkpoint_due(keyspace);
        }
        if (shelf == NULL) {
            keyspace->checkpointer_sleeps = true;
            co_event_wait(&keyspace->work);
            continue;
        }
        if (keyspace_checkpoint(keyspace, shelf, LSN_NONE) != 0) {
            keyspace->retry_ns = shard_mono_ns(keyspace->shard) + RETRY_MS * INT64_C(1000000);
        }
        co_yield ();
    }
    keyspace_background_end(keyspace);
}

co_fn int keyspace_checkpoint_all(struct keyspace *keyspace)
{
    int result = 0;
    for (uint32_t i = 0; i < keyspace->shelf_count; i++) {
        struct shelf *shelf = &keyspace->shelves[i];
        if (shelf->table.dirty == 0 && shelf->low == LSN_NONE && shelf->phase == SHELF_IDLE) {
            continue;
        }
        int err = keyspace_checkpoint(keyspace, shelf, LSN_NONE);
        if (result == 0) {
            result = err;
        }
    }
    return result;
}

/* ---- admission ---- */

/* With nothing dirty there is nothing to wait for, however large the write. */
static bool dirty_admits(const struct keyspace *keyspace, uint64_t bytes)
{
    return keyspace->dirty_bytes == 0 ||
           keyspace->dirty_bytes + bytes <= keyspace->options.dirty_bytes_max;
}

/* An eighth above the budget: as much may be on its way before the eviction's next turn. */
static bool memory_admits(const struct keyspace *keyspace, uint64_t bytes)
{
    uint64_t most = keyspace->options.record_bytes_max + keyspace->options.record_bytes_max / 8;
    return keyspace->dirty_bytes == 0 ||
           keyspace->record_bytes + keyspace->table_bytes + bytes <= most;
}

bool keyspace_admits(struct keyspace *keyspace, uint64_t bytes)
{
    bool dirty_ok = dirty_admits(keyspace, bytes);
    if (UNLIKELY(!dirty_ok || !memory_admits(keyspace, bytes))) {
        /* If there are clean records to drop, the next pass will do; else only a checkpoint helps.
         */
        if (!dirty_ok || keyspace_evict_rests(keyspace)) {
            keyspace->write_waits = true;
            keyspace_wake_checkpointer(keyspace);
        }
        return false;
    }
    return !log_enabled(keyspace->log) || log_admits(keyspace->log, bytes);
}

int keyspace_write_error(const struct keyspace *keyspace)
{
    int err = log_enabled(keyspace->log) ? log_error(keyspace->log) : 0;
    return err != 0 ? err : keyspace->checkpoint_error;
}
