/*
 * What is appended is read back: sizes around every border, many shards, several segments.
 */
#include "logs.h"

#include "base/mem.h"
#include "log/frame.h"

/* The largest body that fits a frame with its length and type. */
enum { BODY_FRAME_MAX = FRAME_PAYLOAD_BYTES_MAX - 4 };

static void recover_one(struct world *world, uint32_t number, size_t bytes)
{
    struct records_seen seen;
    cr_assert_eq(world_recover(world, &seen), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.records[0].bytes, bytes);
    cr_assert_eq(seen.records[0].type, (uint8_t)number);
    records_deinit(&seen);
}

static void round_trip(size_t bytes)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t before = log_reserved(world.log).value;
    uint64_t end = world_append(&world, 0, 7, bytes);
    cr_assert_eq(end, log_reserved(world.log).value);
    cr_assert_eq(log_written(world.log).value, end);
    cr_assert_geq(end - before, bytes + FRAME_HEADER_BYTES);
    world_stop(&world, false);
    recover_one(&world, 7, bytes);
    world_deinit(&world);
}

Test(writer, a_record_of_any_size_is_read_back)
{
    static const size_t sizes[] = {
        0,      1, 100, 127, 128, 4096, LOG_DIRECT_BYTES - 5, BODY_FRAME_MAX, BODY_FRAME_MAX + 1,
        5 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        round_trip(sizes[i]);
    }
}

Test(writer, the_largest_body_of_a_frame_takes_one_frame_and_one_more_byte_takes_two)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    struct log_stats before, one, two;
    log_stats(world.log, &before);
    (void)world_append(&world, 0, 1, BODY_FRAME_MAX);
    log_stats(world.log, &one);
    (void)world_append(&world, 0, 2, BODY_FRAME_MAX + 1);
    log_stats(world.log, &two);
    cr_assert_eq(one.frames - before.frames, 1);
    cr_assert_eq(two.frames - one.frames, 2);
    world_stop(&world, false);
    world_deinit(&world);
}

Test(writer, a_record_of_40_mib_crosses_segments_of_1_mib)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    (void)world_append(&world, 0, 1, 100);
    (void)world_append(&world, 0, 2, 40 << 20);
    (void)world_append(&world, 0, 3, 100);
    struct log_stats stats;
    log_stats(world.log, &stats);
    cr_assert_geq(stats.segments, 40);
    cr_assert_geq(stats.segment_stalls, 40 - 3); /* no gc thread has prepared any */
    world_stop(&world, false);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.records[1].bytes, 40 << 20);
    cr_assert_lt(seen.records[0].lsn.value, seen.records[1].lsn.value);
    cr_assert_lt(seen.records[1].lsn.value, seen.records[2].lsn.value);
    records_deinit(&seen);
    world_deinit(&world);
}

/* ---- batches ---- */

struct batch_call {
    struct world *world;
    uint32_t records;
    size_t bytes;
};

static int append_batch(struct shard *shard, void *argument)
{
    const struct batch_call *call = argument;
    struct log_writer *writer = call->world->writers[shard_id(shard)];
    uint8_t *data = mem_must_alloc(call->bytes);
    for (uint32_t i = 0; i < call->records; i++) {
        record_fill(data, call->bytes, shard_id(shard), i);
        struct slice parts[3] = {slice_of(data, 5), slice_of(NULL, 0),
                                 slice_of(data + 5, call->bytes - 5)};
        log_append(writer, (uint8_t)i, parts, 3);
    }
    log_flush(writer);
    mem_free(data);
    return 0;
}

Test(writer, records_of_a_pass_share_a_frame)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    struct log_stats before, after;
    log_stats(world.log, &before);
    struct batch_call call = {.world = &world, .records = 1000, .bytes = 100};
    cr_assert_eq(world_run(&world, 0, append_batch, &call), 0);
    log_stats(world.log, &after);
    cr_assert_eq(after.frames - before.frames, 1);
    cr_assert_eq(after.appended_records - before.appended_records, 1000);
    cr_assert_eq(after.appended_bytes - before.appended_bytes, 100000);
    world_stop(&world, false);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 1000);
    for (uint32_t i = 0; i < seen.count; i++) {
        cr_assert_eq(seen.records[i].number, i);
        cr_assert_eq(seen.records[i].lsn.value, seen.records[0].lsn.value);
    }
    records_deinit(&seen);
    world_deinit(&world);
}

/* Batches overflow into frames and frames into segments at ever other places. */
Test(writer, long_batches_are_cut_into_frames_and_segments_without_a_gap)
{
    static const size_t sizes[] = {13, 4093, 100003, 200000, BODY_FRAME_MAX, BODY_FRAME_MAX + 7};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct world world;
        world_init(&world, 1);
        world_start(&world);
        uint32_t records = (uint32_t)((5 << 20) / sizes[i]) % 20000 + 3;
        struct batch_call call = {.world = &world, .records = records, .bytes = sizes[i]};
        cr_assert_eq(world_run(&world, 0, append_batch, &call), 0);
        world_stop(&world, false);
        struct records_seen seen;
        cr_assert_eq(world_recover(&world, &seen), 0);
        cr_assert_eq(seen.count, records);
        for (uint32_t at = 0; at < seen.count; at++) {
            cr_assert_eq(seen.records[at].number, at);
        }
        records_deinit(&seen);
        world_deinit(&world);
    }
}

static int flush_nothing(struct shard *shard, void *argument)
{
    struct world *world = argument;
    log_flush(world->writers[shard_id(shard)]);
    return 0;
}

Test(writer, flushing_nothing_puts_nothing_into_the_stream)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t before = log_reserved(world.log).value;
    cr_assert_eq(world_run(&world, 0, flush_nothing, &world), 0);
    cr_assert_eq(log_reserved(world.log).value, before);
    world_stop(&world, false);
    world_deinit(&world);
}

static int append_without_flush(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct slice body = slice_cstr("flushed by the hook");
    log_append(world->writers[shard_id(shard)], 1, &body, 1);
    return 0;
}

Test(writer, the_pass_flushes_what_was_appended)
{
    struct world world;
    world_init(&world, 1);
    world_start(&world);
    uint64_t before = log_reserved(world.log).value;
    cr_assert_eq(world_run(&world, 0, append_without_flush, &world), 0);
    cr_assert_eq(world_run(&world, 0, flush_nothing, &world), 0);
    cr_assert_gt(log_reserved(world.log).value, before);
    world_stop(&world, false);
    world_deinit(&world);
}

/* ---- shards ---- */

struct seen {
    struct world *world;
    uint64_t end;
};

static int see_and_wait(struct shard *shard, void *argument)
{
    const struct seen *seen = argument;
    struct log_writer *writer = seen->world->writers[shard_id(shard)];
    log_writer_saw(writer, (struct lsn){seen->end});
    cr_assert_eq(log_writer_end(writer).value, seen->end);
    log_writer_saw(writer, (struct lsn){0});
    cr_assert_eq(log_writer_end(writer).value, seen->end);
    return log_wait_durable(writer, log_writer_end(writer));
}

Test(writer, what_a_shard_saw_of_another_counts_as_its_own_until_it_has_more)
{
    struct world world;
    world_init(&world, 2);
    world_start(&world);
    struct seen seen = {.world = &world, .end = world_append(&world, 0, 1, 100)};
    cr_assert_eq(world_run(&world, 1, see_and_wait, &seen), 0);
    cr_assert_geq(log_durable(world.log).value, seen.end);
    cr_assert_gt(world_append(&world, 1, 1, 100), seen.end);
    world_stop(&world, false);
    world_deinit(&world);
}

enum { MANY_SHARDS = 4, MANY_RECORDS = 3000 };

/* Sizes from nothing to several frames; ends of flushes must only rise. */
static int append_many(struct shard *shard, void *argument)
{
    struct world *world = argument;
    struct log_writer *writer = world->writers[shard_id(shard)];
    uint8_t *data = mem_must_alloc(600 << 10);
    uint64_t end = 0;
    for (uint32_t i = 0; i < MANY_RECORDS; i++) {
        size_t bytes = i % 500 == 499 ? 600 << 10 : RECORD_BYTES_MIN + (i * 37) % 700;
        record_fill(data, bytes, shard_id(shard), i);
        struct slice body = slice_of(data, bytes);
        log_append(writer, (uint8_t)i, &body, 1);
        if (i % 10 == 9) {
            log_flush(writer);
            cr_assert_gt(log_writer_end(writer).value, end);
            end = log_writer_end(writer).value;
            cr_assert_leq(end, log_reserved(world->log).value);
        }
        if (i % 50 == 0) {
            co_yield ();
        }
    }
    mem_free(data);
    return 0;
}

static int append_everywhere(struct shard *shard, void *argument)
{
    return shard_call_all(shard, append_many, argument, 0);
}

Test(writer, records_of_shards_that_write_at_once_are_all_there_in_each_shards_order)
{
    struct world world;
    world_init(&world, MANY_SHARDS);
    world_start(&world);
    cr_assert_eq(world_run(&world, 0, append_everywhere, &world), 0);
    cr_assert_eq(log_written(world.log).value, log_reserved(world.log).value);
    world_stop(&world, false);

    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, MANY_SHARDS * MANY_RECORDS);
    uint32_t next[MANY_SHARDS] = {0};
    for (uint32_t i = 0; i < seen.count; i++) {
        const struct record_seen *record = &seen.records[i];
        cr_assert_lt(record->shard, MANY_SHARDS);
        cr_assert_eq(record->number, next[record->shard]++);
        cr_assert(i == 0 || record->lsn.value >= record[-1].lsn.value);
    }
    records_deinit(&seen);
    world_deinit(&world);
}

/* ---- disabled ---- */

Test(writer, a_disabled_log_drops_appends_and_opens_every_gate)
{
    struct world world;
    world_init(&world, 1);
    world.options.enabled = false;
    world.options.sync_mode = LOG_SYNC_ALWAYS;
    world_start(&world);
    uint64_t before = log_reserved(world.log).value;
    cr_assert_leq(world_append(&world, 0, 1, 100), before);
    cr_assert_eq(log_reserved(world.log).value, before);
    cr_assert(log_gate_open(world.log, (struct lsn){before + 1000}));
    cr_assert(log_admits(world.log, UINT32_MAX));
    cr_assert_eq(log_durable(world.log).value, before);
    cr_assert_eq(world_sync(&world, 0), 0);

    log_set_enabled(world.log, true);
    cr_assert_gt(world_append(&world, 0, 2, 100), before);
    world_stop(&world, true);
    recover_one(&world, 2, 100);
    world_deinit(&world);
}

static void stop_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
}

static int create_short_of_memory(struct shard *shard, void *argument)
{
    struct world *world = argument;
    uint64_t n = 1;
    int err;
    do {
        mem_fail_after(n++, false);
        err = log_writer_create(world->log, shard, &world->writers[0]);
        mem_fail_after(0, false);
        cr_assert(err == 0 || err == ERR_MEMORY);
    } while (err != 0);
    cr_assert_gt(n, 2);
    log_writer_destroy(world->writers[0]);
    return 0;
}

Test(writer, no_memory_for_a_writer_is_an_error_and_leaves_nothing_behind)
{
    struct world world;
    world_init(&world, 1);
    cr_assert_eq(world_open(&world), 0);
    struct shard_options options = shard_options_default();
    struct shard_set *set;
    cr_assert_eq(shard_set_start(1, &options, create_short_of_memory, &world, &set), 0);
    shard_set_stop(set, stop_nothing, NULL);
    world_close(&world);
    world_deinit(&world);
}
