/*
 * Room for the stream: what may be appended, and the gc thread's part in it.
 *
 * `room` is what lies between the reserved end and the last prepared segment's end. Ordinary writes
 * are admitted while they leave one segment untouched: that reserve is for what can't ask
 * (deletions of expired keys, changes of checkpoints) and for what several shards admit at the same
 * moment. Its end is no catastrophe either: the shard then makes a segment itself, and that counts
 * as a stall.
 */
#include <errno.h>

#include "base/logger.h"
#include "log/log_impl.h"
#include "log/stream.h"

void log_set_housekeeper(struct log *log, void (*wake)(void *context), void *context)
{
    log->wake_housekeeper = wake;
    log->housekeeper = context;
}

void log_call_housekeeper(struct log *log)
{
    if (log->wake_housekeeper != NULL && !atomic_exchange(&log->housekeeper_woken, true)) {
        log->wake_housekeeper(log->housekeeper);
    }
}

static uint64_t room_left(const struct log *log)
{
    uint64_t end = segments_prepared_next(&log->segments) * log->segment_bytes;
    return end - min_u64(end, stream_reserved(log));
}

/* The bytes of the stream that records of `bytes` may take at most: headers, and what is left over
 * at the ends of segments. */
static uint64_t stream_bytes_for(const struct log *log, uint64_t bytes)
{
    uint64_t segments = bytes / (log->segment_bytes - FRAME_BYTES_MAX) + 1;
    return bytes + bytes / 64 + segments * FRAME_BYTES_MAX;
}

/* What the gc thread keeps prepared. */
static uint64_t room_target(const struct log *log)
{
    if (!log_enabled(log)) {
        return 0;
    }
    return max_u64((uint64_t)log->spare_segments * log->segment_bytes, atomic_load(&log->demand));
}

bool log_admits(struct log *log, uint64_t bytes)
{
    if (!log_enabled(log)) {
        return true;
    }
    if (log_failed(log)) {
        return false;
    }
    uint64_t room = room_left(log);
    uint64_t needed = stream_bytes_for(log, bytes) + log->segment_bytes;
    if (LIKELY(room >= room_target(log) && room >= needed)) {
        return true;
    }
    if (room < needed && atomic_load(&log->demand) < needed) {
        atomic_store(&log->demand, needed);
    }
    /* When the disk is full the gc thread tries again by itself, not each time somebody asks. */
    if (atomic_load(&log->space_error) == 0) {
        log_call_housekeeper(log);
    }
    return room >= needed;
}

void log_trim(struct log *log, struct lsn lsn)
{
    uint64_t trim = atomic_load(&log->trim);
    while (lsn.value > trim) {
        if (atomic_compare_exchange_weak(&log->trim, &trim, lsn.value)) {
            log_call_housekeeper(log);
            return;
        }
    }
}

/* ---- the gc thread ---- */

/* The first segment that recovery may need. */
static uint64_t needed_first(const struct log *log)
{
    uint64_t needed = min_u64(atomic_load(&log->trim), stream_durable(log));
    return needed / log->segment_bytes;
}

/* An error of the disk while a segment was prepared. The file is gone again, so nothing is lost but
 * room. */
static void note_space_error(struct log *log, int err)
{
    int known = atomic_exchange(&log->space_error, err);
    if (err != 0 && known != err) {
        LOGGER_WARNING("redo log: no further segment can be prepared: %s", error_text(err));
    } else if (err == 0 && known != 0) {
        LOGGER_NOTICE("redo log: there is room again");
    }
}

static bool prepare_if_short(struct log *log)
{
    if (room_left(log) >= room_target(log)) {
        atomic_store(&log->demand, 0);
        return false;
    }
    int err = segments_prepare(&log->segments, needed_first(log));
    int sync_error = atomic_load(&log->segments.sync_error);
    if (sync_error != 0) {
        log_fail(log, NULL, sync_error);
        return false;
    }
    note_space_error(log, err == ERR_FULL ? 0 : err);
    return err == 0;
}

/* Trimmed segments become spare ones up to a limit, the rest is removed. */
static bool use_up_trimmed(struct log *log)
{
    uint64_t first = atomic_load(&log->segments.first);
    if (first >= needed_first(log)) {
        return false;
    }
    uint64_t spare_max = (uint64_t)log->spare_segments * LOG_RECYCLED_FACTOR;
    int err;
    if (log_enabled(log) && room_left(log) < spare_max * log->segment_bytes) {
        err = segments_prepare(&log->segments, needed_first(log));
    } else {
        err = segments_remove_oldest(&log->segments, needed_first(log));
    }
    int sync_error = atomic_load(&log->segments.sync_error);
    if (sync_error != 0) {
        log_fail(log, NULL, sync_error);
    }
    return err >= 0;
}

/* Once nothing has been appended since a sync, for two calls in a row, a mark proves what it made
 * durable. */
static bool mark_if_idle(struct log *log)
{
    uint64_t durable = stream_durable(log);
    if (stream_reserved(log) != durable || durable == log->mark_watermark) {
        return false;
    }
    if (log->mark_candidate != durable) {
        log->mark_candidate = durable;
        return false;
    }
    bool marked;
    int err = stream_write_mark(log, &marked);
    if (err != 0) {
        LOGGER_WARNING("redo log: a write failed: %s", error_text(err));
        log_fail(log, NULL, err);
        return false;
    }
    log->mark_watermark = marked ? durable : log->mark_watermark;
    return marked;
}

bool log_housekeep(struct log *log)
{
    atomic_store(&log->housekeeper_woken, false);
    if (!log->begun || log_failed(log)) {
        return false;
    }
    bool did = segments_close_below(&log->segments, stream_durable(log));
    did |= prepare_if_short(log);
    did |= use_up_trimmed(log);
    return mark_if_idle(log) || did;
}
