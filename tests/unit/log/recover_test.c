/*
 * Where recovery lets the stream end, and when it refuses to. "prefix" below: the records that are
 * there are the first ones, all whole, in order.
 */
#include "logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "log/frame.h"

enum { RECORDS_MAX = 64, LONG_RECORDS = 45 };

/* What a test has written: where each record's frame stands. */
struct script {
    struct world world;
    uint64_t start[RECORDS_MAX]; /* of the frame of record i, if it is one frame */
    uint64_t end[RECORDS_MAX];
    uint32_t count;
    uint64_t durable; /* when it was closed */
};

static void script_append(struct script *script, size_t bytes)
{
    cr_assert_lt(script->count, RECORDS_MAX);
    script->end[script->count] = world_append(&script->world, 0, script->count, bytes);
    uint64_t frame = align_up(FRAME_HEADER_BYTES + 2 + (bytes >= 128) + bytes, FRAME_ALIGN_BYTES);
    script->start[script->count] = script->end[script->count] - frame;
    script->count++;
}

/* Five durable records and five that no sync has covered; the first of these proves that the former
 * were. */
static void script_write(struct script *script)
{
    script->count = 0;
    world_init(&script->world, 1);
    world_start(&script->world);
    for (uint32_t i = 0; i < 10; i++) {
        script_append(script, 20 + i * 31);
        if (i == 4) {
            cr_assert_eq(world_sync(&script->world, 0), 0);
        }
    }
    script->durable = log_durable(script->world.log).value;
    world_stop(&script->world, false);
}

static void check_prefix(const struct records_seen *seen, uint32_t count)
{
    cr_assert_eq(seen->result, 0);
    cr_assert_eq(seen->count, count, "%u records, not %u", seen->count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(seen->records[i].number, i);
    }
}

/* Recovers and expects so many records, or the error. */
static void expect(struct script *script, int wanted, uint32_t count)
{
    struct records_seen seen;
    lines_clear();
    int err = world_recover(&script->world, &seen);
    cr_assert_eq(err, wanted, "%s", error_text(err));
    if (wanted == 0) {
        check_prefix(&seen, count);
    } else {
        cr_assert(lines_have(script->world.log_dir), "the file is not named");
        cr_assert(lines_have(" at offset "));
    }
    records_deinit(&seen);
}

/* The record whose frame holds `lsn`; count if it is none's. */
static uint32_t record_at(const struct script *script, uint64_t lsn)
{
    for (uint32_t i = 0; i < script->count; i++) {
        if (lsn >= script->start[i] && lsn < script->end[i]) {
            return i;
        }
    }
    return script->count;
}

/* ---- a torn tail ---- */

Test(recover, nothing_written_is_nothing_lost)
{
    struct world world;
    world_init(&world, 1);
    struct records_seen seen;
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 0);
    world_start(&world);
    world_stop(&world, true);
    cr_assert_eq(world_recover(&world, &seen), 0);
    cr_assert_eq(seen.count, 0);
    world_deinit(&world);
}

Test(recover, a_killed_process_loses_nothing)
{
    struct script script;
    script_write(&script);
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

/* All from here on is lost: at every 64 bytes of what was not durable. */
Test(recover, a_tail_that_is_lost_ends_the_log_before_the_first_record_that_is_not_whole)
{
    struct script script;
    script_write(&script);
    uint64_t end = script.end[9];
    cr_assert_eq(script.start[5], script.durable);
    for (uint64_t cut = end - 64; cut >= script.durable; cut -= 64) {
        stream_zero(&script.world, cut, end - cut);
        expect(&script, 0, record_at(&script, cut));
    }
    world_deinit(&script.world);
}

/* Sectors are written in any order: each 64 bytes lost by themselves. */
Test(recover, a_hole_in_the_tail_ends_the_log_there)
{
    struct script script;
    script_write(&script);
    for (uint64_t hole = script.durable; hole < script.end[9]; hole += 64) {
        uint8_t saved[64];
        stream_peek(&script.world, hole, saved, sizeof(saved));
        stream_zero(&script.world, hole, sizeof(saved));
        expect(&script, 0, record_at(&script, hole));
        stream_poke(&script.world, hole, saved, sizeof(saved));
    }
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

Test(recover, a_record_in_pieces_counts_only_with_its_last_piece)
{
    struct script script;
    script.count = 0;
    world_init(&script.world, 1);
    world_start(&script.world);
    script_append(&script, 50);
    uint64_t before = script.end[0];
    script_append(&script, 3 << 20);
    uint64_t after = script.end[1];
    world_stop(&script.world, false);
    expect(&script, 0, 2);
    stream_zero(&script.world, after - 64, 64);
    expect(&script, 0, 1);
    stream_zero(&script.world, before, 64);
    expect(&script, 0, 1);

    /* What is written after such an end is not taken for the rest of it. */
    world_start(&script.world);
    (void)world_append(&script.world, 0, 1, 3 << 20);
    world_stop(&script.world, false);
    expect(&script, 0, 2);
    world_deinit(&script.world);
}

/* ---- damage ---- */

static void flip(struct script *script, uint64_t lsn, uint8_t mask)
{
    uint8_t byte;
    stream_peek(&script->world, lsn, &byte, 1);
    byte ^= mask;
    stream_poke(&script->world, lsn, &byte, 1);
}

Test(recover, a_flipped_bit_is_an_error_below_the_watermark_and_the_end_above_it, .timeout = 300)
{
    struct script script;
    script_write(&script);
    lines_catch();
    for (uint64_t lsn = 0; lsn < script.end[9]; lsn++) {
        uint32_t record = record_at(&script, lsn);
        uint64_t offset_in_block = lsn % FRAME_BLOCK_BYTES;
        bool header_of_open = lsn < FRAME_HEADER_BYTES;
        if (record == script.count && !header_of_open && offset_in_block % 97 != 0) {
            continue; /* padding: a sample will do */
        }
        flip(&script, lsn, (uint8_t)(1u << lsn % 8));
        bool in_padding_at_end = record < script.count && lsn % 64 != 0;
        struct records_seen seen;
        lines_clear();
        int err = world_recover(&script.world, &seen);
        if (err != 0) {
            cr_assert_eq(err, ERR_CORRUPT);
            cr_assert_lt(lsn, script.durable);
            cr_assert(lines_have("0000000000000000.log at offset "));
        } else if (lsn >= script.durable) {
            cr_assert(seen.count == record || (in_padding_at_end && seen.count == 10));
            check_prefix(&seen, seen.count);
        } else {
            check_prefix(&seen, 10); /* it was in bytes that say nothing */
            cr_assert(!header_of_open);
        }
        records_deinit(&seen);
        flip(&script, lsn, (uint8_t)(1u << lsn % 8));
    }
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

Test(recover, every_byte_of_a_durable_record_is_watched)
{
    struct script script;
    script_write(&script);
    lines_catch();
    for (uint64_t lsn = script.start[2]; lsn < script.start[2] + 64 + 2 + 20 + 2 * 31; lsn++) {
        flip(&script, lsn, 0x10);
        expect(&script, ERR_CORRUPT, 0);
        flip(&script, lsn, 0x10);
    }
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

Test(recover, the_superblocks_watermark_is_a_proof_too)
{
    struct script script;
    script_write(&script);
    lines_catch();
    script.world.options.watermark.value = script.end[9];
    expect(&script, 0, 10);
    flip(&script, script.start[8], 1);
    expect(&script, ERR_CORRUPT, 0);
    script.world.options.watermark.value = script.start[8];
    expect(&script, 0, 8);
    world_deinit(&script.world);
}

/* Several segments, the last ones not proven durable. */
static void script_write_long(struct script *script)
{
    script->count = 0;
    world_init(&script->world, 1);
    world_start(&script->world);
    for (uint32_t i = 0; i < LONG_RECORDS; i++) {
        script_append(script, 200000);
        if (i == 20) {
            cr_assert_eq(world_sync(&script->world, 0), 0);
        }
    }
    script->durable = log_durable(script->world.log).value;
    world_stop(&script->world, false);
    cr_assert_gt(script->end[LONG_RECORDS - 1] / WORLD_SEGMENT_BYTES,
                 script->durable / WORLD_SEGMENT_BYTES + 1);
}

static void change_segment(const struct script *script, uint64_t number, long bytes)
{
    char path[WORLD_PATH_BYTES];
    segment_name(&script->world, number, path);
    if (bytes < 0) {
        cr_assert_eq(unlink(path), 0);
    } else {
        cr_assert_eq(truncate(path, bytes), 0);
    }
}

Test(recover, a_missing_segment_is_damage_unless_it_is_the_end)
{
    struct script script;
    script_write_long(&script);
    lines_catch();
    uint64_t last = script.end[LONG_RECORDS - 1] / WORLD_SEGMENT_BYTES;
    change_segment(&script, last, -1);
    struct records_seen seen;
    cr_assert_eq(world_recover(&script.world, &seen), 0);
    check_prefix(&seen, seen.count);
    cr_assert_geq(seen.count, 21);
    records_deinit(&seen);

    uint64_t unproven = script.durable / WORLD_SEGMENT_BYTES + 1;
    cr_assert_lt(unproven, last);
    for (uint64_t number = 0; number < unproven; number++) {
        char path[WORLD_PATH_BYTES];
        char aside[WORLD_PATH_BYTES];
        segment_name(&script.world, number, path);
        int bytes = snprintf(aside, sizeof(aside), "%.200s/aside", script.world.dir);
        cr_assert_gt(bytes, 0);
        cr_assert_eq(rename(path, aside), 0);
        expect(&script, ERR_CORRUPT, 0);
        cr_assert_eq(rename(aside, path), 0);
    }
    world_deinit(&script.world);
}

Test(recover, a_missing_segment_is_damage_even_above_the_watermark_if_a_later_one_was_reached)
{
    struct script script;
    script_write_long(&script);
    lines_catch();
    uint64_t number = script.end[LONG_RECORDS - 1] / WORLD_SEGMENT_BYTES - 1;
    cr_assert_gt(number * WORLD_SEGMENT_BYTES, script.durable);
    change_segment(&script, number, -1);
    expect(&script, ERR_CORRUPT, 0);
    cr_assert(lines_have("missing"));
    world_deinit(&script.world);
}

Test(recover, an_emptied_or_cut_segment_is_damage_below_the_watermark_and_the_end_above)
{
    static const long lengths[] = {0, 1, 63, 64, 4096, 300000, WORLD_SEGMENT_BYTES - 64};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct script script;
        script_write_long(&script);
        lines_catch();
        uint64_t last = script.end[LONG_RECORDS - 1] / WORLD_SEGMENT_BYTES;
        change_segment(&script, last, lengths[i]);
        struct records_seen seen;
        cr_assert_eq(world_recover(&script.world, &seen), 0);
        check_prefix(&seen, seen.count);
        records_deinit(&seen);
        if (lengths[i] < 4096) {
            change_segment(&script, 1, lengths[i]);
            expect(&script, ERR_CORRUPT, 0);
        }
        world_deinit(&script.world);
    }
}

Test(recover, swapped_segments_are_damage)
{
    struct script script;
    script_write_long(&script);
    lines_catch();
    char one[WORLD_PATH_BYTES], two[WORLD_PATH_BYTES], aside[WORLD_PATH_BYTES];
    segment_name(&script.world, 1, one);
    segment_name(&script.world, 2, two);
    segment_name(&script.world, UINT64_MAX, aside);
    cr_assert_eq(rename(one, aside), 0);
    cr_assert_eq(rename(two, one), 0);
    cr_assert_eq(rename(aside, two), 0);
    expect(&script, ERR_CORRUPT, 0);
    world_deinit(&script.world);
}

/* Bytes are taken out, and all that follows moves up: no later frame is where it should be. */
Test(recover, a_piece_taken_out_of_what_was_durable_is_damage)
{
    struct script script;
    script_write(&script);
    lines_catch();
    uint64_t end = script.end[9];
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t bytes = end - script.end[i];
        uint64_t gap = script.end[i] - script.start[i];
        uint8_t *rest = mem_must_alloc(bytes + gap);
        stream_peek(&script.world, script.start[i], rest, bytes + gap);
        stream_poke(&script.world, script.start[i], rest + gap, bytes);
        stream_zero(&script.world, end - gap, gap);
        expect(&script, ERR_CORRUPT, 0);
        stream_poke(&script.world, script.start[i], rest, bytes + gap);
        mem_free(rest);
    }
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

Test(recover, a_piece_taken_out_of_what_was_not_durable_ends_the_log_there)
{
    struct script script;
    script_write(&script);
    for (uint32_t i = 5; i < 9; i++) {
        uint64_t bytes = script.end[9] - script.end[i];
        uint64_t gap = script.end[i] - script.start[i];
        uint8_t *rest = mem_must_alloc(bytes + gap);
        stream_peek(&script.world, script.start[i], rest, bytes + gap);
        stream_poke(&script.world, script.start[i], rest + gap, bytes);
        stream_zero(&script.world, script.end[9] - gap, gap);
        expect(&script, 0, i);
        stream_poke(&script.world, script.start[i], rest, bytes + gap);
        mem_free(rest);
    }
    world_deinit(&script.world);
}

Test(recover, a_repeated_piece_of_the_log_is_not_read_twice)
{
    struct script script;
    script_write(&script);
    lines_catch();
    uint64_t bytes = script.end[6] - script.start[5];
    uint8_t *copy = mem_must_alloc(bytes);
    stream_peek(&script.world, script.start[5], copy, bytes);
    stream_poke(&script.world, script.end[9], copy, bytes);
    expect(&script, 0, 10);
    stream_poke(&script.world, script.start[0], copy, bytes);
    expect(&script, ERR_CORRUPT, 0);
    mem_free(copy);
    world_deinit(&script.world);
}

/* ---- what is needed from where ---- */

Test(recover, the_segment_of_the_start_must_be_there)
{
    struct script script;
    script_write_long(&script);
    lines_catch();
    script.world.options.start.value = script.start[10];
    change_segment(&script, 0, -1);
    struct records_seen seen;
    cr_assert_eq(world_recover(&script.world, &seen), 0);
    cr_assert_eq(seen.count, LONG_RECORDS - 10);
    cr_assert_eq(seen.records[0].number, 10);
    records_deinit(&seen);
    change_segment(&script, script.start[10] / WORLD_SEGMENT_BYTES, -1);
    expect(&script, ERR_CORRUPT, 0);
    cr_assert(lines_have("missing"));
    world_deinit(&script.world);
}

Test(recover, a_log_of_another_store_is_refused_and_left_alone)
{
    struct script script;
    script_write(&script);
    lines_catch();
    script.world.options.store_id++;
    struct records_seen seen;
    cr_assert_eq(world_recover(&script.world, &seen), ERR_FOREIGN);
    cr_assert(lines_have("0000000000000000.log"));
    script.world.options.store_id--;
    expect(&script, 0, 10);
    world_deinit(&script.world);
}

Test(recover, a_superblock_older_than_the_log_is_refused)
{
    struct script script;
    script_write(&script);
    lines_catch();
    script.world.options.epoch = 1;
    expect(&script, ERR_CORRUPT, 0);
    cr_assert(lines_have("superblock"));
    world_deinit(&script.world);
}

Test(recover, other_files_in_the_directory_are_left_alone)
{
    struct script script;
    script_write(&script);
    char path[WORLD_PATH_BYTES];
    static const char *const names[] = {"README", "0000000000000001.LOG", "000000000000000g.log",
                                        "00000000000000001.log", ".log"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%.200s/%s", script.world.log_dir, names[i]);
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        fclose(file);
    }
    expect(&script, 0, 10);
    world_start(&script.world);
    world_stop(&script.world, true);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%.200s/%s", script.world.log_dir, names[i]);
        cr_assert_eq(access(path, F_OK), 0);
    }
    world_deinit(&script.world);
}

/* ---- openings ---- */

Test(recover, openings_without_a_record_between_form_a_chain)
{
    struct script script;
    script_write(&script);
    for (uint32_t i = 0; i < 5; i++) {
        world_start(&script.world);
        world_stop(&script.world, i % 2 == 0);
        expect(&script, 0, 10);
    }
    world_start(&script.world);
    script_append(&script, 99);
    world_stop(&script.world, false);
    expect(&script, 0, 11);
    world_deinit(&script.world);
}

/* The machine dies before the OPEN frame is on the disk: as if it had not been opened. */
Test(recover, an_opening_that_was_lost_changes_nothing)
{
    struct script script;
    script_write(&script);
    uint64_t tail = script.start[8] + 64;
    stream_zero(&script.world, tail, 64);
    expect(&script, 0, 8);
    world_start(&script.world);
    world_stop(&script.world, false);
    uint64_t open = WORLD_SEGMENT_BYTES;
    stream_zero(&script.world, open, FRAME_BLOCK_BYTES);
    expect(&script, 0, 8);
    world_start(&script.world);
    script.count = 8;
    script_append(&script, 10);
    world_stop(&script.world, false);
    expect(&script, 0, 9);
    world_deinit(&script.world);
}

Test(recover, a_lost_open_frame_is_damage_once_something_stands_after_it)
{
    struct script script;
    script_write(&script);
    world_start(&script.world);
    script_append(&script, 10);
    world_stop(&script.world, false);
    lines_catch();
    expect(&script, 0, 11);
    flip(&script, WORLD_SEGMENT_BYTES, 1);
    expect(&script, ERR_CORRUPT, 0);
    world_deinit(&script.world);
}

/* Records cut off by a recovery stand in later segments, at the very places that are written anew.
 */
Test(recover, records_that_were_cut_off_never_come_back)
{
    struct script script;
    script_write_long(&script);
    uint64_t number = script.durable / WORLD_SEGMENT_BYTES + 1;
    stream_zero(&script.world, number * WORLD_SEGMENT_BYTES - 300000, 300000);
    struct records_seen seen;
    cr_assert_eq(world_recover(&script.world, &seen), 0);
    uint32_t kept = seen.count;
    check_prefix(&seen, kept);
    cr_assert_lt(kept, LONG_RECORDS);
    records_deinit(&seen);

    script.count = kept;
    world_start(&script.world);
    cr_assert(!segment_is_there(&script.world, number + 1) ||
              log_reserved(script.world.log).value / WORLD_SEGMENT_BYTES > number);
    script_append(&script, 3000);
    world_stop(&script.world, false);
    expect(&script, 0, kept + 1);
    world_start(&script.world);
    world_stop(&script.world, true);
    expect(&script, 0, kept + 1);
    world_deinit(&script.world);
}

/* ---- at random ---- */

struct random_run {
    struct world world;
    struct random random;
    uint32_t records;
    uint64_t durable;
    uint32_t durable_records;
};

static void random_write(struct random_run *run)
{
    uint32_t appends = (uint32_t)random_below(&run->random, 40);
    for (uint32_t i = 0; i < appends; i++) {
        size_t bytes = RECORD_BYTES_MIN + random_below(&run->random, 3000);
        if (random_below(&run->random, 12) == 0) {
            bytes = random_below(&run->random, 700000) + RECORD_BYTES_MIN;
        }
        (void)world_append(&run->world, 0, run->records++, bytes);
        if (random_below(&run->random, 8) == 0) {
            cr_assert_eq(world_sync(&run->world, 0), 0);
            run->durable = log_durable(run->world.log).value;
            run->durable_records = run->records;
        }
        if (random_below(&run->random, 8) == 0) {
            (void)log_housekeep(run->world.log);
        }
    }
}

/* A power cut: of what was not durable some blocks are not written, in any order. */
static void random_power_cut(struct random_run *run, uint64_t end)
{
    for (uint64_t at = run->durable; at < end; at += 512) {
        uint64_t segment = at / WORLD_SEGMENT_BYTES;
        if (segment_is_there(&run->world, segment) && random_below(&run->random, 4) == 0) {
            uint64_t bytes = min_u64(512, (segment + 1) * WORLD_SEGMENT_BYTES - at);
            stream_zero(&run->world, at, bytes);
        }
    }
}

static void random_opening(struct random_run *run)
{
    struct records_seen seen;
    cr_assert_eq(world_open(&run->world), 0);
    records_read(&run->world, 0, &seen);
    check_prefix(&seen, seen.count);
    cr_assert_geq(seen.count, run->durable_records);
    cr_assert_leq(seen.count, run->records);
    run->records = seen.count;
    run->durable_records = seen.count;
    records_deinit(&seen);

    world_begin(&run->world);
    run->durable = log_durable(run->world.log).value;
    random_write(run);
    uint64_t end = log_reserved(run->world.log).value;
    world_stop(&run->world, false);
    if (random_below(&run->random, 3) != 0) {
        random_power_cut(run, end);
    }
}

Test(recover, whatever_is_cut_what_comes_back_is_a_prefix_with_all_that_was_durable, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct random_run run = {0};
        world_init(&run.world, 1);
        random_seed(&run.random, seed);
        for (uint32_t opening = 0; opening < 12; opening++) {
            random_opening(&run);
        }
        world_deinit(&run.world);
    }
}
