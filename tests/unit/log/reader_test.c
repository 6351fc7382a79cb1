/*
 * Records out of frames: starting in the middle, pieces of several shards, and frames that are
 * whole but say what no writer says.
 */
#include "logs.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/varint.h"
#include "log/frame.h"

/* Puts a frame at `lsn` into the file; returns the place after it. */
static uint64_t put_frame(struct world *world, uint64_t lsn, struct frame frame,
                          const void *payload, size_t bytes)
{
    frame.lsn = lsn;
    frame.epoch = world->options.epoch - 1;
    frame.payload_bytes = (uint32_t)bytes;
    frame.payload_sum = frame_sum(world->options.store_id, payload, bytes);
    uint8_t header[FRAME_HEADER_BYTES];
    frame_encode(&frame, world->options.store_id, header);
    stream_poke(world, lsn, header, sizeof(header));
    stream_poke(world, lsn + FRAME_HEADER_BYTES, payload, bytes);
    return lsn + frame_bytes(&frame);
}

/* A log of nothing but its opening; returns the place after it. */
static uint64_t begin_by_hand(struct world *world)
{
    world_init(world, 1);
    world_start(world);
    uint64_t end = log_reserved(world->log).value;
    world_stop(world, false);
    return end;
}

static size_t make_record(uint8_t *to, uint32_t shard, uint32_t number, size_t bytes)
{
    size_t at = varint_encode_u64(to, bytes);
    to[at++] = (uint8_t)number;
    record_fill(to + at, bytes, shard, number);
    return at + bytes;
}

Test(reader, begins_at_any_frame)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t ends[10];
    for (uint32_t i = 0; i < 10; i++) {
        ends[i] = world_append(&world, 0, i, 100 + i * 50000);
    }
    world_stop(&world, false);
    cr_assert_eq(world_open(&world), 0);
    for (uint32_t i = 0; i < 10; i++) {
        struct records_seen seen;
        records_read(&world, ends[i], &seen);
        cr_assert_eq(seen.result, 0);
        cr_assert_eq(seen.count, 9 - i);
        cr_assert(i == 9 || seen.records[0].number == i + 1);
        cr_assert(i == 9 || seen.records[0].lsn.value >= ends[i]);
        records_deinit(&seen);
    }
    world_close(&world);
    world_deinit(&world);
}

Test(reader, a_start_where_no_frame_can_be_is_refused)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, 100);
    world_stop(&world, false);
    cr_assert_eq(world_open(&world), 0);
    struct records_seen seen;
    records_read(&world, end + 64, &seen);
    cr_assert_eq(seen.result, ERR_CORRUPT);
    records_read(&world, end - 1, &seen);
    cr_assert_eq(seen.result, ERR_CORRUPT);
    records_read(&world, end - 64, &seen); /* aligned, but within a frame */
    cr_assert_eq(seen.result, ERR_CORRUPT);
    records_read(&world, end, &seen);
    cr_assert_eq(seen.result, 0);
    cr_assert_eq(seen.count, 0);
    world_close(&world);
    world_deinit(&world);
}

Test(reader, a_partition_that_needs_everything_begins_where_the_log_does)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, 100);
    (void)world_append(&world, 0, 2, 100);
    world_stop(&world, false);
    world.options.start.value = end;
    cr_assert_eq(world_open(&world), 0);
    struct records_seen seen;
    records_read(&world, 0, &seen);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.records[0].number, 2);
    records_deinit(&seen);
    world_close(&world);
    world_deinit(&world);
}

/* ---- pieces ---- */

enum { PIECE_BYTES = 300 };

struct pieces {
    uint8_t record[2][3 * PIECE_BYTES];
    size_t bytes[2];
};

static void make_pieces(struct pieces *pieces)
{
    for (uint32_t shard = 0; shard < 2; shard++) {
        pieces->bytes[shard] =
            make_record(pieces->record[shard], shard, 40 + shard, 3 * PIECE_BYTES - 3);
        cr_assert_eq(pieces->bytes[shard], 3 * PIECE_BYTES);
    }
}

static uint64_t put_piece(struct world *world, uint64_t at, const struct pieces *pieces,
                          uint32_t shard, uint32_t piece, uint32_t record_id)
{
    static const enum frame_kind kinds[] = {FRAME_FIRST, FRAME_MIDDLE, FRAME_LAST};
    struct frame frame = {
        .kind = (uint8_t)kinds[piece], .shard = (uint8_t)shard, .record_id = record_id};
    return put_frame(world, at, frame, pieces->record[shard] + piece * PIECE_BYTES, PIECE_BYTES);
}

Test(reader, pieces_of_two_shards_may_be_interleaved)
{
    struct world world;
    uint64_t at = begin_by_hand(&world);
    struct pieces pieces;
    make_pieces(&pieces);
    at = put_piece(&world, at, &pieces, 0, 0, 1);
    at = put_piece(&world, at, &pieces, 1, 0, 1);
    at = put_piece(&world, at, &pieces, 1, 1, 1);
    at = put_piece(&world, at, &pieces, 0, 1, 1);
    uint64_t last_of_one = at;
    at = put_piece(&world, at, &pieces, 1, 2, 1);
    uint64_t last_of_zero = at;
    (void)put_piece(&world, at, &pieces, 0, 2, 1);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.records[0].shard, 1);
    cr_assert_eq(seen.records[0].lsn.value, last_of_one);
    cr_assert_eq(seen.records[1].shard, 0);
    cr_assert_eq(seen.records[1].lsn.value, last_of_zero);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(reader, a_record_that_began_before_the_start_is_passed_over)
{
    struct world world;
    uint64_t at = begin_by_hand(&world);
    struct pieces pieces;
    make_pieces(&pieces);
    at = put_piece(&world, at, &pieces, 0, 0, 1);
    world.options.start.value = at;
    at = put_piece(&world, at, &pieces, 1, 0, 1);
    at = put_piece(&world, at, &pieces, 0, 1, 1);
    at = put_piece(&world, at, &pieces, 1, 1, 1);
    at = put_piece(&world, at, &pieces, 0, 2, 1);
    (void)put_piece(&world, at, &pieces, 1, 2, 1);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.records[0].shard, 1);
    records_deinit(&seen);
    world_deinit(&world);
}

static void expect_damage(struct world *world, const char *what)
{
    struct records_seen seen;
    lines_clear();
    cr_assert_eq(world_recover(world, &seen), ERR_CORRUPT);
    cr_assert(lines_have(what), "not said: %s", what);
    cr_assert(lines_have("0000000000000000.log at offset "));
    records_deinit(&seen);
    world_deinit(world);
}

Test(reader, pieces_that_do_not_belong_together_are_damage)
{
    lines_catch();
    struct world world;
    struct pieces pieces;
    make_pieces(&pieces);

    uint64_t at = begin_by_hand(&world);
    at = put_piece(&world, at, &pieces, 0, 0, 1);
    (void)put_piece(&world, at, &pieces, 0, 1, 2);
    expect_damage(&world, "a piece of another record");

    at = begin_by_hand(&world);
    at = put_piece(&world, at, &pieces, 0, 0, 1);
    (void)put_piece(&world, at, &pieces, 0, 0, 2);
    expect_damage(&world, "a record begins within another");

    at = begin_by_hand(&world);
    (void)put_piece(&world, at, &pieces, 0, 2, 1);
    expect_damage(&world, "a record without beginning");

    at = begin_by_hand(&world); /* the middle one is missing */
    at = put_piece(&world, at, &pieces, 0, 0, 1);
    (void)put_piece(&world, at, &pieces, 0, 2, 1);
    expect_damage(&world, "a record that is no record");
}

/* ---- whole frames ---- */

Test(reader, a_frame_whose_records_are_not_as_many_as_it_says_is_damage)
{
    lines_catch();
    uint8_t payload[200];
    size_t bytes = make_record(payload, 0, 1, 50);
    bytes += make_record(payload + bytes, 0, 2, 50);
    for (uint32_t records = 0; records <= 4; records++) {
        struct world world;
        uint64_t at = begin_by_hand(&world);
        struct frame frame = {.kind = FRAME_DATA, .records = records};
        (void)put_frame(&world, at, frame, payload, bytes);
        struct records_seen seen;
        cr_assert_eq(world_recover(&world, &seen), records == 2 ? 0 : ERR_CORRUPT);
        cr_assert_eq(seen.count, records < 2 ? records : 2);
        records_deinit(&seen);
        world_deinit(&world);
    }
}

Test(reader, a_record_longer_than_its_frame_is_damage)
{
    lines_catch();
    struct world world;
    uint64_t at = begin_by_hand(&world);
    uint8_t payload[100];
    size_t bytes = make_record(payload, 0, 1, 50);
    struct frame frame = {.kind = FRAME_DATA, .records = 1};
    (void)put_frame(&world, at, frame, payload, bytes - 1);
    expect_damage(&world, "a record that is no record");
}

Test(reader, a_file_that_changes_after_it_was_checked_is_noticed)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, 100);
    world_stop(&world, false);
    cr_assert_eq(world_open(&world), 0);
    stream_zero(&world, end - 64, 64);
    struct records_seen seen;
    records_read(&world, 0, &seen);
    cr_assert_eq(seen.result, ERR_CORRUPT);
    cr_assert(lines_have("has changed"));
    records_deinit(&seen);
    world_close(&world);
    world_deinit(&world);
}

Test(reader, no_memory_is_an_error)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, 1 << 20);
    world_stop(&world, false);
    cr_assert_eq(world_open(&world), 0);
    struct log_reader *reader;
    for (uint64_t n = 1; n <= 3; n++) {
        mem_fail_after(n, true);
        int err = log_reader_open(world.log, (struct lsn){0}, &reader);
        struct log_record record;
        if (err == 0) {
            err = log_reader_next(reader, &record);
            log_reader_close(reader);
        }
        mem_fail_after(0, false);
        cr_assert_eq(err, ERR_MEMORY);
    }
    world_close(&world);
    world_deinit(&world);
}
