/*
 * A frame, byte by byte; numbers are little-endian.
 *
 *      0  u32  magic "LERF"
 *      4  u32  payload bytes
 *      8  u64  lsn: the frame's own position in the stream
 *     16  u64  watermark: everything below was durable when the frame was written
 *     24  u32  epoch: which opening of the store wrote it
 *     28  u8   kind
 *     29  u8   shard that wrote it
 *     30  u16  version of this format
 *     32  u32  records (DATA), else 0
 *     36  u32  record id (FIRST, MIDDLE, LAST), else 0
 *     40  u64  end of the stream before this opening (OPEN), else 0
 *     48  u64  XXH3-64 of the payload, seeded with the store id (PAD: 0, its payload is anything)
 *     56  u64  XXH3-64 of the 56 bytes above, seeded with the store id and the lsn
 *     64       payload, then zeros up to a multiple of 64
 *
 * The header has a checksum of its own, so no length is trusted before it is proven, and the lsn in
 * it is compared with the place where it was found: a left-over of a recycled segment, a frame that
 * was put elsewhere, and a frame of another store never pass. Magic, version and header checksum
 * keep their place in every later version.
 *
 * A record:
 *
 *      varint  bytes of the body
 *      u8      type, the caller's
 *      ...     body
 */
#include "log/frame.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/varint.h"

enum {
    AT_MAGIC = 0,
    AT_PAYLOAD_BYTES = 4,
    AT_LSN = 8,
    AT_WATERMARK = 16,
    AT_EPOCH = 24,
    AT_KIND = 28,
    AT_SHARD = 29,
    AT_VERSION = 30,
    AT_RECORDS = 32,
    AT_RECORD_ID = 36,
    AT_PREVIOUS_END = 40,
    AT_PAYLOAD_SUM = 48,
    AT_HEADER_SUM = 56,
};

static_assert(AT_HEADER_SUM + sizeof(uint64_t) == FRAME_HEADER_BYTES, "the header is full");
static_assert(FRAME_HEADER_BYTES <= FRAME_ALIGN_BYTES, "a header fits wherever a frame may begin");
static_assert(FRAME_BLOCK_BYTES % FRAME_ALIGN_BYTES == 0, "a block is whole frames");
static_assert(FRAME_BYTES_MAX % FRAME_ALIGN_BYTES == 0, "the largest frame needs no padding");
static_assert(FRAME_RECORD_OVERHEAD_MAX == VARINT_U64_BYTES_MAX + 1, "length and type");

uint64_t frame_sum(uint64_t store_id, const void *payload, size_t bytes)
{
    return checksum64(payload, bytes, store_id);
}

static uint64_t header_sum(const uint8_t *header, uint64_t store_id, uint64_t lsn)
{
    return checksum64(header, AT_HEADER_SUM, store_id ^ (lsn * UINT64_C(0x9e3779b97f4a7c15)));
}

void frame_encode(const struct frame *frame, uint64_t store_id, uint8_t *to)
{
    ASSERT(is_aligned(frame->lsn, FRAME_ALIGN_BYTES));
    ASSERT(frame->watermark <= frame->lsn);
    store_le32(to + AT_MAGIC, FRAME_MAGIC);
    store_le32(to + AT_PAYLOAD_BYTES, frame->payload_bytes);
    store_le64(to + AT_LSN, frame->lsn);
    store_le64(to + AT_WATERMARK, frame->watermark);
    store_le32(to + AT_EPOCH, frame->epoch);
    to[AT_KIND] = frame->kind;
    to[AT_SHARD] = frame->shard;
    store_le16(to + AT_VERSION, FRAME_VERSION);
    store_le32(to + AT_RECORDS, frame->records);
    store_le32(to + AT_RECORD_ID, frame->record_id);
    store_le64(to + AT_PREVIOUS_END, frame->previous_end);
    store_le64(to + AT_PAYLOAD_SUM, frame->payload_sum);
    store_le64(to + AT_HEADER_SUM, header_sum(to, store_id, frame->lsn));
}

static struct frame header_load(const uint8_t *from)
{
    return (struct frame){
        .lsn = load_le64(from + AT_LSN),
        .watermark = load_le64(from + AT_WATERMARK),
        .previous_end = load_le64(from + AT_PREVIOUS_END),
        .payload_sum = load_le64(from + AT_PAYLOAD_SUM),
        .payload_bytes = load_le32(from + AT_PAYLOAD_BYTES),
        .epoch = load_le32(from + AT_EPOCH),
        .records = load_le32(from + AT_RECORDS),
        .record_id = load_le32(from + AT_RECORD_ID),
        .kind = from[AT_KIND],
        .shard = from[AT_SHARD],
    };
}

/* What a right checksum alone does not promise. */
static bool header_is_sane(const struct frame *frame, uint32_t segment_bytes)
{
    uint64_t bytes_left = segment_bytes - frame->lsn % segment_bytes;
    bool fits = frame_bytes(frame) <= bytes_left &&
                (frame->kind == FRAME_PAD || frame->payload_bytes <= FRAME_PAYLOAD_BYTES_MAX);
    bool kind_known = frame->kind >= FRAME_DATA && frame->kind <= FRAME_OPEN;
    return fits && kind_known && frame->watermark <= frame->lsn && frame->epoch > 0;
}

int frame_check(const uint8_t *from, uint64_t store_id, uint64_t lsn, uint32_t segment_bytes,
                struct frame *ret_frame)
{
    if (load_le32(from + AT_MAGIC) != FRAME_MAGIC || load_le64(from + AT_LSN) != lsn ||
        load_le64(from + AT_HEADER_SUM) != header_sum(from, store_id, lsn)) {
        return ERR_NOT_FOUND;
    }
    if (load_le16(from + AT_VERSION) != FRAME_VERSION) {
        return ERR_VERSION;
    }
    struct frame frame = header_load(from);
    if (!header_is_sane(&frame, segment_bytes)) {
        return ERR_NOT_FOUND;
    }
    *ret_frame = frame;
    return 0;
}

int frame_check_displaced(const uint8_t *from, uint64_t store_id, uint32_t segment_bytes,
                          struct frame *ret_frame)
{
    return frame_check(from, store_id, load_le64(from + AT_LSN), segment_bytes, ret_frame);
}

int frame_record_decode(struct slice *left, uint8_t *ret_type, struct slice *ret_body)
{
    uint64_t body_bytes;
    size_t at = (size_t)TRY(varint_decode_u64(left->data, left->bytes, &body_bytes));
    if (left->bytes - at < 1 || left->bytes - at - 1 < body_bytes) {
        return ERR_TRUNCATED;
    }
    *ret_type = left->data[at];
    *ret_body = slice_of(left->data + at + 1, body_bytes);
    *left = slice_skip(*left, at + 1 + body_bytes);
    return 0;
}
