/*
 * log: the redo log. One stream of records for the whole server, written by all shards.
 *
 * Model. An LSN is a byte position in an endless stream, cut into segment files of fixed size
 * (file number = lsn / segment_bytes). A shard collects the records of one pass in its writer's
 * batch (log_append), and log_flush puts the batch into the stream as one or more frames: it
 * reserves the bytes with a compare-and-swap, writes them with one buffered write, and clears its
 * in-flight mark.
 *
 *   reserved >= written >= durable
 *
 * written: everything below is in the kernel's hands, so a killed process loses nothing of it.
 * durable: everything below survives a power cut. A sync has one leader at a time, whichever shard
 * finds none in flight: it pads to the next 4 KiB block, syncs the files concerned through its own
 * ring, publishes durable, and tells the shards that wait. A failed write or sync is final:
 * `on_failure` is called and nothing more becomes written or durable.
 *
 * Recovery reads the stream from the oldest record that some partition still needs up to the first
 * frame that is not whole. If a later frame proves that this position was durable, that is damage
 * and is refused; otherwise it is a torn tail and ends the log. After recovery writing goes on in a
 * new segment, whose OPEN frame says where the old stream ended and raises the epoch, so that
 * left-overs are never taken for records. On a full disk it goes on behind the end of the last
 * segment, which is cleared first; its room is too small for ordinary writes to be admitted.
 *
 * Threads: a struct log is shared; its counters are atomics. A struct log_writer belongs to its
 * shard. Segments are prepared and recycled by log_housekeep, on the gc thread. Formats: frame.h.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "shard/coro.h"
#include "shard/shard.h"

struct lsn {
    uint64_t value;
};

struct log;
struct log_writer;
struct log_reader;

enum log_sync_mode { LOG_SYNC_ALWAYS, LOG_SYNC_EVERYSEC, LOG_SYNC_NO };

enum {
    LOG_SEGMENT_BYTES_DEFAULT = 16 << 20,
    LOG_SEGMENT_BYTES_MIN = 1 << 20,
    LOG_RECORD_PARTS_MAX = 64,
};

struct log_options {
    const char *dir;         /* borrowed during log_open */
    uint64_t store_id;       /* seeds the checksums */
    uint32_t segment_bytes;  /* power of two; fixed when the store is created */
    uint32_t spare_segments; /* prepared ahead */
    uint32_t shards;
    enum log_sync_mode sync_mode;
    bool enabled; /* false: appendonly no; appends go nowhere */
    /* What recovery needs from the superblock and the manifests. */
    struct lsn start;     /* no record below is needed */
    struct lsn watermark; /* known to have been durable up to here */
    uint32_t epoch;       /* this opening's, one more than the last */
    /* Called once, from any shard thread, when a write or a sync has failed. Must not return to
     * normal service. */
    void (*on_failure)(void *context, int error);
    void *context;
};

/* Start-up, main thread, may block. Finds and checks the stream; ERR_CORRUPT for damage, having
 * logged file and offset; a missing needed segment is damage too. What was found is synced, since
 * replay builds on it; nothing is written yet. The log's end is log_reserved(). */
NODISCARD int log_open(const struct log_options *options, struct log **ret_log);

/* Prepares a segment, or clears the rest of the last one if there is no room, and writes the OPEN
 * frame: after recovery has replayed. Main thread, may block. -ENOSPC, -EDQUOT: no room, and the
 * last segment is full to its end; it may be tried again by another opening. */
NODISCARD int log_begin(struct log *log);

/* No writer may be left. Syncs what is written if `sync`. */
int log_close(struct log *log, bool sync);

/* ---- recovery ---- */

/* One reader per shard, each from `from` to the end found by log_open. Blocks on reads of files
 * (start-up only). */
NODISCARD int log_reader_open(struct log *log, struct lsn from, struct log_reader **ret_reader);
void log_reader_close(struct log_reader *reader);

/* A record as it was appended; `body` is borrowed until the next call. */
struct log_record {
    /* Of the frame that holds it (the last one, if it needs several); all records of a frame share
     * it. A partition has applied it if and only if it is below partition_applied. */
    struct lsn lsn;
    uint8_t type;
    struct slice body;
};
/* 1: a record; 0: the end; negative: error. */
NODISCARD int log_reader_next(struct log_reader *reader, struct log_record *ret_record);

/* ---- writing ---- */

NODISCARD int log_writer_create(struct log *log, struct shard *shard,
                                struct log_writer **ret_writer);
/* Flushes. If this writer leads the sync in flight it waits for its end: then it Suspends. Nobody
 * may be in log_wait_durable. */
co_fn void log_writer_destroy(struct log_writer *writer);

/* Whether `bytes` of records may be appended now: enough prepared room beyond what is reserved, and
 * no failure. Ask before executing writes. False also asks the gc thread for more; ask again in a
 * later pass (a timer of 1 ms will do). log_error tells why it stays false (ENOSPC ...). */
bool log_admits(struct log *log, uint64_t bytes);
int log_error(const struct log *log);

/* Adds one record, the concatenation of `parts`, to the batch. Atomic at recovery: whole or absent,
 * whatever its size. Small records are copied; big ones (>= LOG_DIRECT_BYTES) go out at once, with
 * what is batched before them. Never fails: room was asked for before; a write error ends in
 * on_failure. */
enum { LOG_DIRECT_BYTES = 256 << 10 };
void log_append(struct log_writer *writer, uint8_t type, const struct slice *parts, uint32_t count);

/* Puts the batch into the stream. Cheap if it is empty. The writer does it itself in the FLUSH hook
 * of each pass; to be called before a freeze. */
void log_flush(struct log_writer *writer);

/* The end of what this writer has put into the stream: what its shard's readers may have seen lies
 * below. Once something was dropped because of a failure: a position that is never reached. */
struct lsn log_writer_end(const struct log_writer *writer);
/* This shard's readers may see from now on what another writer has put below `lsn`. */
void log_writer_saw(struct log_writer *writer, struct lsn lsn);

struct lsn log_reserved(const struct log *log);
struct lsn log_written(const struct log *log);
struct lsn log_durable(const struct log *log);

/* The gate for replies under the mode in force: durable (always) or written. */
bool log_gate_open(const struct log *log, struct lsn lsn);

/* Makes `lsn` durable soon: becomes leader if no sync is in flight, else the next one covers it.
 * When durable has reached it, this shard gets another pass (if asleep, it is woken). In mode
 * always net calls it with the end of what it waits for. */
void log_want_durable(struct log_writer *writer, struct lsn lsn);

/* Waits until durable >= lsn (asks for it). ERR_CLOSED after a failure. Suspends. */
NODISCARD co_fn int log_wait_durable(struct log_writer *writer, struct lsn lsn);

/* Changes at run time (CONFIG SET). */
void log_set_sync_mode(struct log *log, enum log_sync_mode mode);
enum log_sync_mode log_sync_mode(const struct log *log);
void log_set_enabled(struct log *log, bool enabled);
bool log_enabled(const struct log *log);

/* ---- space ---- */

/* Records below lsn are no longer needed (every partition has applied them): their segments may be
 * recycled. From then on log_options.start must not be lower: make that durable first. */
void log_trim(struct log *log, struct lsn lsn);

/* The gc thread's part: prepares spare segments ahead of need, recycles and removes trimmed ones,
 * closes what is durable, and records the watermark when nothing was appended since a sync for two
 * calls in a row. To be called when woken, and now and then (each second or so): a full disk is
 * tried again then. Blocks. Returns true if it did something and should be called again. */
bool log_housekeep(struct log *log);

/* Wakes whoever runs log_housekeep when room gets short: set once before log_begin. */
void log_set_housekeeper(struct log *log, void (*wake)(void *context), void *context);

struct log_stats {
    uint64_t appended_records, appended_bytes, frames, syncs, sync_ns_total, segment_stalls;
    uint64_t used_bytes; /* from the trim point to the end */
    uint32_t segments, spare_segments;
};
void log_stats(const struct log *log, struct log_stats *ret_stats);

#endif
