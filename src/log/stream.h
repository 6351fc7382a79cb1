/*
 * stream: the shared stream of all shards: taking positions in it, writing into them, and how far
 * all is written. How that goes without a lock is told in stream.c.
 *
 * Any thread, each with its own member. stream_write and what is built on it are the one disk call
 * of a shard's thread: a copy into the page cache.
 */
#ifndef LOG_STREAM_H
#define LOG_STREAM_H

#include "log/log_impl.h"

static inline uint64_t stream_reserved(const struct log *log)
{
    return atomic_load_explicit(&log->reserved, memory_order_acquire);
}

static inline uint64_t stream_durable(const struct log *log)
{
    return atomic_load_explicit(&log->durable, memory_order_acquire);
}

static inline uint64_t stream_segment_left(const struct log *log, uint64_t lsn)
{
    return log->segment_bytes - (lsn & (log->segment_bytes - 1));
}

/* Tries to take [*start, *start + bytes), not across a segment's end. False: *start is now what is
 * reserved, try again or stream_release. */
bool stream_try_reserve(struct log *log, struct log_member *member, uint64_t *start,
                        uint64_t bytes);

/* What was reserved has been written, or the attempt is given up. */
void stream_release(struct log_member *member);

/* Everything below is with the kernel. */
uint64_t stream_written(struct log *log);

/* Writes into reserved bytes. If nobody has prepared the segment it makes it, and only then blocks;
 * that counts as a stall. */
NODISCARD int stream_write(struct log *log, struct log_member *member, uint64_t lsn,
                           const uint8_t *data, uint64_t bytes);

/* Writes a PAD over the reserved [lsn, lsn + bytes). */
NODISCARD int stream_write_pad(struct log *log, struct log_member *member, uint64_t lsn,
                               uint64_t bytes);

/* Fills the current block. Returns in *ret_end the stream's end, a multiple of FRAME_BLOCK_BYTES.
 */
NODISCARD int stream_pad_block(struct log *log, struct log_member *member, uint64_t *ret_end);

/* For threads that may block: if nothing was appended since the last sync, adds and syncs a PAD
 * whose watermark proves that all before it is durable. It holds nothing itself, so nobody waits
 * for it. */
NODISCARD int stream_write_mark(struct log *log, bool *ret_written);

#endif
