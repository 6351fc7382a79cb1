/*
 * Taking positions, and what counts as written. Writers are played by hand through their marks.
 */
#include "logs.h"

#include "base/bytes.h"
#include "log/log_impl.h"
#include "log/stream.h"

Test(stream, written_is_the_lowest_position_in_flight)
{
    struct world world;
    world_init(&world, 3);
    world_start(&world);
    struct log *log = world.log;
    uint64_t base = stream_reserved(log);
    cr_assert_eq(stream_written(log), base);

    uint64_t one = base;
    uint64_t two = base + 128;
    cr_assert(stream_try_reserve(log, &log->members[1], &one, 128));
    cr_assert(stream_try_reserve(log, &log->members[2], &two, 256));
    cr_assert_eq(stream_reserved(log), base + 384);
    cr_assert_eq(stream_written(log), base);
    stream_release(&log->members[2]); /* the later one first */
    cr_assert_eq(stream_written(log), base);
    stream_release(&log->members[1]);
    cr_assert_eq(stream_written(log), base + 384);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(stream, a_lost_race_tells_what_is_reserved_and_holds_nothing_once_released)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    struct log *log = world.log;
    uint64_t base = stream_reserved(log);
    uint64_t start = base - 64;
    cr_assert(!stream_try_reserve(log, &log->members[0], &start, 64));
    cr_assert_eq(start, base);
    cr_assert_eq(stream_reserved(log), base);
    stream_release(&log->members[0]);
    cr_assert_eq(stream_written(log), base);
    world_stop(&world, false);
    world_deinit(&world);
}

/* A mark that is too low for a moment must not take back what was said. */
Test(stream, written_never_falls)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    struct log *log = world.log;
    uint64_t written = stream_written(log);
    atomic_store(&log->members[0].in_flight, written - 640);
    cr_assert_eq(stream_written(log), written);
    stream_release(&log->members[0]);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(stream, padding_ends_at_a_block_and_adds_nothing_to_a_full_one)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    struct log *log = world.log;
    uint64_t end;
    uint64_t base = stream_reserved(log);
    cr_assert(is_aligned(base, FRAME_BLOCK_BYTES));
    cr_assert_eq(stream_pad_block(log, &log->members[0], &end), 0);
    cr_assert_eq(end, base);
    for (size_t bytes = 1; bytes < 9000; bytes += 701) {
        uint64_t record_end = world_append(&world, 0, (uint32_t)bytes, bytes);
        cr_assert_eq(stream_pad_block(log, &log->members[0], &end), 0);
        cr_assert_eq(end, align_up(record_end, FRAME_BLOCK_BYTES));
        cr_assert_eq(stream_written(log), end);
    }
    world_stop(&world, false);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 13);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(stream, a_mark_is_only_written_right_after_what_is_durable)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    bool written;
    (void)world_append(&world, 0, 1, 100);
    uint64_t reserved = stream_reserved(world.log);
    cr_assert_eq(stream_write_mark(world.log, &written), 0);
    cr_assert(!written);
    cr_assert_eq(stream_reserved(world.log), reserved);
    cr_assert_eq(stream_written(world.log), reserved);
    cr_assert_eq(world_sync(&world, 0), 0);
    cr_assert_eq(stream_write_mark(world.log, &written), 0);
    cr_assert(written);
    cr_assert_eq(stream_written(world.log), stream_durable(world.log) + FRAME_HEADER_BYTES);
    world_stop(&world, false);
    world_deinit(&world);
}

/* The stream may end exactly at the end of a segment that is the last prepared one. */
Test(stream, no_mark_where_no_segment_is_prepared)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t left = stream_segment_left(world.log, stream_reserved(world.log));
    while (left > FRAME_BYTES_MAX) {
        (void)world_append(&world, 0, 1, 100000);
        left = stream_segment_left(world.log, stream_reserved(world.log));
    }
    (void)world_append(&world, 0, 2, left - FRAME_HEADER_BYTES - 4);
    cr_assert_eq(stream_reserved(world.log), WORLD_SEGMENT_BYTES);
    cr_assert_eq(world_sync(&world, 0), 0);
    bool written;
    cr_assert_eq(stream_write_mark(world.log, &written), 0);
    cr_assert(!written);
    world_stop(&world, true);
    cr_assert(!segment_is_there(&world, 1));

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    uint32_t count = seen.count;
    records_deinit(&seen);
    world_start(&world); /* goes on at the border */
    (void)world_append(&world, 0, 3, 100);
    world_stop(&world, false);
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, count + 1);
    records_deinit(&seen);
    world_deinit(&world);
}
