/*
 * Opening and closing as a whole: options, faults at every step, figures.
 */
#include "logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "disk.h"
#include "log/log_impl.h"

static int open_with(struct world *world)
{
    int err = world_open(world);
    if (err == 0) {
        world_close(world);
    }
    return err;
}

Test(log, options_out_of_range_are_refused)
{
    struct world world;
    world_init(&world, 1);
    struct log_options good = world.options;
    world.options.segment_bytes = LOG_SEGMENT_BYTES_MIN / 2;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    world.options.segment_bytes = 3 << 20;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    world.options = good;
    world.options.shards = SHARDS_MAX + 1;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    world.options.shards = 0;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    world.options = good;
    world.options.epoch = 0;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    world.options = good;
    world.options.spare_segments = LOG_SPARE_SEGMENTS_MAX + 1;
    cr_assert_eq(open_with(&world), ERR_CONFIG);
    char name[SEGMENT_DIR_BYTES_MAX + 1];
    memset(name, 'd', sizeof(name));
    name[SEGMENT_DIR_BYTES_MAX] = '\0';
    world.options = good;
    world.options.dir = name;
    cr_assert_eq(open_with(&world), ERR_LIMIT);
    world.options = good;
    world.options.shards = SHARDS_MAX;
    world.options.spare_segments = LOG_SPARE_SEGMENTS_MAX;
    cr_assert_eq(open_with(&world), 0);
    world_deinit(&world);
}

Test(log, opening_writes_nothing)
{
    struct world world;
    world_init(&world, 1);
    cr_assert_eq(open_with(&world), 0);
    cr_assert_neq(access(world.log_dir, F_OK), 0);
    world_deinit(&world);
}

/* A process that was killed leaves what it wrote in the page cache. */
static void write_segments_unsynced(struct world *world, uint32_t segments)
{
    world_init(world, 1);
    world_start(world);
    for (uint32_t i = 0; log_reserved(world->log).value < segments * WORLD_SEGMENT_BYTES; i++) {
        (void)world_append(world, 0, i, 100000);
        world_housekeep(world);
    }
    world_stop(world, false);
}

Test(log, what_is_found_is_synced_before_it_is_handed_out)
{
    enum { SEGMENTS = 3 };
    struct world world;
    write_segments_unsynced(&world, SEGMENTS - 1);
    for (uint64_t n = 1; n <= SEGMENTS; n++) {
        disk_fail(DISK_SYNC, n, -EIO, false);
        cr_assert_eq(open_with(&world), -EIO, "sync %llu", (unsigned long long)n);
    }
    disk_fail(DISK_SYNC, SEGMENTS + 1, -EIO, false);
    cr_assert_eq(open_with(&world), 0);
    cr_assert(!disk_has_failed());
    disk_fail(0, 0, 0, false);
    world_deinit(&world);
}

/* After a failed sync the kernel may have it in memory only, where no sync finds it any more. */
Test(log, what_may_not_be_durable_is_written_again)
{
    enum { SEGMENTS = 3 };
    struct world world;
    write_segments_unsynced(&world, SEGMENTS - 1);
    disk_fail(DISK_WRITE, 1, -EIO, false);
    cr_assert_eq(open_with(&world), -EIO);
    disk_fail(DISK_WRITE, SEGMENTS, -EIO, false);
    cr_assert_eq(open_with(&world), -EIO);
    disk_fail(0, 0, 0, false);
    struct records_seen before;
    cr_assert_eq(world_recover(&world, &before), 0);
    struct records_seen after;
    cr_assert_eq(world_recover(&world, &after), 0);
    cr_assert_eq(after.count, before.count);
    records_deinit(&before);
    records_deinit(&after);
    world_deinit(&world);
}

Test(log, another_number_of_shards_reads_the_same_records)
{
    struct world world;
    world_init(&world, 4);
    world_start(&world);
    for (uint32_t i = 0; i < 40; i++) {
        (void)world_append(&world, i % 4, i, 100);
    }
    world_stop(&world, true);
    world.shards = 1;
    world.options.shards = 1;
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 40);
    records_deinit(&seen);
    world_deinit(&world);
}

/* Three lives with a record each; the fault strikes in the third. */
static void write_two_lives(struct world *world)
{
    world_init(world, 1);
    for (uint32_t i = 0; i < 2; i++) {
        world_start(world);
        (void)world_append(world, 0, i, 500);
        world_stop(world, i == 0);
    }
}

/* Opens, begins, keeps house, closes. The first error; what goes wrong while preparing may be
 * cured. */
static int third_life(struct world *world)
{
    int err = world_open(world);
    if (err != 0) {
        return err;
    }
    err = log_begin(world->log);
    cr_assert_eq(disk_has_failed(), err != 0);
    if (err == 0) {
        for (int i = 0; i < 6; i++) {
            (void)log_housekeep(world->log);
        }
        err = log_error(world->log);
    }
    int close_err = log_close(world->log, true);
    world->log = NULL;
    return err != 0 ? err : close_err;
}

/* Every call to the disk fails once, or from there on; afterwards the two records are still there.
 */
static uint64_t sweep_faults(bool sticky)
{
    uint64_t n = 0;
    bool failed;
    do {
        struct world world;
        write_two_lives(&world);
        disk_fail(DISK_ANY, ++n, -EIO, sticky);
        int err = third_life(&world);
        failed = disk_has_failed();
        disk_fail(0, 0, 0, false);
        cr_assert(err == 0 || failed, "call %llu: %s", (unsigned long long)n, error_text(err));
        cr_assert(err != 0 || !failed || !sticky, "call %llu", (unsigned long long)n);
        struct records_seen seen;
        err = world_recover(&world, &seen);
        cr_assert_eq(err, 0, "after call %llu: %s", (unsigned long long)n, error_text(err));
        cr_assert_eq(seen.count, 2);
        records_deinit(&seen);
        world_deinit(&world);
    } while (failed);
    return n;
}

Test(log, a_disk_call_that_fails_costs_no_record, .timeout = 300)
{
    lines_catch();
    cr_assert_gt(sweep_faults(false), 20);
    cr_assert_gt(sweep_faults(true), 20);
}

Test(log, no_memory_is_an_error)
{
    struct world world;
    write_two_lives(&world);
    uint64_t n = 0;
    int err;
    do {
        mem_fail_after(++n, false);
        err = open_with(&world);
        mem_fail_after(0, false);
        cr_assert(err == 0 || err == ERR_MEMORY);
    } while (err != 0);
    cr_assert_gt(n, 3);
    world_deinit(&world);
}

Test(log, a_crash_right_after_beginning_is_like_none)
{
    struct world world;
    write_two_lives(&world);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_eq(world_open(&world), 0);
        cr_assert_eq(log_begin(world.log), 0);
        world_close(&world);
    }
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 2);
    records_deinit(&seen);
    world_deinit(&world);
}

/* ---- beginning on a full disk ---- */

static void assert_records(struct world *world, uint32_t count)
{
    struct records_seen seen;
    int err = world_recover(world, &seen);
    cr_assert_eq(err, 0, "%s", error_text(err));
    cr_assert_eq(seen.count, count, "%u records", seen.count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(seen.records[i].number, i);
    }
    records_deinit(&seen);
}

Test(log, without_room_it_goes_on_in_its_last_segment)
{
    static const int errors[] = {-ENOSPC, -EDQUOT};
    lines_catch();
    for (uint32_t i = 0; i < 2; i++) {
        struct world world;
        write_two_lives(&world);
        disk_fill(errors[i]);
        for (uint32_t life = 2; life < 8; life++) {
            world_start(&world);
            cr_assert(!segment_is_there(&world, 2));
            (void)world_append(&world, 0, life, 300);
            world_stop(&world, life % 2 == 0);
        }
        cr_assert(lines_have("no room for a new segment"));
        assert_records(&world, 8);
        disk_fill(0);
        world_start(&world);
        cr_assert(segment_is_there(&world, 2));
        (void)world_append(&world, 0, 8, 300);
        world_stop(&world, true);
        assert_records(&world, 9);
        world_deinit(&world);
    }
}

Test(log, another_error_than_no_room_is_returned)
{
    struct world world;
    write_two_lives(&world);
    disk_fill(-EIO);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(log_begin(world.log), -EIO);
    world_close(&world);
    disk_fill(0);
    assert_records(&world, 2);
    world_deinit(&world);
}

Test(log, without_room_a_segment_that_nobody_needs_is_used_again)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t end = world_append(&world, 0, 0, WORLD_SEGMENT_BYTES);
    world_stop(&world, true);
    world.options.start.value = end;
    uint64_t next = end / WORLD_SEGMENT_BYTES + 1;
    disk_fill(-ENOSPC);
    world_start(&world);
    cr_assert(segment_is_there(&world, next));
    cr_assert(!segment_is_there(&world, 0));
    (void)world_append(&world, 0, 0, 100);
    world_stop(&world, true);
    assert_records(&world, 1);
    disk_fill(0);
    world_deinit(&world);
}

/* What stood behind a frame that is not whole stays away, also from the records that come after. */
Test(log, without_room_left_overs_behind_the_end_are_no_records)
{
    enum { RECORDS = 10, TORN = 4 };
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t ends[RECORDS];
    for (uint32_t i = 0; i < RECORDS; i++) {
        ends[i] = world_append(&world, 0, i, 500);
    }
    world_stop(&world, false);
    stream_zero(&world, ends[TORN] - 64, 8);
    disk_fill(-ENOSPC);
    for (uint32_t life = 0; life < RECORDS; life++) {
        world_start(&world);
        cr_assert_eq(world.log->end.value < ends[TORN], life == 0);
        (void)world_append(&world, 0, TORN + life, 500);
        world_stop(&world, false);
        assert_records(&world, TORN + life + 1);
    }
    disk_fill(0);
    world_deinit(&world);
}

static int append_zeros(struct shard *shard, void *argument)
{
    static const uint8_t zeros[3000];
    struct world *world = argument;
    struct slice part = slice_of(zeros, sizeof(zeros));
    log_append(world->writers[shard_id(shard)], 0, &part, 1);
    log_flush(world->writers[shard_id(shard)]);
    return 0;
}

/* A stopped write may lack nothing but zeros, which are then written behind the end. */
static void write_torn_before_zeros(struct world *world, const uint8_t *left_over)
{
    world_init(world, 1);
    world_start(world);
    uint64_t end = world_append(world, 0, 0, 500);
    cr_assert_eq(world_run(world, 0, append_zeros, world), 0);
    world_stop(world, false);
    stream_poke(world, end + 2000, left_over, 1);
}

Test(log, without_room_a_torn_frame_is_not_made_whole)
{
    uint8_t left_over = 0xff;
    for (uint64_t n = 1; n <= 5; n++) {
        struct world world;
        write_torn_before_zeros(&world, &left_over);
        assert_records(&world, 1);
        disk_fill(-ENOSPC);
        cr_assert_eq(world_open(&world), 0);
        uint64_t end = world.log->end.value;
        disk_fail(DISK_SYNC | DISK_WRITE, n, -EIO, false);
        cr_assert_eq(log_begin(world.log) != 0, n <= 4 || disk_has_failed());
        disk_fail(0, 0, 0, false);
        world_close(&world);
        cr_assert_eq(world_open(&world), 0);
        cr_assert(world.log->end.value == end || n > 4);
        world_close(&world);
        assert_records(&world, 1);
        disk_fill(0);
        world_deinit(&world);
    }
}

Test(log, without_room_a_disk_call_that_fails_costs_no_record, .timeout = 300)
{
    lines_catch();
    for (int sticky = 0; sticky <= 1; sticky++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct world world;
            write_two_lives(&world);
            disk_fill(-ENOSPC);
            disk_fail(DISK_ANY, n, -EIO, sticky);
            int err = world_open(&world);
            if (err == 0) {
                err = log_begin(world.log);
                world_close(&world);
            }
            failed = disk_has_failed();
            cr_assert(err == 0 || failed, "call %llu: %s", (unsigned long long)n, error_text(err));
            disk_fail(0, 0, 0, false);
            world_start(&world);
            (void)world_append(&world, 0, 2, 500);
            world_stop(&world, false);
            disk_fill(0);
            assert_records(&world, 3);
            world_deinit(&world);
            cr_assert(failed || n > 20);
        }
    }
}

Test(log, without_room_writes_are_refused_until_there_is_some)
{
    lines_catch();
    struct world world;
    write_two_lives(&world);
    disk_fill(-ENOSPC);
    world_start(&world);
    world_housekeep(&world);
    cr_assert(!log_admits(world.log, 1));
    cr_assert_eq(log_error(world.log), -ENOSPC);
    disk_fill(0);
    world_housekeep(&world);
    cr_assert(log_admits(world.log, 1));
    cr_assert_eq(log_error(world.log), 0);
    (void)world_append(&world, 0, 2, 500000);
    (void)world_append(&world, 0, 3, 800000); /* beyond the segment's end */
    cr_assert_eq(world_sync(&world, 0), 0);
    world_stop(&world, true);
    assert_records(&world, 4);
    world_deinit(&world);
}

Test(log, figures_say_what_happened)
{
    struct world world;
    world_init(&world, 2);
    world_start(&world);
    world_housekeep(&world);
    (void)world_append(&world, 0, 1, 100);
    (void)world_append(&world, 1, 2, 200);
    cr_assert_eq(world_sync(&world, 1), 0);
    struct log_stats stats;
    log_stats(world.log, &stats);
    cr_assert_eq(stats.appended_records, 2);
    cr_assert_eq(stats.appended_bytes, 300);
    cr_assert_eq(stats.syncs, 1);
    cr_assert_gt(stats.sync_ns_total, 0);
    cr_assert_eq(stats.segment_stalls, 0);
    cr_assert_eq(stats.spare_segments, 2);
    cr_assert_eq(stats.segments, 3);
    cr_assert_eq(stats.used_bytes, log_reserved(world.log).value);
    world_stop(&world, true);
    world_deinit(&world);
}
