/*
 * log_impl: what the bodies of the log share. Not for other rooms.
 *
 * stream.h   reserving positions, what is written, padding
 * writer.c   a shard's batch
 * sync.c     the leader of a sync, waiting for durable
 * recover.c  finding the end of the stream
 * reader.c   records, put together again
 * space.c    room, the gc thread's part
 * log.c      opening and closing, modes, figures
 */
#ifndef LOG_LOG_IMPL_H
#define LOG_LOG_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "log/frame.h"
#include "log/log.h"
#include "log/segment.h"
#include "shard/shard.h"
#include "shard/sync.h"

enum {
    LOG_CACHE_LINE_BYTES = 64,
    /* Records wait here until the end of the pass or until there is so much: a batch should still
     * be in the CPU's cache when the kernel copies it. */
    LOG_BATCH_FLUSH_BYTES = LOG_DIRECT_BYTES,
    LOG_BATCH_BYTES = LOG_BATCH_FLUSH_BYTES + FRAME_BYTES_MAX,
    LOG_BATCH_FRAMES_MAX = 8,
    LOG_SYNC_OPS_MAX = 8, /* segments synced at once */
    /* Above both a sync starts in every mode. */
    LOG_UNSYNCED_BYTES_MIN = 64 << 20,
    LOG_UNSYNCED_SEGMENTS = 4,
    LOG_SPARE_SEGMENTS_MIN = 2,
    LOG_SPARE_SEGMENTS_MAX = 256,
    LOG_RECYCLED_FACTOR = 4,          /* trimmed segments kept as spare, times spare_segments */
    LOG_MEMBERS_MAX = SHARDS_MAX + 1, /* the last: main and gc thread */
};

#define LOG_IDLE UINT64_MAX  /* nothing in flight */
#define LOG_NEVER UINT64_MAX /* a position that is never reached */

/* A wake-up on its way to a shard; one for each shard, whoever sends it. */
struct log_wake {
    struct message message;
    struct log_writer *writer; /* the receiver's; touched by its thread only; NULL: gone */
    atomic_bool queued;
};

/* What belongs to one shard, in cache lines of its own. */
struct log_member {
    /* Not above the first byte this shard has reserved and not yet written; see stream.c. */
    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic uint64_t in_flight;
    /* Somebody waits for this to be durable; 0: nobody. Set by its shard, read by leaders. */
    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic uint64_t wanted;
    struct log_wake wake;
    /* Counted by its shard alone, read by anyone. */
    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic uint64_t records;
    _Atomic uint64_t record_bytes;
    _Atomic uint64_t frames;
    _Atomic uint64_t stalls;
};

struct log_sync_op {
    struct io_op op;
    struct log *log;
};

/* The sync in flight. All but `leader` belongs to the leader's thread. */
struct log_sync {
    _Atomic(struct log_writer *) leader; /* taken by compare-and-swap, released by itself */
    bool waiting;                        /* for others to write what lies below `end` */
    int error;
    uint64_t end;          /* becomes durable: a frame's and a block's border */
    uint64_t segment_next; /* not yet submitted */
    uint64_t segment_last;
    uint32_t in_flight;
    int64_t begun_ns;
    struct log_sync_op ops[LOG_SYNC_OPS_MAX];
};

struct log {
    uint64_t store_id;
    uint32_t segment_bytes;
    uint32_t spare_segments;
    uint32_t shards;
    uint32_t epoch;
    void (*on_failure)(void *context, int error);
    void *context;
    void (*wake_housekeeper)(void *context);
    void *housekeeper;
    struct lsn start; /* as asked for by the options */
    struct lsn end;   /* of the stream that log_open found */
    bool begun;

    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic uint64_t reserved;
    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic uint64_t written_seen; /* never falls */
    _Atomic uint64_t durable;
    _Atomic int failure; /* the first failed write or sync; final */
    /* Changed rarely. */
    _Alignas(LOG_CACHE_LINE_BYTES) _Atomic int mode;
    atomic_bool enabled;
    _Atomic int space_error; /* why the last segment could not be prepared */
    _Atomic uint64_t demand; /* room that somebody asked for in vain */
    atomic_bool housekeeper_woken;
    _Atomic uint64_t trim;
    _Atomic uint64_t syncs;
    _Atomic uint64_t sync_ns_total;
    _Atomic int64_t synced_ns; /* when the last sync that ended well was begun */
    /* The gc thread's. */
    uint64_t mark_candidate;
    uint64_t mark_watermark;

    struct log_member members[LOG_MEMBERS_MAX];
    struct log_sync sync;
    struct segments segments;
};

/* A frame of the batch whose header is not yet written. */
struct batch_frame {
    uint32_t at; /* of the header, in the batch */
    uint32_t payload_bytes;
    uint32_t records;
    uint8_t kind;
    uint32_t record_id;
    uint64_t payload_sum;
};

struct log_writer {
    struct log *log;
    struct shard *shard;
    struct log_member *member;
    uint64_t end;
    uint8_t *batch; /* LOG_BATCH_BYTES */
    uint32_t batch_bytes;
    uint32_t frames; /* in the batch */
    bool frame_open; /* the last one still takes records */
    bool closing;
    uint32_t record_id; /* of the next record in pieces */
    struct batch_frame frame[LOG_BATCH_FRAMES_MAX];
    struct shard_timer timer; /* everysec */
    struct co_event durable_event;
};

/* Adds to a counter that only the calling thread changes. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t count)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + count, memory_order_relaxed);
}

/* The member of threads that are no shard's. */
static inline struct log_member *log_member_outside(struct log *log)
{
    return &log->members[SHARDS_MAX];
}

static inline uint8_t log_member_id(const struct log *log, const struct log_member *member)
{
    return (uint8_t)(member - log->members);
}

static inline bool log_failed(const struct log *log)
{
    return UNLIKELY(atomic_load_explicit(&log->failure, memory_order_acquire) != 0);
}

/* A write or a sync has failed: calls on_failure the first time and wakes all who wait. `shard` is
 * the caller's, NULL on other threads. */
void log_fail(struct log *log, struct shard *shard, int error);

/* ---- space.c ---- */

/* Wakes the gc thread once, until its next log_housekeep. */
void log_call_housekeeper(struct log *log);

/* ---- sync.c ---- */

/* Asks `to` for a pass. On shard `from`. */
void log_wake(struct log *log, struct shard *from, uint32_t to);
void log_wake_init(struct log *log);

/* Whether the sync in flight is this writer's. */
bool sync_is_led_by(const struct log_writer *writer);

/* Starts the timer that syncs what this writer has put into the stream. */
void sync_arm_timer(struct log_writer *writer);

/* ---- recover.c ---- */

/* Finds log->end, checks everything from log->start; *ret_epoch is the last one in the stream, 0 if
 * it is empty. *watermark: what is known to have been durable, raised by what the stream says. */
NODISCARD int log_recover(struct log *log, struct lsn *watermark, uint32_t *ret_epoch);

#endif
