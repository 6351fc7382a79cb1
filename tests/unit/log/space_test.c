/*
 * Room: how much is admitted, what the gc thread does for it, full disks, trimming, the mark of an
 * idle log.
 */
#include "logs.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk.h"
#include "log/log_impl.h"
#include "log/stream.h"

static uint64_t stalls_of(const struct world *world)
{
    struct log_stats stats;
    log_stats(world->log, &stats);
    return stats.segment_stalls;
}

static uint32_t spares_of(const struct world *world)
{
    struct log_stats stats;
    log_stats(world->log, &stats);
    return stats.spare_segments;
}

/* The most that is admitted; asking raises the demand, so the room must not change meanwhile. */
static uint64_t admitted_max(struct world *world)
{
    uint64_t low = 0;
    uint64_t high = UINT64_C(1) << 32;
    cr_assert(log_admits(world->log, low));
    cr_assert(!log_admits(world->log, high));
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        if (log_admits(world->log, middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

Test(space, nothing_is_admitted_before_segments_are_prepared)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    cr_assert(!log_admits(world.log, 1));
    cr_assert_eq(log_error(world.log), 0);
    cr_assert_geq(atomic_load(&world.wakes), 1);
    world_housekeep(&world);
    cr_assert(log_admits(world.log, 1));
    cr_assert_geq(spares_of(&world), 2);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(space, the_housekeeper_is_woken_once_until_it_comes)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    int wakes = atomic_load(&world.wakes);
    cr_assert_eq(wakes, 1); /* by log_begin */
    for (int i = 0; i < 10; i++) {
        cr_assert(!log_admits(world.log, 1));
    }
    cr_assert_eq(atomic_load(&world.wakes), wakes);
    (void)log_housekeep(world.log);
    for (int i = 0; i < 10; i++) {
        (void)log_admits(world.log, 100 << 20);
    }
    cr_assert_eq(atomic_load(&world.wakes), wakes + 1);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(space, what_is_admitted_fits_into_what_is_prepared)
{
    for (uint32_t spare = 2; spare <= 6; spare += 2) {
        struct world world;
        world_init(&world, 1);
        world.options.spare_segments = spare;
        world_start(&world);
        world_housekeep(&world);
        uint64_t bytes = admitted_max(&world);
        cr_assert_gt(bytes, 0);
        cr_assert(log_admits(world.log, bytes));
        cr_assert(!log_admits(world.log, bytes + 1));
        (void)world_append(&world, 0, 1, bytes);
        cr_assert_eq(stalls_of(&world), 0);
        world_stop(&world, false);
        world_deinit(&world);
    }
}

Test(space, room_comes_back_after_the_limit_was_reached)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    uint32_t records = 0;
    while (log_admits(world.log, 100000)) {
        (void)world_append(&world, 0, records++, 100000);
        cr_assert_lt(records, 1000);
    }
    cr_assert_gt(records, 5);
    cr_assert_eq(stalls_of(&world), 0);
    world_housekeep(&world);
    cr_assert(log_admits(world.log, 100000));
    (void)world_append(&world, 0, records++, 100000);
    cr_assert_eq(stalls_of(&world), 0);
    world_stop(&world, false);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, records);
    records_deinit(&seen);
    world_deinit(&world);
}

/* A value larger than all spare segments is asked for, refused, provided for. */
Test(space, a_record_larger_than_the_spare_segments_gets_its_room)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    uint64_t bytes = 20 << 20;
    cr_assert(!log_admits(world.log, bytes));
    world_housekeep(&world);
    cr_assert(log_admits(world.log, bytes));
    (void)world_append(&world, 0, 1, bytes);
    cr_assert_eq(stalls_of(&world), 0);
    world_stop(&world, false);
    world_deinit(&world);
}

/* The reserve: who does not ask still finds room. */
Test(space, what_may_not_be_refused_finds_the_reserve)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    while (log_admits(world.log, 1000)) {
        (void)world_append(&world, 0, 1, 1000);
    }
    for (uint32_t i = 0; i < 500; i++) {
        (void)world_append(&world, 0, 2, 1000);
    }
    cr_assert_eq(stalls_of(&world), 0);
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- a full disk ---- */

Test(space, a_full_disk_stops_admissions_until_there_is_room_again)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    disk_fail(DISK_ALLOCATE, 1, -ENOSPC, true);
    uint32_t records = 0;
    while (log_admits(world.log, 50000)) {
        (void)world_append(&world, 0, records++, 50000);
        world_housekeep(&world);
    }
    cr_assert_gt(records, 0);
    cr_assert_eq(log_error(world.log), -ENOSPC);
    cr_assert(lines_have("no further segment"));
    cr_assert_eq(stalls_of(&world), 0);
    /* It does not ask the housekeeper each time. */
    int wakes = atomic_load(&world.wakes);
    cr_assert(!log_admits(world.log, 50000));
    cr_assert_eq(atomic_load(&world.wakes), wakes);
    cr_assert(!log_housekeep(world.log));
    /* What has to be logged still finds the reserve, and reads go on. */
    (void)world_append(&world, 0, records++, 50000);
    cr_assert_eq(world_sync(&world, 0), 0);

    disk_fail(DISK_ALLOCATE, 0, 0, false);
    world_housekeep(&world);
    cr_assert_eq(log_error(world.log), 0);
    cr_assert(lines_have("there is room again"));
    cr_assert(log_admits(world.log, 50000));
    cr_assert_eq(atomic_load(&world.failures), 0);
    world_stop(&world, true);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, records);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(space, trimming_gives_a_full_disk_its_segments_back)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    disk_fail(DISK_ALLOCATE, 1, -ENOSPC, true);
    uint64_t end = 0;
    while (log_admits(world.log, 50000)) {
        end = world_append(&world, 0, 1, 50000);
        world_housekeep(&world);
    }
    cr_assert_eq(log_error(world.log), -ENOSPC);
    cr_assert_eq(world_sync(&world, 0), 0);
    log_trim(world.log, (struct lsn){end});
    world_housekeep(&world);
    cr_assert_eq(log_error(world.log), 0);
    cr_assert(log_admits(world.log, 50000));
    disk_fail(DISK_ALLOCATE, 0, 0, false);
    world_stop(&world, false);
    world_deinit(&world);
}

/* Whatever goes wrong while a segment is prepared, it can be tried again; but a name that may not
 * be on the disk is final. */
Test(space, each_error_of_preparing_is_survived_or_final)
{
    static const struct {
        enum disk_call call;
        uint64_t n;
        bool final;
    } cases[] = {
        {DISK_OPEN, 1, false},  {DISK_ALLOCATE, 1, false}, {DISK_WRITE, 1, false},
        {DISK_WRITE, 3, false}, {DISK_SYNC, 1, false},     {DISK_RENAME, 1, false},
        {DISK_SYNC, 2, true},
    };
    lines_catch();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        world_init(&world, 1);
        world_start(&world);
        disk_fail(cases[i].call, cases[i].n, -EIO, false);
        cr_assert(!log_housekeep(world.log));
        cr_assert(disk_has_failed(), "case %zu", i);
        disk_fail(0, 0, 0, false);
        cr_assert_eq(log_error(world.log), -EIO);
        cr_assert_eq(atomic_load(&world.failures), cases[i].final);
        world_housekeep(&world);
        cr_assert_eq(log_error(world.log), cases[i].final ? -EIO : 0);
        cr_assert_eq(log_admits(world.log, 1), !cases[i].final);
        world_stop(&world, false);
        world_deinit(&world);
    }
}

Test(space, a_shard_that_finds_no_segment_makes_one_itself)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, 3 << 20);
    cr_assert_geq(stalls_of(&world), 3);
    cr_assert_eq(atomic_load(&world.failures), 0);
    world_stop(&world, false);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 1);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(space, a_shard_that_can_make_no_segment_fails_for_good)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    disk_fail(DISK_ALLOCATE, 1, -ENOSPC, true);
    (void)world_append(&world, 0, 1, 3 << 20);
    cr_assert_eq(atomic_load(&world.failures), 1);
    cr_assert_eq(atomic_load(&world.failure), -ENOSPC);
    cr_assert_eq(world_sync(&world, 0), ERR_CLOSED);
    disk_fail(0, 0, 0, false);
    world_stop(&world, false);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 0);
    records_deinit(&seen);
    world_deinit(&world);
}

/* ---- trimming ---- */

Test(space, trimmed_segments_are_used_again_and_their_records_never_seen)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    uint32_t number = 0;
    uint32_t segments_max = 0;
    for (uint32_t round = 0; round < 30; round++) {
        for (uint32_t i = 0; i < 8; i++) {
            if (!log_admits(world.log, 200000)) {
                world_housekeep(&world);
                cr_assert(log_admits(world.log, 200000));
            }
            (void)world_append(&world, 0, number++, 200000);
        }
        cr_assert_eq(world_sync(&world, 0), 0);
        log_trim(world.log, log_durable(world.log));
        world_housekeep(&world);
        struct log_stats stats;
        log_stats(world.log, &stats);
        segments_max = stats.segments > segments_max ? stats.segments : segments_max;
    }
    cr_assert_leq(segments_max, 2 * LOG_RECYCLED_FACTOR + 4);
    cr_assert_eq(stalls_of(&world), 0);
    world.options.start = log_durable(world.log);
    (void)world_append(&world, 0, number, 77);
    world_stop(&world, false);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.records[0].number, number);
    records_deinit(&seen);
    world_deinit(&world);
}

Test(space, a_segment_is_kept_until_it_is_trimmed_and_durable)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    uint64_t end = world_append(&world, 0, 1, 1 << 20);
    cr_assert_geq(end, WORLD_SEGMENT_BYTES);
    log_trim(world.log, (struct lsn){end});
    world_housekeep(&world);
    cr_assert(segment_is_there(&world, 0)); /* not durable */
    cr_assert_eq(world_sync(&world, 0), 0);
    world_housekeep(&world);
    cr_assert(!segment_is_there(&world, 0));
    cr_assert(segment_is_there(&world, end / WORLD_SEGMENT_BYTES));
    log_trim(world.log, (struct lsn){0}); /* never goes back */
    struct log_stats stats;
    log_stats(world.log, &stats);
    cr_assert_eq(stats.used_bytes, log_reserved(world.log).value - end);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(space, a_disabled_log_prepares_nothing_and_removes_what_is_trimmed)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    uint64_t end = world_append(&world, 0, 1, 1500000);
    cr_assert_eq(world_sync(&world, 0), 0);
    log_set_enabled(world.log, false);
    uint64_t next = segments_prepared_next(&world.log->segments);
    log_trim(world.log, (struct lsn){end});
    world_housekeep(&world);
    cr_assert_eq(segments_prepared_next(&world.log->segments), next);
    cr_assert(!segment_is_there(&world, 0));
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- the mark ---- */

static int recover_with_flip(struct world *world, uint64_t lsn)
{
    uint8_t byte;
    stream_peek(world, lsn, &byte, 1);
    byte ^= 0x20;
    stream_poke(world, lsn, &byte, 1);
    struct records_seen seen;
    int err = world_recover(world, &seen);
    records_deinit(&seen);
    byte ^= 0x20;
    stream_poke(world, lsn, &byte, 1);
    return err;
}

Test(space, an_idle_log_proves_its_last_record_durable)
{
    lines_catch();
    for (int marked = 0; marked <= 1; marked++) {
        struct world world;
        world_init(&world, 1);
        world_start(&world);
        world_housekeep(&world);
        uint64_t end = world_append(&world, 0, 1, 100);
        cr_assert_eq(world_sync(&world, 0), 0);
        uint64_t durable = log_durable(world.log).value;
        world_housekeep(&world);
        cr_assert_eq(log_reserved(world.log).value, durable); /* it may not be idle yet */
        if (marked) {
            world_housekeep(&world);
            cr_assert_eq(log_reserved(world.log).value, durable + FRAME_HEADER_BYTES);
            world_housekeep(&world);
            world_housekeep(&world);
            cr_assert_eq(log_reserved(world.log).value, durable + FRAME_HEADER_BYTES); /* once */
        }
        world_stop(&world, false);
        cr_assert_eq(recover_with_flip(&world, end - 64), marked ? ERR_CORRUPT : 0);
        world_deinit(&world);
    }
}

Test(space, closing_proves_all_records_durable)
{
    lines_catch();
    for (int sync = 0; sync <= 1; sync++) {
        struct world world;
        world_init(&world, 1);
        world_start(&world);
        uint64_t end = world_append(&world, 0, 1, 100);
        world_stop(&world, sync);
        cr_assert_eq(recover_with_flip(&world, end - 64), sync ? ERR_CORRUPT : 0);
        world_deinit(&world);
    }
}

Test(space, a_mark_that_cannot_be_synced_is_a_failure)
{
    lines_catch();
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    world_housekeep(&world);
    (void)world_append(&world, 0, 1, 100);
    cr_assert_eq(world_sync(&world, 0), 0);
    world_housekeep(&world);
    disk_fail(DISK_SYNC, 1, -EIO, false);
    cr_assert(!log_housekeep(world.log));
    cr_assert_eq(atomic_load(&world.failures), 1);
    disk_fail(0, 0, 0, false);
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- all at once ---- */

enum { BUSY_SHARDS = 3, BUSY_RECORDS = 1200 };

struct busy {
    struct world *world;
    atomic_bool stop;
};

static void *keep_house(void *argument)
{
    struct busy *busy = argument;
    while (!atomic_load(&busy->stop)) {
        (void)log_housekeep(busy->world->log);
        thread_yield();
    }
    return NULL;
}

/* Appends with admission, waits now and then, trims what is durable. */
static int write_busily(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct log_writer *writer = world->writers[shard_id(shard)];
    uint8_t data[3000];
    for (uint32_t i = 0; i < BUSY_RECORDS; i++) {
        size_t bytes = 1000 + i * 3 % 2000;
        record_fill(data, bytes, shard_id(shard), i);
        struct slice parts[40]; /* the first carries the number */
        for (uint32_t part = 0; part < 40; part++) {
            parts[part] = slice_of(data, part == 0 ? bytes : 0);
        }
        while (!log_admits(world->log, bytes)) {
            co_yield ();
        }
        log_append(writer, (uint8_t)i, parts, 40);
        if (i % 20 == 0) {
            log_flush(writer);
            cr_assert_eq(log_wait_durable(writer, log_writer_end(writer)), 0);
        }
        if (i % 100 == 0 && shard_id(shard) == 0) {
            log_trim(world->log, log_durable(world->log));
        }
    }
    log_flush(writer);
    return log_wait_durable(writer, log_writer_end(writer));
}

static int write_busily_everywhere(struct shard *shard, void *argument)
{
    return shard_call_all(shard, write_busily, argument, 0);
}

Test(space, shards_and_the_gc_thread_work_at_the_same_time)
{
    struct world world;
    world_init(&world, BUSY_SHARDS);
    world_start(&world);
    struct busy busy = {.world = &world};
    pthread_t gc;
    cr_assert_eq(pthread_create(&gc, NULL, keep_house, &busy), 0);
    cr_assert_eq(world_run(&world, 0, write_busily_everywhere, &world), 0);
    atomic_store(&busy.stop, true);
    cr_assert_eq(pthread_join(gc, NULL), 0);
    world.options.start.value = atomic_load(&world.log->trim);
    cr_assert_gt(world.options.start.value, WORLD_SEGMENT_BYTES);
    world_stop(&world, false);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    uint32_t next[BUSY_SHARDS] = {0};
    for (uint32_t i = 0; i < seen.count; i++) {
        const struct record_seen *record = &seen.records[i];
        uint32_t *expected = &next[record->shard];
        cr_assert(*expected == 0 || record->number == *expected);
        *expected = record->number + 1;
    }
    for (uint32_t shard = 0; shard < BUSY_SHARDS; shard++) {
        cr_assert(next[shard] == BUSY_RECORDS || next[shard] == 0);
    }
    records_deinit(&seen);
    world_deinit(&world);
}
