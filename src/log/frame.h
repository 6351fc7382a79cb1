/*
 * frame: what the log's stream is made of. Every byte of the stream up to its end belongs to a
 * frame. A frame begins at a multiple of FRAME_ALIGN_BYTES, so a header always fits before the end
 * of a segment, and never crosses a segment.
 *
 *     DATA                 whole records, one after the other
 *     FIRST MIDDLE* LAST   one record too large for a frame, in pieces; pieces of several shards'
 *                          records may be interleaved, those of one shard's stand in order
 *     PAD                  nothing: fills a 4 KiB block before a sync, or the rest of a segment
 *     OPEN                 the first frame after an opening: names the end of the stream before
 *                          it, and stands at the start of the next segment or at that end itself
 *
 * Bytes, little-endian, are laid down in frame.c. Any thread; nothing suspends.
 */
#ifndef LOG_FRAME_H
#define LOG_FRAME_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/slice.h"

enum {
    FRAME_HEADER_BYTES = 64,
    FRAME_ALIGN_BYTES = 64,
    FRAME_BLOCK_BYTES = 4096,    /* a sync ends at a multiple of it */
    FRAME_BYTES_MAX = 256 << 10, /* header and payload; PAD may be longer */
    FRAME_PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - FRAME_HEADER_BYTES,
    FRAME_MAGIC = 0x4652454c, /* "LERF" */
    FRAME_VERSION = 1,
};

enum frame_kind {
    FRAME_DATA = 1,
    FRAME_FIRST,
    FRAME_MIDDLE,
    FRAME_LAST,
    FRAME_PAD,
    FRAME_OPEN,
};

/* A header in memory. */
struct frame {
    uint64_t lsn;          /* its own position */
    uint64_t watermark;    /* everything below was durable when it was written; never above lsn */
    uint64_t previous_end; /* OPEN: where the stream before it ended */
    uint64_t payload_sum;  /* frame_sum of the payload; 0 for PAD, whose payload is anything */
    uint32_t payload_bytes;
    uint32_t epoch;
    uint32_t records;   /* DATA: how many */
    uint32_t record_id; /* FIRST, MIDDLE, LAST: the same for all pieces of a record */
    uint8_t kind;       /* enum frame_kind */
    uint8_t shard;      /* the writer */
};

/* The position after the frame, from its start. */
static inline uint64_t frame_bytes(const struct frame *frame)
{
    return align_up(FRAME_HEADER_BYTES + (uint64_t)frame->payload_bytes, FRAME_ALIGN_BYTES);
}

/* The checksum of a payload. */
uint64_t frame_sum(uint64_t store_id, const void *payload, size_t bytes);

/* Writes FRAME_HEADER_BYTES to `to`. */
void frame_encode(const struct frame *frame, uint64_t store_id, uint8_t *to);

/*
 * Checks FRAME_HEADER_BYTES bytes that should be the header of a frame at position `lsn` of a log
 * with segments of `segment_bytes`. Returns 0; ERR_NOT_FOUND if they are none (never written, torn,
 * stale, of another store); ERR_VERSION if they are one of a newer format. The payload is not
 * looked at.
 */
NODISCARD int frame_check(const uint8_t *from, uint64_t store_id, uint64_t lsn,
                          uint32_t segment_bytes, struct frame *ret_frame);

/* The same for a header that was written for whatever position: what it says is true of the log
 * wherever it is found. */
NODISCARD int frame_check_displaced(const uint8_t *from, uint64_t store_id, uint32_t segment_bytes,
                                    struct frame *ret_frame);

/* A record within a DATA payload, or a record put together from pieces: varint length of the body,
 * type, body. */
enum { FRAME_RECORD_OVERHEAD_MAX = 11 };

/* Takes the first record off `left`. Returns 0, ERR_TRUNCATED or ERR_LIMIT. */
NODISCARD int frame_record_decode(struct slice *left, uint8_t *ret_type, struct slice *ret_body);

#endif
