/*
 * Frame by frame, as recovery sees it.
 */
#include "log/cursor.h"

#include "logs.h"

#include <errno.h>

#include "base/mem.h"
#include "disk.h"

static struct segments files;

static void cursor_begin(struct world *world, struct cursor *cursor, uint64_t position)
{
    cr_assert_eq(segments_init(&files, world->log_dir, WORLD_SEGMENT_BYTES), 0);
    cr_assert_eq(cursor_init(cursor, &files, world->options.store_id, position), 0);
}

static void cursor_end(struct cursor *cursor)
{
    cursor_deinit(cursor);
    segments_deinit(&files);
}

Test(cursor, frames_follow_each_other_without_a_gap)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    for (uint32_t i = 0; i < 20; i++) {
        (void)world_append(&world, 0, i, i * 20000);
    }
    uint64_t end = log_reserved(world.log).value;
    world_stop(&world, false);

    struct cursor cursor;
    cursor_begin(&world, &cursor, 0);
    struct frame frame;
    struct slice payload;
    uint64_t expected = 0;
    uint32_t records = 0;
    int result;
    while ((result = cursor_next(&cursor, &frame, &payload)) == 1) {
        cr_assert_eq(frame.lsn, expected);
        cr_assert(frame.kind == FRAME_PAD || payload.bytes == frame.payload_bytes);
        expected += frame_bytes(&frame);
        records += frame.records + (frame.kind == FRAME_LAST);
        cr_assert_eq(cursor.position, expected);
    }
    cr_assert_eq(result, 0);
    cr_assert_eq(expected, end);
    cr_assert_eq(records, 20);
    cr_assert_eq(cursor_next(&cursor, &frame, &payload), 0); /* stays at the end */
    cursor_end(&cursor);
    world_deinit(&world);
}

Test(cursor, an_open_frame_is_followed_to_the_next_segment)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 1, 10);
    world_stop(&world, false);
    world_start(&world);
    world_stop(&world, false);

    struct cursor cursor;
    cursor_begin(&world, &cursor, end);
    struct frame frame;
    struct slice payload;
    cr_assert_eq(cursor_next(&cursor, &frame, &payload), 1);
    cr_assert_eq(frame.kind, FRAME_OPEN);
    cr_assert_eq(frame.lsn, WORLD_SEGMENT_BYTES);
    cr_assert_eq(frame.previous_end, end);
    cr_assert_eq(frame.epoch, 2);
    cursor_end(&cursor);

    cursor_begin(&world, &cursor, end - 64); /* not where the stream ended */
    cr_assert_eq(cursor_next(&cursor, &frame, &payload), 0);
    cursor_end(&cursor);
    world_deinit(&world);
}

Test(cursor, peeking_stops_at_the_end_of_a_file_and_of_a_segment)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_stop(&world, false);
    struct cursor cursor;
    cursor_begin(&world, &cursor, 0);
    struct slice data;
    cr_assert_eq(cursor_peek(&cursor, WORLD_SEGMENT_BYTES - 100, 4096, &data), 0);
    cr_assert_eq(data.bytes, 100);
    cr_assert_eq(cursor_peek(&cursor, WORLD_SEGMENT_BYTES, 64, &data), 0); /* no such file */
    cr_assert_eq(data.bytes, 0);
    cr_assert_eq(cursor_peek(&cursor, 0, CURSOR_WINDOW_BYTES, &data), 0);
    cr_assert_eq(data.bytes, CURSOR_WINDOW_BYTES);
    cursor_end(&cursor);
    world_deinit(&world);
}

Test(cursor, a_file_that_cannot_be_read_is_an_error_and_not_an_end)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_stop(&world, false);
    static const enum disk_call calls[] = {DISK_OPEN, DISK_READ};
    for (int i = 0; i < 2; i++) {
        struct cursor cursor;
        cursor_begin(&world, &cursor, 0);
        struct frame frame;
        struct slice payload;
        disk_fail(calls[i], 1, -EIO, false);
        cr_assert_eq(cursor_next(&cursor, &frame, &payload), -EIO);
        disk_fail(0, 0, 0, false);
        cr_assert(lines_have("0000000000000000.log: cannot be read"));
        cursor_end(&cursor);
    }
    world_deinit(&world);
}

Test(cursor, a_newer_format_is_an_error_and_not_an_end)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = log_reserved(world.log).value;
    world_stop(&world, false);
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame frame = {.lsn = end, .epoch = 1, .kind = FRAME_DATA};
    frame_encode(&frame, world.options.store_id, header);
    store_le16(header + 30, FRAME_VERSION + 1);
    uint64_t seed = world.options.store_id ^ (end * UINT64_C(0x9e3779b97f4a7c15));
    store_le64(header + 56, frame_sum(seed, header, 56));
    stream_poke(&world, end, header, sizeof(header));
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), ERR_VERSION);
    world_deinit(&world);
}

Test(cursor, no_memory_is_an_error)
{
    struct world world;
    world_init(&world, 1);
    cr_assert_eq(segments_init(&files, world.log_dir, WORLD_SEGMENT_BYTES), 0);
    struct cursor cursor;
    mem_fail_after(1, false);
    cr_assert_eq(cursor_init(&cursor, &files, 1, 0), ERR_MEMORY);
    mem_fail_after(0, false);
    cursor_end(&cursor);
    world_deinit(&world);
}
