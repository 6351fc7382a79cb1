/*
 * The shared stream: who has which bytes, and up to where all is written.
 *
 * A shard takes bytes by moving `reserved` with a compare-and-swap, writes them, and is then free
 * to take more. written = the lowest byte that is taken and not yet written. To know it without a
 * lock, each shard shows in `in_flight` a position that is not above what it has taken and not
 * written:
 *
 *     writer                                       reader (stream_written)
 *     start = reserved                             end = reserved            (acquire)
 *     in_flight = start          (release)         for each shard:
 *     CAS reserved: start → start + n (release)       lowest = min(end, in_flight)  (acquire)
 *     write the bytes
 *     in_flight = LOG_IDLE       (release)
 *
 * Never too high. Let the reader see `end`. Every range below `end` was taken by a CAS that comes
 * before the value it read in the order of changes of `reserved`; all those changes are
 * read-modify-writes, so reading any of them with acquire sees what came before each of the
 * releases: in particular the in_flight that its writer had set before its CAS, or a later one. A
 * later one is either LOG_IDLE or a higher start, and both are set (release) after the write of
 * this range has ended. So the reader either finds in_flight at or below the range, or the range is
 * written.
 *
 * When the CAS fails, in_flight stays at the older, lower start until the next attempt: too low for
 * a moment, which only delays. Since a reader may see this after it has seen a higher value,
 * written_seen keeps the highest answer, which stays true.
 *
 * A failed write leaves its mark in in_flight for ever, so written never passes it.
 */
#include "log/stream.h"

#include "io/file.h"
#include "log/log_impl.h"

bool stream_try_reserve(struct log *log, struct log_member *member, uint64_t *start, uint64_t bytes)
{
    ASSERT(bytes > 0 && is_aligned(bytes, FRAME_ALIGN_BYTES));
    ASSERT(bytes <= stream_segment_left(log, *start));
    atomic_store_explicit(&member->in_flight, *start, memory_order_release);
    return atomic_compare_exchange_strong_explicit(&log->reserved, start, *start + bytes,
                                                   memory_order_acq_rel, memory_order_acquire);
}

void stream_release(struct log_member *member)
{
    atomic_store_explicit(&member->in_flight, LOG_IDLE, memory_order_release);
}

static uint64_t written_now(const struct log *log)
{
    uint64_t lowest = atomic_load_explicit(&log->reserved, memory_order_acquire);
    for (uint32_t i = 0; i < log->shards; i++) {
        uint64_t start = atomic_load_explicit(&log->members[i].in_flight, memory_order_acquire);
        lowest = min_u64(lowest, start);
    }
    uint64_t outside =
        atomic_load_explicit(&log->members[SHARDS_MAX].in_flight, memory_order_acquire);
    return min_u64(lowest, outside);
}

uint64_t stream_written(struct log *log)
{
    uint64_t seen = atomic_load_explicit(&log->written_seen, memory_order_acquire);
    if (log_failed(log)) {
        return seen;
    }
    uint64_t written = written_now(log);
    while (written > seen) {
        if (atomic_compare_exchange_weak_explicit(&log->written_seen, &seen, written,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return written;
        }
    }
    return seen;
}

int stream_write(struct log *log, struct log_member *member, uint64_t lsn, const uint8_t *data,
                 uint64_t bytes)
{
    ASSERT(bytes <= stream_segment_left(log, lsn));
    uint64_t number = lsn / log->segment_bytes;
    int fd = segments_fd(&log->segments, number);
    if (UNLIKELY(fd < 0)) {
        counter_add(&member->stalls, 1);
        TRY(segments_prepare_now(&log->segments, number));
        fd = segments_fd(&log->segments, number);
    }
    ASSERT(fd >= 0);
    return file_write_cached(fd, data, bytes, lsn % log->segment_bytes);
}

int stream_write_pad(struct log *log, struct log_member *member, uint64_t lsn, uint64_t bytes)
{
    ASSERT(bytes >= FRAME_HEADER_BYTES);
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame pad = {
        .lsn = lsn,
        .watermark = stream_durable(log),
        .payload_bytes = (uint32_t)(bytes - FRAME_HEADER_BYTES),
        .epoch = log->epoch,
        .kind = FRAME_PAD,
        .shard = log_member_id(log, member),
    };
    ASSERT(frame_bytes(&pad) == bytes);
    frame_encode(&pad, log->store_id, header);
    counter_add(&member->frames, 1);
    return stream_write(log, member, lsn, header, sizeof(header));
}

int stream_pad_block(struct log *log, struct log_member *member, uint64_t *ret_end)
{
    uint64_t start = stream_reserved(log);
    uint64_t end = align_up(start, FRAME_BLOCK_BYTES);
    while (end > start && !stream_try_reserve(log, member, &start, end - start)) {
        end = align_up(start, FRAME_BLOCK_BYTES);
    }
    if (end > start) {
        TRY(stream_write_pad(log, member, start, end - start));
    }
    stream_release(member);
    *ret_end = end;
    return 0;
}

int stream_write_mark(struct log *log, bool *ret_written)
{
    struct log_member *member = log_member_outside(log);
    uint64_t start = stream_durable(log);
    *ret_written = false;
    int fd = segments_fd(&log->segments, start / log->segment_bytes);
    if (fd < 0) {
        return 0;
    }
    uint64_t durable = start;
    if (!stream_try_reserve(log, member, &start, FRAME_HEADER_BYTES)) {
        stream_release(member);
        return 0;
    }
    ASSERT(start == durable);
    TRY(stream_write_pad(log, member, start, FRAME_HEADER_BYTES));
    stream_release(member);
    TRY(file_sync_data(fd));
    *ret_written = true;
    return 0;
}
