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
