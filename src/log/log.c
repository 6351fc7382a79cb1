#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/bytes.h"
#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "io/file.h"
#include "log/log_impl.h"
#include "log/stream.h"

enum { REWRITE_BYTES = 256 << 10 };

/* ---- opening ---- */

static int options_check(const struct log_options *options)
{
    bool ok = is_power_of_two(options->segment_bytes) &&
              options->segment_bytes >= LOG_SEGMENT_BYTES_MIN && options->shards >= 1 &&
              options->shards <= SHARDS_MAX && options->epoch >= 1 &&
              options->spare_segments <= LOG_SPARE_SEGMENTS_MAX;
    return ok ? 0 : ERR_CONFIG;
}

static void init(struct log *log, const struct log_options *options)
{
    log->store_id = options->store_id;
    log->segment_bytes = options->segment_bytes;
    log->spare_segments = options->spare_segments < LOG_SPARE_SEGMENTS_MIN
                              ? LOG_SPARE_SEGMENTS_MIN
                              : options->spare_segments;
    log->shards = options->shards;
    log->epoch = options->epoch;
    log->on_failure = options->on_failure;
    log->context = options->context;
    log->start = options->start;
    atomic_init(&log->mode, (int)options->sync_mode);
    atomic_init(&log->enabled, options->enabled);
    for (uint32_t i = 0; i < LOG_MEMBERS_MAX; i++) {
        atomic_init(&log->members[i].in_flight, LOG_IDLE);
    }
    log_wake_init(log);
}

static int check_epoch(const struct log *log, uint32_t found)
{
    if (found < log->epoch) {
        return 0;
    }
    char path[SEGMENT_PATH_BYTES];
    segment_path(&log->segments, log->end.value / log->segment_bytes, path);
    return err_corrupt(path, log->end.value % log->segment_bytes,
                       "the redo log was written by opening %u of this store, the superblock knows "
                       "%u: it is older than the log",
                       found, log->epoch - 1);
}

/* The counters as they are with nothing in flight and everything below `end` durable. */
static void set_end(struct log *log, uint64_t end)
{
    atomic_store(&log->reserved, end);
    atomic_store(&log->written_seen, end);
    atomic_store(&log->durable, end);
}

/* Writes the bytes [from, end) of the file as they are. */
static int rewrite(int fd, uint64_t from, uint64_t end, uint8_t *piece)
{
    while (from < end) {
        size_t bytes = min_u64(end - from, REWRITE_BYTES);
        int64_t got = TRY(file_read(fd, piece, bytes, from));
        if (got == 0) {
            return 0; /* nothing is there to lose */
        }
        TRY(file_write(fd, piece, (size_t)got, from));
        from += (uint64_t)got;
    }
    return 0;
}

static int settle_segment(const struct log *log, uint64_t number, uint64_t durable, uint8_t *piece)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(&log->segments, number, path);
    int fd = file_open(path, O_RDWR, 0);
    if (fd == -ENOENT) {
        return 0; /* the stream ends at its first byte */
    }
    TRY(fd);
    uint64_t first = number * log->segment_bytes;
    uint64_t from = max_u64(durable, first) - first;
    uint64_t end = min_u64(log->end.value - first, log->segment_bytes);
    int err = rewrite(fd, from, end, piece);
    if (err == 0) {
        KILL_POINT("recovery-tail-sync");
        err = file_sync_data(fd);
    }
    IGNORE(file_close(fd), "synced");
    return err;
}

/*
 * Makes durable what was found. It may so far only be in the page cache, from a process that was
 * killed, and replay builds on it: a partition that it checkpoints must not be ahead of the log
 * when the power goes.
 *
 * A sync alone would not do. If the last process ended because its sync had failed, the kernel may
 * have kept those pages and marked them clean: they can be read, are not on the disk, and no later
 * sync writes them. So all above the watermark, which only a sync that succeeded can have moved, is
 * written once more. These are the bytes that stand there: a torn write changes nothing.
 */
static int settle_recovered(const struct log *log, uint64_t durable)
{
    uint8_t *piece = mem_alloc(REWRITE_BYTES);
    if (piece == NULL) {
        return ERR_MEMORY;
    }
    int err = 0;
    for (uint64_t number = log->start.value / log->segment_bytes;
         err == 0 && number <= log->end.value / log->segment_bytes; number++) {
        err = settle_segment(log, number, durable, piece);
    }
    mem_free(piece);
    return err;
}

int log_open(const struct log_options *options, struct log **ret_log)
{
    TRY(options_check(options));
    struct log *log = mem_alloc_aligned(LOG_CACHE_LINE_BYTES, sizeof(*log));
    if (log == NULL) {
        return ERR_MEMORY;
    }
    memset(log, 0, sizeof(*log));
    int err = segments_init(&log->segments, options->dir, options->segment_bytes);
    if (err != 0) {
        mem_free(log);
        return err;
    }
    init(log, options);
    uint32_t epoch = 0;
    struct lsn durable = options->watermark;
    err = log_recover(log, &durable, &epoch);
    if (err == 0) {
        err = check_epoch(log, epoch);
    }
    if (err == 0) {
        err = settle_recovered(log, durable.value);
    }
    if (err != 0) {
        segments_deinit(&log->segments);
        mem_free(log);
        return err;
    }
    set_end(log, log->end.value);
    atomic_store(&log->trim, log->start.value);
    *ret_log = log;
    return 0;
}

/* ---- beginning ---- */

static int write_open_frame(struct log *log, uint64_t lsn)
{
    struct log_member *member = log_member_outside(log);
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame open = {
        .lsn = lsn,
        .watermark = log->end.value,
        .previous_end = log->end.value,
        .payload_sum = frame_sum(log->store_id, header, 0),
        .epoch = log->epoch,
        .kind = FRAME_OPEN,
        .shard = log_member_id(log, member),
    };
    frame_encode(&open, log->store_id, header);
    uint64_t at = lsn;
    bool reserved = stream_try_reserve(log, member, &at, FRAME_HEADER_BYTES);
    ASSERT(reserved);
    TRY(stream_write(log, member, lsn, header, sizeof(header)));
    stream_release(member);
    return 0;
}

/* Syncs [durable, end of the stream) by a thread that may block, and publishes it. */
static int sync_blocking(struct log *log)
{
    uint64_t end;
    TRY(stream_pad_block(log, log_member_outside(log), &end));
    ASSERT(stream_written(log) == end);
    for (uint64_t number = stream_durable(log) / log->segment_bytes;
         number * log->segment_bytes < end; number++) {
        int fd = segments_fd(&log->segments, number);
        if (fd >= 0) {
            TRY(file_sync_data(fd));
        }
    }
    atomic_store(&log->durable, end);
    return 0;
}

static bool is_no_room(const struct log *log, int err)
{
    /* A directory whose sync failed may have lost a name: that is no matter of room. */
    return (err == -ENOSPC || err == -EDQUOT) && atomic_load(&log->segments.sync_error) == 0;
}

/* Where the OPEN frame goes: the start of a new segment, or, if there is no room for one, right
 * behind the end, in what is left of the last one. */
static int find_begin(struct log *log, uint64_t *ret_lsn)
{
    uint64_t end = log->end.value;
    uint64_t number = div_ceil(end, log->segment_bytes);
    TRY(segments_begin(&log->segments, number));
    int err = segments_prepare(&log->segments, log->start.value / log->segment_bytes);
    if (!is_no_room(log, err) || end % log->segment_bytes == 0) {
        *ret_lsn = number * log->segment_bytes;
        return err;
    }
    TRY(segments_resume(&log->segments, (uint32_t)(end % log->segment_bytes)));
    LOGGER_WARNING("redo log: there is no room for a new segment (%s): it goes on in the last one",
                   error_text(err));
    *ret_lsn = end;
    return 0;
}

int log_begin(struct log *log)
{
    ASSERT(!log->begun);
    uint64_t lsn;
    TRY(find_begin(log, &lsn));
    set_end(log, lsn);
    KILL_POINT("recovery-begin");
    TRY(write_open_frame(log, lsn));
    KILL_POINT("recovery-open-frame");
    TRY(sync_blocking(log));
    log->begun = true;
    log_call_housekeeper(log);
    return 0;
}

/* ---- closing ---- */

int log_close(struct log *log, bool sync)
{
    int err = 0;
    for (uint32_t i = 0; i < log->shards; i++) {
        ASSERT(log->members[i].wake.writer == NULL);
    }
    if (sync && log->begun && !log_failed(log)) {
        bool marked;
        err = stream_reserved(log) > stream_durable(log) ? sync_blocking(log) : 0;
        if (err == 0) {
            err = stream_write_mark(log, &marked);
        }
    }
    segments_deinit(&log->segments);
    mem_free(log);
    return err;
}

/* ---- positions and gates ---- */

struct lsn log_reserved(const struct log *log)
{
    return (struct lsn){stream_reserved(log)};
}

struct lsn log_written(const struct log *log)
{
    /* Only the memory of the highest answer changes. */
    return (struct lsn){stream_written((struct log *)log)};
}

struct lsn log_durable(const struct log *log)
{
    return (struct lsn){stream_durable(log)};
}

bool log_gate_open(const struct log *log, struct lsn lsn)
{
    if (!log_enabled(log)) {
        return true;
    }
    if (log_sync_mode(log) == LOG_SYNC_ALWAYS) {
        return stream_durable(log) >= lsn.value;
    }
    return atomic_load_explicit(&log->written_seen, memory_order_acquire) >= lsn.value ||
           log_written(log).value >= lsn.value;
}

void log_set_sync_mode(struct log *log, enum log_sync_mode mode)
{
    atomic_store_explicit(&log->mode, (int)mode, memory_order_relaxed);
}

enum log_sync_mode log_sync_mode(const struct log *log)
{
    return (enum log_sync_mode)atomic_load_explicit(&log->mode, memory_order_relaxed);
}

void log_set_enabled(struct log *log, bool enabled)
{
    atomic_store(&log->enabled, enabled);
    log_call_housekeeper(log);
}

bool log_enabled(const struct log *log)
{
    return atomic_load_explicit(&log->enabled, memory_order_relaxed);
}

int log_error(const struct log *log)
{
    int failure = atomic_load(&log->failure);
    return failure != 0 ? failure : atomic_load(&log->space_error);
}

/* ---- figures ---- */

void log_stats(const struct log *log, struct log_stats *ret_stats)
{
    *ret_stats = (struct log_stats){0};
    for (uint32_t i = 0; i < LOG_MEMBERS_MAX; i++) {
        const struct log_member *member = &log->members[i];
        ret_stats->appended_records += atomic_load_explicit(&member->records, memory_order_relaxed);
        ret_stats->appended_bytes +=
            atomic_load_explicit(&member->record_bytes, memory_order_relaxed);
        ret_stats->frames += atomic_load_explicit(&member->frames, memory_order_relaxed);
        ret_stats->segment_stalls += atomic_load_explicit(&member->stalls, memory_order_relaxed);
    }
    uint64_t reserved = stream_reserved(log);
    uint64_t next = segments_prepared_next(&log->segments);
    uint64_t reached = div_ceil(reserved, log->segment_bytes);
    ret_stats->syncs = atomic_load(&log->syncs);
    ret_stats->sync_ns_total = atomic_load(&log->sync_ns_total);
    ret_stats->used_bytes = reserved - min_u64(reserved, atomic_load(&log->trim));
    ret_stats->segments = (uint32_t)(next - min_u64(next, atomic_load(&log->segments.first)));
    ret_stats->spare_segments = (uint32_t)(next - min_u64(next, reached));
}
