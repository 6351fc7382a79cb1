/*
 * A shard's writer: the batch of a pass, cut into frames, and its way into the stream.
 *
 * The batch is laid out as it will stand in the file: room for a header, records, room for the next
 * header ... So an append is a copy, and a flush is one checksum and one write for each frame
 * group. Payload checksums are taken before positions are reserved, and only the headers, which
 * carry the position, after: others wait for what is in flight, so that time is kept short.
 */
#include <string.h>

#include "base/kill_point.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/varint.h"
#include "log/log_impl.h"
#include "log/stream.h"

/* ---- life ---- */

static bool flush_hook(struct shard *shard, void *argument)
{
    (void)shard;
    log_flush(argument);
    return false;
}

int log_writer_create(struct log *log, struct shard *shard, struct log_writer **ret_writer)
{
    ASSERT(shard_id(shard) < log->shards);
    struct log_member *member = &log->members[shard_id(shard)];
    ASSERT(member->wake.writer == NULL);
    struct log_writer *writer = mem_calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return ERR_MEMORY;
    }
    *writer = (struct log_writer){.log = log, .shard = shard, .member = member};
    writer->end = stream_reserved(log);
    co_event_init(&writer->durable_event);
    heap_node_init(&writer->timer.heap);
    writer->batch = mem_alloc(LOG_BATCH_BYTES);
    int err = writer->batch == NULL ? ERR_MEMORY : 0;
    if (err == 0) {
        err = shard_add_hook(shard, SHARD_HOOK_FLUSH, flush_hook, writer);
    }
    if (err != 0) {
        mem_free(writer->batch);
        mem_free(writer);
        return err;
    }
    member->wake.writer = writer;
    *ret_writer = writer;
    return 0;
}

co_fn void log_writer_destroy(struct log_writer *writer)
{
    log_flush(writer);
    writer->closing = true;
    shard_timer_disarm(writer->shard, &writer->timer);
    shard_remove_hook(writer->shard, SHARD_HOOK_FLUSH, flush_hook, writer);
    while (sync_is_led_by(writer)) {
        co_event_wait(&writer->durable_event);
    }
    ASSERT(!co_event_has_waiters(&writer->durable_event));
    atomic_store(&writer->member->wanted, 0);
    writer->member->wake.writer = NULL;
    mem_free(writer->batch);
    mem_free(writer);
}

struct lsn log_writer_end(const struct log_writer *writer)
{
    return (struct lsn){writer->end};
}

void log_writer_saw(struct log_writer *writer, struct lsn lsn)
{
    writer->end = max_u64(writer->end, lsn.value);
}

/* ---- the batch ---- */

static struct batch_frame *last_frame(struct log_writer *writer)
{
    ASSERT(writer->frames > 0);
    return &writer->frame[writer->frames - 1];
}

/* Ends the last frame: zeros up to where the next one may begin. */
static void close_frame(struct log_writer *writer)
{
    if (!writer->frame_open) {
        return;
    }
    uint32_t end = (uint32_t)align_up(writer->batch_bytes, FRAME_ALIGN_BYTES);
    ASSERT(end <= LOG_BATCH_BYTES);
    memset(writer->batch + writer->batch_bytes, 0, end - writer->batch_bytes);
    writer->batch_bytes = end;
    writer->frame_open = false;
}

/* A new frame with room for `payload_bytes`, after a flush if the batch is too full for it. */
static struct batch_frame *open_frame(struct log_writer *writer, enum frame_kind kind,
                                      size_t payload_bytes)
{
    ASSERT(payload_bytes <= FRAME_PAYLOAD_BYTES_MAX);
    close_frame(writer);
    if (writer->frames == LOG_BATCH_FRAMES_MAX ||
        writer->batch_bytes + FRAME_HEADER_BYTES + payload_bytes > LOG_BATCH_BYTES) {
        log_flush(writer);
    }
    struct batch_frame *frame = &writer->frame[writer->frames++];
    *frame = (struct batch_frame){.at = writer->batch_bytes, .kind = (uint8_t)kind};
    writer->batch_bytes += FRAME_HEADER_BYTES;
    writer->frame_open = true;
    return frame;
}

/* The frame for a record of so many bytes. */
static struct batch_frame *data_frame(struct log_writer *writer, size_t bytes)
{
    if (LIKELY(writer->frame_open)) {
        struct batch_frame *frame = last_frame(writer);
        bool room_left = frame->payload_bytes + bytes <= FRAME_PAYLOAD_BYTES_MAX &&
                         writer->batch_bytes + bytes <= LOG_BATCH_BYTES;
        if (LIKELY(frame->kind == FRAME_DATA && room_left)) {
            return frame;
        }
    }
    return open_frame(writer, FRAME_DATA, bytes);
}

/* Adds bytes to the open frame, which has room for them. */
static inline void put_bytes(struct log_writer *writer, const void *data, size_t bytes)
{
    memcpy(writer->batch + writer->batch_bytes, data, bytes);
    writer->batch_bytes += (uint32_t)bytes;
}

static void append_whole(struct log_writer *writer, struct slice head, const struct slice *parts,
                         uint32_t count, size_t bytes)
{
    struct batch_frame *frame = data_frame(writer, bytes);
    put_bytes(writer, head.data, head.bytes);
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].bytes > 0) {
            put_bytes(writer, parts[i].data, parts[i].bytes);
        }
    }
    frame->payload_bytes += (uint32_t)bytes;
    frame->records++;
}

/* The bytes of a record, taken piece by piece. */
struct record_source {
    struct slice left; /* of the part at hand */
    const struct slice *parts;
    uint32_t count;
};

static void put_from(struct log_writer *writer, struct record_source *source, size_t bytes)
{
    while (bytes > 0) {
        if (source->left.bytes == 0) {
            ASSERT(source->count > 0);
            source->left = *source->parts++;
            source->count--;
            continue;
        }
        size_t take = min_u64(bytes, source->left.bytes);
        put_bytes(writer, source->left.data, take);
        source->left = slice_skip(source->left, take);
        bytes -= take;
    }
}

static void append_pieces(struct log_writer *writer, struct slice head, const struct slice *parts,
                          uint32_t count, size_t bytes)
{
    struct record_source source = {.left = head, .parts = parts, .count = count};
    uint32_t record_id = writer->record_id++;
    enum frame_kind kind = FRAME_FIRST;
    for (size_t left = bytes; left > 0;) {
        size_t take = min_u64(left, FRAME_PAYLOAD_BYTES_MAX);
        if (kind != FRAME_FIRST && take == left) {
            kind = FRAME_LAST;
        }
        struct batch_frame *frame = open_frame(writer, kind, take);
        frame->record_id = record_id;
        frame->payload_bytes = (uint32_t)take;
        put_from(writer, &source, take);
        close_frame(writer);
        left -= take;
        kind = FRAME_MIDDLE;
    }
    log_flush(writer);
}

void log_append(struct log_writer *writer, uint8_t type, const struct slice *parts, uint32_t count)
{
    if (!atomic_load_explicit(&writer->log->enabled, memory_order_relaxed)) {
        return;
    }
    ASSERT(count <= LOG_RECORD_PARTS_MAX);
    size_t body_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        body_bytes += parts[i].bytes;
    }
    uint8_t head[FRAME_RECORD_OVERHEAD_MAX];
    size_t head_bytes = varint_encode_u64(head, body_bytes);
    head[head_bytes++] = type;
    counter_add(&writer->member->records, 1);
    counter_add(&writer->member->record_bytes, body_bytes);

    size_t bytes = head_bytes + body_bytes;
    if (UNLIKELY(bytes > FRAME_PAYLOAD_BYTES_MAX)) {
        append_pieces(writer, slice_of(head, head_bytes), parts, count, bytes);
        return;
    }
    append_whole(writer, slice_of(head, head_bytes), parts, count, bytes);
    if (UNLIKELY(writer->batch_bytes >= LOG_BATCH_FLUSH_BYTES)) {
        log_flush(writer);
    }
}

/* ---- into the stream ---- */

static void sum_payloads(struct log_writer *writer)
{
    for (uint32_t i = 0; i < writer->frames; i++) {
        struct batch_frame *frame = &writer->frame[i];
        frame->payload_sum =
            frame_sum(writer->log->store_id, writer->batch + frame->at + FRAME_HEADER_BYTES,
                      frame->payload_bytes);
    }
}

/* Where the frame after `index` begins in the batch. */
static uint32_t frame_end(const struct log_writer *writer, uint32_t index)
{
    return index + 1 < writer->frames ? writer->frame[index + 1].at : writer->batch_bytes;
}

/* How many frames from `first` on fit into `room`, and their bytes. */
static uint32_t frames_fitting(const struct log_writer *writer, uint32_t first, uint64_t room,
                               uint64_t *ret_bytes)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    for (uint32_t i = first; i < writer->frames; i++) {
        uint64_t with_this = frame_end(writer, i) - writer->frame[first].at;
        if (with_this > room) {
            break;
        }
        bytes = with_this;
        count++;
    }
    *ret_bytes = bytes;
    return count;
}

/* Writes the headers of `count` frames that will stand from `lsn` on. */
static void encode_headers(struct log_writer *writer, uint32_t first, uint32_t count, uint64_t lsn)
{
    struct log *log = writer->log;
    uint64_t watermark = stream_durable(log);
    for (uint32_t i = first; i < first + count; i++) {
        const struct batch_frame *part = &writer->frame[i];
        struct frame frame = {
            .lsn = lsn + (part->at - writer->frame[first].at),
            .watermark = watermark,
            .payload_sum = part->payload_sum,
            .payload_bytes = part->payload_bytes,
            .epoch = log->epoch,
            .records = part->records,
            .record_id = part->record_id,
            .kind = part->kind,
            .shard = log_member_id(log, writer->member),
        };
        frame_encode(&frame, log->store_id, writer->batch + part->at);
    }
}

/* Puts as many frames as fit into the current segment, or fills it if none does. Returns how many.
 */
static int put_frames(struct log_writer *writer, uint32_t first)
{
    struct log *log = writer->log;
    uint64_t start = stream_reserved(log);
    uint64_t bytes;
    uint32_t count;
    do {
        uint64_t room = stream_segment_left(log, start);
        count = frames_fitting(writer, first, room, &bytes);
        if (count == 0) {
            bytes = room;
        }
    } while (!stream_try_reserve(log, writer->member, &start, bytes));

    if (count == 0) {
        TRY(stream_write_pad(log, writer->member, start, bytes));
    } else {
        encode_headers(writer, first, count, start);
        KILL_POINT("log-write");
        TRY(stream_write(log, writer->member, start, writer->batch + writer->frame[first].at,
                         bytes));
        KILL_POINT("log-written");
        writer->end = start + bytes;
        counter_add(&writer->member->frames, count);
    }
    stream_release(writer->member);
    return (int)count;
}

static int put_batch(struct log_writer *writer)
{
    for (uint32_t first = 0; first < writer->frames;) {
        first += (uint32_t)TRY(put_frames(writer, first));
    }
    return 0;
}

/* A sync must not have too much to do, and open descriptors are limited: whatever the mode. */
static void bound_unsynced(struct log_writer *writer)
{
    const struct log *log = writer->log;
    uint64_t limit =
        max_u64(LOG_UNSYNCED_BYTES_MIN, (uint64_t)LOG_UNSYNCED_SEGMENTS * log->segment_bytes);
    if (writer->end > stream_durable(log) + limit) {
        log_want_durable(writer, log_writer_end(writer));
    }
}

void log_flush(struct log_writer *writer)
{
    if (writer->frames == 0) {
        return;
    }
    struct log *log = writer->log;
    ASSERT(log->begun);
    close_frame(writer);
    if (!log_failed(log)) {
        sum_payloads(writer);
        int err = put_batch(writer);
        if (err != 0) {
            LOGGER_WARNING("redo log: a write failed: %s", error_text(err));
            log_fail(log, writer->shard, err);
        }
    }
    if (log_failed(log)) {
        writer->end = LOG_NEVER; /* no gate opens for what was dropped */
    }
    writer->frames = 0;
    writer->batch_bytes = 0;
    sync_arm_timer(writer);
    bound_unsynced(writer);
}
