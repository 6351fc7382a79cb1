/*
 * Syncs and waiting for them.
 *
 * One sync at a time, and one leader: the shard whose compare-and-swap sets `leader`. Its steps:
 *
 *     begin     fill the current block with a PAD: `end` is now a border of a block and of a frame
 *     waiting   until written >= end, that is until the writes of other shards below it have
 * returned: a sync only covers writes that were complete before it began syncing   fdatasync of
 * each segment in [durable, end), through the leader's ring finish    durable = end; go on at once
 * if somebody wants more, else release `leader`
 *
 * durable is only ever such an `end`, so no block that holds something durable is written again,
 * and a watermark never points into the middle of a frame.
 *
 * No wake-up is lost: a shard sets `wanted` and then tries to lead; a leader releases `leader` and
 * then reads all `wanted` (all sequentially consistent). Whichever comes first, either the shard
 * becomes leader or the leader sees that it waits, and wakes it; it then tries again.
 *
 * After a failure `leader` is never released, and durable stays where it is.
 */
#include "base/clock.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/plant.h"
#include "log/log_impl.h"
#include "log/stream.h"

enum { SYNC_INTERVAL_NS = 1000000000 };

static void sync_progress(struct log_writer *writer);
static void sync_op_done(struct io_op *op);

static bool leads(const struct log_writer *writer)
{
    return atomic_load(&writer->log->sync.leader) == writer;
}

bool sync_is_led_by(const struct log_writer *writer)
{
    const struct log_sync *sync = &writer->log->sync;
    if (!leads(writer)) {
        return false;
    }
    return sync->in_flight > 0 || (sync->waiting && !log_failed(writer->log));
}

/* ---- waking ---- */

static void wake_arrived(struct shard *receiver, struct message *message)
{
    (void)receiver;
    struct log_wake *wake = container_of(message, struct log_wake, message);
    /* Before looking at anything: what changes from here on sends a new message. */
    atomic_store(&wake->queued, false);
    if (wake->writer != NULL) {
        sync_progress(wake->writer);
    }
}

void log_wake_init(struct log *log)
{
    for (uint32_t i = 0; i < LOG_MEMBERS_MAX; i++) {
        log->members[i].wake.message.handler = wake_arrived;
    }
}

void log_wake(struct log *log, struct shard *from, uint32_t to)
{
    struct log_wake *wake = &log->members[to].wake;
    if (!atomic_exchange(&wake->queued, true)) {
        shard_send(from, to, &wake->message);
    }
}

/* Wakes the shards that wait for durable, or all. */
static void wake_waiting(struct log *log, struct shard *from, bool all)
{
    for (uint32_t i = 0; i < log->shards; i++) {
        if (i != shard_id(from) && (all || atomic_load(&log->members[i].wanted) != 0)) {
            log_wake(log, from, i);
        }
    }
}

void log_fail(struct log *log, struct shard *shard, int error)
{
    ASSERT(error < 0);
    int none = 0;
    if (!atomic_compare_exchange_strong(&log->failure, &none, error)) {
        return;
    }
    if (shard != NULL) {
        wake_waiting(log, shard, true);
        log_wake(log, shard, shard_id(shard));
    }
    log->on_failure(log->context, error);
}

/* ---- the leader ---- */

static void submit_next(struct log_writer *writer, struct log_sync_op *slot)
{
    struct log *log = writer->log;
    struct log_sync *sync = &log->sync;
    uint64_t number = sync->segment_next++;
    int fd = segments_fd(&log->segments, number);
    ASSERT(fd >= 0);
    slot->log = log;
    io_prep(&slot->op, IO_SYNC_DATA, fd, sync_op_done);
    sync->in_flight++;
    io_submit(shard_io(writer->shard), &slot->op);
}

static void sync_submit(struct log_writer *writer)
{
    struct log *log = writer->log;
    struct log_sync *sync = &log->sync;
    KILL_POINT("log-sync");
    sync->waiting = false;
    sync->error = 0;
    sync->segment_next = stream_durable(log) / log->segment_bytes;
    sync->segment_last = (sync->end - 1) / log->segment_bytes;
    for (uint32_t i = 0; i < LOG_SYNC_OPS_MAX && sync->segment_next <= sync->segment_last; i++) {
        submit_next(writer, &sync->ops[i]);
    }
}

/* Waiting: looks again in the next pass. The others' writes are copies in memory, so it won't be
 * long. */
static void sync_submit_when_written(struct log_writer *writer)
{
    struct log *log = writer->log;
    if (log_failed(log)) {
        log->sync.waiting = false;
        shard_set_sync_in_flight(writer->shard, false);
        return;
    }
    if (PLANTED(LOG_SYNC_BEFORE_WRITE) || stream_written(log) >= log->sync.end) {
        sync_submit(writer);
    } else {
        log_wake(log, writer->shard, shard_id(writer->shard));
    }
}

static void sync_begin(struct log_writer *writer)
{
    struct log *log = writer->log;
    struct log_sync *sync = &log->sync;
    ASSERT(leads(writer) && sync->in_flight == 0 && !sync->waiting);
    sync->begun_ns = clock_mono_ns();
    int err = stream_pad_block(log, writer->member, &sync->end);
    if (err != 0) {
        LOGGER_WARNING("redo log: a write failed: %s", error_text(err));
        log_fail(log, writer->shard, err);
        return;
    }
    ASSERT(sync->end > stream_durable(log));
    sync->waiting = true;
    shard_set_sync_in_flight(writer->shard, true);
    sync_submit_when_written(writer);
}

static uint64_t wanted_max(const struct log *log)
{
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < log->shards; i++) {
        wanted = max_u64(wanted, atomic_load(&log->members[i].wanted));
    }
    return wanted;
}

static void publish_durable(struct log *log)
{
    const struct log_sync *sync = &log->sync;
    uint64_t took_ns = (uint64_t)(clock_mono_ns() - sync->begun_ns);
    atomic_fetch_add_explicit(&log->syncs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->sync_ns_total, took_ns, memory_order_relaxed);
    atomic_store_explicit(&log->synced_ns, sync->begun_ns, memory_order_relaxed);
    ASSERT(sync->end > stream_durable(log));
    atomic_store(&log->durable, sync->end);
}

static void sync_finish(struct log_writer *writer)
{
    struct log *log = writer->log;
    struct log_sync *sync = &log->sync;
    shard_set_sync_in_flight(writer->shard, false);
    if (sync->error != 0) {
        LOGGER_WARNING("redo log: a sync failed: %s", error_text(sync->error));
        log_fail(log, writer->shard, sync->error);
    }
    if (log_failed(log)) {
        co_event_signal(&writer->durable_event);
        return;
    }
    KILL_POINT("log-synced");
    publish_durable(log);
    if (wanted_max(log) > sync->end && !writer->closing) {
        sync_begin(writer);
    } else {
        KILL_POINT("log-leader-leaves");
        atomic_store(&sync->leader, NULL);
    }
    wake_waiting(log, writer->shard, false);
    sync_progress(writer);
}

static void sync_op_done(struct io_op *op)
{
    struct log_sync_op *slot = container_of(op, struct log_sync_op, op);
    struct log *log = slot->log;
    struct log_sync *sync = &log->sync;
    struct log_writer *writer = atomic_load(&sync->leader);
    ASSERT(writer != NULL && sync->in_flight > 0);
    sync->in_flight--;
    if (PLANTED(FAILED_SYNC_RETRIED) && op->result < 0) {
        sync->in_flight++;
        io_submit(shard_io(writer->shard), op);
        return;
    }
    if (op->result < 0 && sync->error == 0) {
        sync->error = op->result;
    }
    if (sync->error == 0 && sync->segment_next <= sync->segment_last) {
        submit_next(writer, slot);
    } else if (sync->in_flight == 0) {
        sync_finish(writer);
    }
}

/* ---- waiting ---- */

static void try_lead(struct log_writer *writer)
{
    struct log *log = writer->log;
    struct log_writer *nobody = NULL;
    if (log_failed(log) || writer->closing ||
        !atomic_compare_exchange_strong(&log->sync.leader, &nobody, writer)) {
        return;
    }
    if (stream_durable(log) < atomic_load(&writer->member->wanted)) {
        sync_begin(writer);
        return;
    }
    /* The last leader has published between our look at `durable` and now, and may not have seen
     * us. */
    atomic_store(&log->sync.leader, NULL);
    wake_waiting(log, writer->shard, false);
    log_wake(log, writer->shard, shard_id(writer->shard));
}

/* Something may have changed for this shard: durable, the leader, a failure. */
static void sync_progress(struct log_writer *writer)
{
    struct log *log = writer->log;
    if (leads(writer) && log->sync.waiting) {
        sync_submit_when_written(writer);
    }
    uint64_t wanted = atomic_load(&writer->member->wanted);
    if (wanted != 0) {
        if (stream_durable(log) >= wanted) {
            atomic_store(&writer->member->wanted, 0);
        } else {
            try_lead(writer);
        }
    }
    co_event_signal(&writer->durable_event);
}

void log_want_durable(struct log_writer *writer, struct lsn lsn)
{
    struct log *log = writer->log;
    if (log_failed(log)) {
        return;
    }
    ASSERT(lsn.value <= stream_reserved(log));
    if (stream_durable(log) >= lsn.value) {
        /* Maybe only since the caller looked: it counts on another pass. */
        log_wake(log, writer->shard, shard_id(writer->shard));
        return;
    }
    if (atomic_load(&writer->member->wanted) < lsn.value) {
        atomic_store(&writer->member->wanted, lsn.value);
    }
    try_lead(writer);
}

co_fn int log_wait_durable(struct log_writer *writer, struct lsn lsn)
{
    while (stream_durable(writer->log) < lsn.value) {
        if (log_failed(writer->log)) {
            return ERR_CLOSED;
        }
        log_want_durable(writer, lsn);
        co_event_wait(&writer->durable_event);
    }
    return 0;
}

/* ---- everysec ---- */

static void timer_fired(struct shard *shard, struct shard_timer *timer)
{
    struct log_writer *writer = container_of(timer, struct log_writer, timer);
    struct log *log = writer->log;
    if (log_sync_mode(log) == LOG_SYNC_NO || writer->end <= stream_durable(log)) {
        return;
    }
    /* Another shard's sync may have taken most of ours along: the rest is younger than that. */
    int64_t synced_ns = atomic_load_explicit(&log->synced_ns, memory_order_relaxed);
    int64_t wait_ns = synced_ns + SYNC_INTERVAL_NS - shard_mono_ns(shard);
    if (wait_ns > 0 && wait_ns < SYNC_INTERVAL_NS) {
        shard_timer_arm(shard, timer, wait_ns, timer_fired);
    } else {
        log_want_durable(writer, log_writer_end(writer));
    }
}

void sync_arm_timer(struct log_writer *writer)
{
    if (!writer->timer.armed && !writer->closing) {
        shard_timer_arm(writer->shard, &writer->timer, SYNC_INTERVAL_NS, timer_fired);
    }
}
