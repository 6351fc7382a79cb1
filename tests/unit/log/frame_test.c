/*
 * The header of a frame: what goes in comes out, and nothing else passes.
 */
#include "log/frame.h"

#include <criterion/criterion.h>

#include "base/hash.h"

enum { SEGMENT_BYTES = 1 << 20 };

static const uint64_t store_id = UINT64_C(0x0102030405060708);

static struct frame sample(void)
{
    return (struct frame){
        .lsn = 3 * SEGMENT_BYTES + 640,
        .watermark = 2 * SEGMENT_BYTES,
        .payload_sum = UINT64_C(0x1111222233334444),
        .payload_bytes = 1000,
        .epoch = 5,
        .records = 17,
        .record_id = 9,
        .kind = FRAME_DATA,
        .shard = 3,
    };
}

static int check(const uint8_t *bytes, uint64_t lsn, struct frame *ret_frame)
{
    return frame_check(bytes, store_id, lsn, SEGMENT_BYTES, ret_frame);
}

Test(frame, a_header_is_read_as_it_was_written)
{
    struct frame frame = sample();
    frame.kind = FRAME_OPEN;
    frame.previous_end = 12345 * UINT64_C(64);
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(&frame, store_id, bytes);
    struct frame read;
    cr_assert_eq(check(bytes, frame.lsn, &read), 0);
    cr_assert_eq(read.lsn, frame.lsn);
    cr_assert_eq(read.watermark, frame.watermark);
    cr_assert_eq(read.previous_end, frame.previous_end);
    cr_assert_eq(read.payload_sum, frame.payload_sum);
    cr_assert_eq(read.payload_bytes, frame.payload_bytes);
    cr_assert_eq(read.epoch, frame.epoch);
    cr_assert_eq(read.records, frame.records);
    cr_assert_eq(read.record_id, frame.record_id);
    cr_assert_eq(read.kind, frame.kind);
    cr_assert_eq(read.shard, frame.shard);
}

/* The format on disk: it must not change by accident. */
Test(frame, the_bytes_stand_where_the_format_says)
{
    struct frame frame = sample();
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(&frame, store_id, bytes);
    static const uint8_t wanted[56] = {
        'L',  'E',  'R',  'F',  0xe8, 0x03, 0,    0,    /* magic, payload bytes */
        0x80, 0x02, 0x30, 0,    0,    0,    0,    0,    /* lsn */
        0,    0,    0x20, 0,    0,    0,    0,    0,    /* watermark */
        5,    0,    0,    0,    1,    3,    1,    0,    /* epoch, kind, shard, version */
        17,   0,    0,    0,    9,    0,    0,    0,    /* records, record id */
        0,    0,    0,    0,    0,    0,    0,    0,    /* previous end */
        0x44, 0x44, 0x33, 0x33, 0x22, 0x22, 0x11, 0x11, /* payload sum */
    };
    cr_assert_arr_eq(bytes, wanted, sizeof(wanted));
    uint64_t seed = store_id ^ (frame.lsn * UINT64_C(0x9e3779b97f4a7c15));
    cr_assert_eq(load_le64(bytes + 56), checksum64(bytes, 56, seed));
}

Test(frame, a_header_with_any_bit_flipped_is_none)
{
    struct frame frame = sample();
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(&frame, store_id, bytes);
    for (uint32_t bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(check(bytes, frame.lsn, &frame), ERR_NOT_FOUND, "bit %u", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(check(bytes, frame.lsn, &frame), 0);
}

Test(frame, a_frame_of_another_place_or_store_is_none)
{
    struct frame frame = sample();
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(&frame, store_id, bytes);
    struct frame read;
    cr_assert_eq(check(bytes, frame.lsn + 64, &read), ERR_NOT_FOUND);
    cr_assert_eq(check(bytes, frame.lsn + SEGMENT_BYTES, &read), ERR_NOT_FOUND);
    cr_assert_eq(frame_check(bytes, store_id + 1, frame.lsn, SEGMENT_BYTES, &read), ERR_NOT_FOUND);
    uint8_t zeros[FRAME_HEADER_BYTES] = {0};
    cr_assert_eq(check(zeros, 0, &read), ERR_NOT_FOUND);
}

/* Writes a header that frame_encode would not write, with a right checksum. */
static int check_forged(const struct frame *frame, uint32_t at, uint8_t value)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(frame, store_id, bytes);
    if (at != 0) {
        bytes[at] = value;
        uint64_t seed = store_id ^ (frame->lsn * UINT64_C(0x9e3779b97f4a7c15));
        store_le64(bytes + 56, checksum64(bytes, 56, seed));
    }
    struct frame read;
    return check(bytes, frame->lsn, &read);
}

Test(frame, a_displaced_frame_is_known_by_what_it_says)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    struct frame frame = {.lsn = 640, .watermark = 64, .epoch = 1, .kind = FRAME_DATA};
    struct frame read = {0};
    frame_encode(&frame, 77, bytes);
    cr_assert_eq(frame_check(bytes, 77, 704, 1 << 20, &read), ERR_NOT_FOUND);
    cr_assert_eq(frame_check_displaced(bytes, 77, 1 << 20, &read), 0);
    cr_assert_eq(read.lsn, 640);
    cr_assert_eq(read.watermark, 64);
    cr_assert_eq(frame_check_displaced(bytes, 78, 1 << 20, &read), ERR_NOT_FOUND);
    bytes[8] ^= 64;
    cr_assert_eq(frame_check_displaced(bytes, 77, 1 << 20, &read), ERR_NOT_FOUND);
}

Test(frame, a_header_that_says_what_cannot_be_is_none)
{
    struct frame frame = sample();
    frame.payload_bytes = FRAME_PAYLOAD_BYTES_MAX;
    cr_assert_eq(check_forged(&frame, 0, 0), 0);
    frame.payload_bytes = FRAME_PAYLOAD_BYTES_MAX + 1;
    cr_assert_eq(check_forged(&frame, 0, 0), ERR_NOT_FOUND);

    frame = sample();
    frame.lsn = SEGMENT_BYTES * 3 - 1088;
    cr_assert_eq(check_forged(&frame, 0, 0), 0);
    frame.lsn += 64; /* would cross the segment's end */
    cr_assert_eq(check_forged(&frame, 0, 0), ERR_NOT_FOUND);

    frame = sample();
    cr_assert_eq(check_forged(&frame, 28, 0), ERR_NOT_FOUND); /* kinds */
    cr_assert_eq(check_forged(&frame, 28, FRAME_OPEN + 1), ERR_NOT_FOUND);
    cr_assert_eq(check_forged(&frame, 22, 0xff), ERR_NOT_FOUND); /* watermark above the lsn */
    frame.epoch = 0;
    cr_assert_eq(check_forged(&frame, 0, 0), ERR_NOT_FOUND);
}

Test(frame, a_newer_version_is_told_from_garbage)
{
    struct frame frame = sample();
    cr_assert_eq(check_forged(&frame, 30, 2), ERR_VERSION);
}

Test(frame, padding_may_fill_a_whole_segment)
{
    struct frame frame = {
        .lsn = SEGMENT_BYTES,
        .payload_bytes = SEGMENT_BYTES - FRAME_HEADER_BYTES,
        .epoch = 1,
        .kind = FRAME_PAD,
    };
    cr_assert_eq(check_forged(&frame, 0, 0), 0);
    cr_assert_eq(frame_bytes(&frame), SEGMENT_BYTES);
    frame.payload_bytes++;
    cr_assert_eq(check_forged(&frame, 0, 0), ERR_NOT_FOUND);
}

/* ---- records ---- */

Test(frame, records_are_taken_off_one_by_one)
{
    const uint8_t bytes[] = {0, 7, 3, 8, 'a', 'b', 'c', 1, 9, 'd'};
    struct slice left = slice_of(bytes, sizeof(bytes));
    uint8_t type;
    struct slice body;
    cr_assert_eq(frame_record_decode(&left, &type, &body), 0);
    cr_assert_eq(type, 7);
    cr_assert_eq(body.bytes, 0);
    cr_assert_eq(frame_record_decode(&left, &type, &body), 0);
    cr_assert_eq(type, 8);
    cr_assert(slice_equal(body, slice_cstr("abc")));
    cr_assert_eq(frame_record_decode(&left, &type, &body), 0);
    cr_assert_eq(type, 9);
    cr_assert_eq(left.bytes, 0);
}

Test(frame, a_record_that_ends_early_is_refused)
{
    const uint8_t bytes[] = {3, 8, 'a', 'b', 'c'};
    for (size_t length = 0; length < sizeof(bytes); length++) {
        struct slice left = slice_of(bytes, length);
        uint8_t type;
        struct slice body;
        cr_assert_eq(frame_record_decode(&left, &type, &body), ERR_TRUNCATED);
    }
    const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 2};
    struct slice left = slice_of(huge, sizeof(huge));
    uint8_t type;
    struct slice body;
    cr_assert_eq(frame_record_decode(&left, &type, &body), ERR_TRUNCATED);
    const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    left = slice_of(endless, sizeof(endless));
    cr_assert_eq(frame_record_decode(&left, &type, &body), ERR_LIMIT);
}
