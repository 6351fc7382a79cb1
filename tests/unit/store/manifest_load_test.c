/*
 * manifest_load: what damage to a manifest does. Whatever is done to it, a partition opens with a
 * state that once was, or says what is wrong and where; after a clean closing nothing at all is
 * lost silently.
 */
#include "stores.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    COMMITS = 12,
    RECORD = 4096, /* each of these commits has a record of one block */
    FILE_MAX = 64 * RECORD,
};

/* A partition with COMMITS commits of one key each: key i has value i. */
static void fill(struct world *world)
{
    char key[16];
    for (int i = 0; i < COMMITS; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        MUST_BE(world_put(world, key, key), 0);
    }
}

/* The partition holds exactly the first `commits` of them; returns that number, or aborts. */
static int count_commits(struct world *world)
{
    char key[16];
    int commits = (int)partition_count(world->partition, WORLD_SPACE);
    MUST_BE(partition_applied(world->partition).value, commits);
    for (int i = 0; i < COMMITS; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        MUST(world_holds(world, key, i < commits ? key : NULL));
    }
    world_verify(world);
    return commits;
}

struct damage {
    const char *name;
    /* Changes the file's bytes; returns the new length. */
    size_t (*apply)(uint8_t *file, size_t bytes, uint32_t record);
};

static size_t flip_header(uint8_t *file, size_t bytes, uint32_t record)
{
    file[record * RECORD + 20] ^= 4;
    return bytes;
}

static size_t flip_checksum(uint8_t *file, size_t bytes, uint32_t record)
{
    file[record * RECORD] ^= 1;
    return bytes;
}

static size_t flip_body(uint8_t *file, size_t bytes, uint32_t record)
{
    file[record * RECORD + 97] ^= 0x80;
    return bytes;
}

static size_t flip_padding(uint8_t *file, size_t bytes, uint32_t record)
{
    file[record * RECORD + RECORD - 1] ^= 0x10;
    return bytes;
}

static size_t cut_within(uint8_t *file, size_t bytes, uint32_t record)
{
    (void)file;
    (void)bytes;
    return record * RECORD + 700;
}

static size_t cut_before(uint8_t *file, size_t bytes, uint32_t record)
{
    (void)file;
    (void)bytes;
    return (size_t)record * RECORD;
}

static size_t empty(uint8_t *file, size_t bytes, uint32_t record)
{
    memset(file + record * RECORD, 0, RECORD);
    return bytes;
}

static size_t fill_ones(uint8_t *file, size_t bytes, uint32_t record)
{
    memset(file + record * RECORD, 0xff, RECORD);
    return bytes;
}

static size_t take_out(uint8_t *file, size_t bytes, uint32_t record)
{
    size_t at = (size_t)record * RECORD;
    memmove(file + at, file + at + RECORD, bytes - at - RECORD);
    return bytes - RECORD;
}

static size_t repeat(uint8_t *file, size_t bytes, uint32_t record)
{
    size_t at = (size_t)record * RECORD;
    memmove(file + at + RECORD, file + at, bytes - at);
    return bytes + RECORD;
}

static size_t overwrite_with_the_first(uint8_t *file, size_t bytes, uint32_t record)
{
    memmove(file + record * RECORD, file, RECORD);
    return bytes;
}

static size_t swap_with_the_next(uint8_t *file, size_t bytes, uint32_t record)
{
    uint8_t block[RECORD];
    uint8_t *at = file + record * RECORD;
    if ((record + 2) * RECORD <= bytes) {
        memcpy(block, at, RECORD);
        memcpy(at, at + RECORD, RECORD);
        memcpy(at + RECORD, block, RECORD);
    }
    return bytes;
}

static size_t garbage_behind(uint8_t *file, size_t bytes, uint32_t record)
{
    (void)record;
    for (uint32_t i = 0; i < RECORD; i++) {
        file[bytes + i] = (uint8_t)(i * 31 + 7);
    }
    return bytes + RECORD;
}

static const struct damage DAMAGES[] = {
    {"flip_header", flip_header},
    {"flip_checksum", flip_checksum},
    {"flip_body", flip_body},
    {"flip_padding", flip_padding},
    {"cut_within", cut_within},
    {"cut_before", cut_before},
    {"empty", empty},
    {"fill_ones", fill_ones},
    {"take_out", take_out},
    {"repeat", repeat},
    {"overwrite_with_the_first", overwrite_with_the_first},
    {"swap_with_the_next", swap_with_the_next},
    {"garbage_behind", garbage_behind},
};
enum { DAMAGE_COUNT = sizeof(DAMAGES) / sizeof(DAMAGES[0]) };

/* Opens the damaged partition: the commits it has, or -1 if it was refused by name. */
static int open_damaged(struct world *world)
{
    lines_clear();
    int err = world_try_open(world, false);
    if (err == ERR_CORRUPT) {
        MUST(lines_have("manifest-1.man at offset "));
        return -1;
    }
    MUST_BE(err, 0);
    int commits = count_commits(world);
    world_close(world);
    return commits;
}

/* The manifest's bytes, with room behind them. */
static uint8_t *load_manifest(struct world *world, char path[WORLD_PATH_BYTES * 2],
                              size_t *ret_bytes)
{
    world_path(world, "manifest-1.man", path);
    uint8_t *bytes = file_load(path, ret_bytes);
    MUST(*ret_bytes % RECORD == 0 && *ret_bytes < FILE_MAX);
    return bytes;
}

/* Every damage to every record of a manifest, with what must come of it. */
static void run_table(struct world *world, bool closed)
{
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    uint8_t *whole = load_manifest(world, path, &bytes);
    uint8_t *damaged = malloc(FILE_MAX);
    uint32_t records = (uint32_t)(bytes / RECORD);
    MUST_BE(records, 1 + COMMITS + closed);
    for (uint32_t d = 0; d < DAMAGE_COUNT; d++) {
        for (uint32_t r = 0; r < records; r++) {
            memcpy(damaged, whole, bytes);
            size_t left = DAMAGES[d].apply(damaged, bytes, r);
            bool same = left == bytes && memcmp(damaged, whole, bytes) == 0;
            file_save(path, damaged, left);
            int commits = open_damaged(world);
            bool cut = DAMAGES[d].apply == cut_within || DAMAGES[d].apply == cut_before;
            bool behind = DAMAGES[d].apply == garbage_behind;
            bool last = r + 1 == records;
            if (same || behind) {
                MUST_BE(commits, COMMITS);
            } else if (r == 0) {
                MUST_BE(commits, -1);
            } else if (cut || last) {
                MUST(commits == -1 || commits == (int)r - 1 ||
                     (commits == COMMITS && closed && last));
            } else {
                MUST_BE(commits, -1);
            }
        }
    }
    file_save(path, whole, bytes);
    MUST_BE(open_damaged(world), COMMITS);
    free(whole);
    free(damaged);
}

static int body_closed(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    world->unlink_disposed = false;
    fill(world);
    world_close(world);
    lines_catch();
    run_table(world, true);
    return 0;
}

Test(manifest_load, every_damage_after_a_clean_closing_is_found_or_harmless)
{
    world_test(body_closed);
}

/* As a crash leaves it: a copy made while the partition is open, put in its place. */
static int body_crashed(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    world->unlink_disposed = false;
    fill(world);
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    uint8_t *crashed = load_manifest(world, path, &bytes);
    world_close(world);
    file_save(path, crashed, bytes);
    free(crashed);
    lines_catch();
    run_table(world, false);
    return 0;
}

Test(manifest_load, every_damage_after_a_crash_is_found_or_gives_an_older_state)
{
    world_test(body_crashed);
}

/* After a cut, work goes on in a new manifest, and nothing of the old tail comes back. */
static int body_go_on(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    uint8_t *crashed = load_manifest(world, path, &bytes);
    world_close(world);
    lines_catch();
    file_save(path, crashed, bytes - RECORD + 600);
    free(crashed);
    MUST_BE(world_try_open(world, false), 0);
    MUST(lines_have("cut an unfinished record"));
    MUST_BE(count_commits(world), COMMITS - 1);
    MUST(!world_has_disposed(world, "manifest-1.man"));
    MUST_BE(world_put(world, "new", "value"), 0);
    MUST(world_has_disposed(world, "manifest-1.man"));
    world_reopen(world);
    MUST(world_holds(world, "new", "value"));
    MUST_BE(partition_count(world->partition, WORLD_SPACE), COMMITS);
    world_verify(world);
    return 0;
}

Test(manifest_load, after_a_cut_a_new_manifest_is_begun)
{
    world_test(body_go_on);
}

static int body_missing(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    world_close(world);
    lines_catch();
    char path[WORLD_PATH_BYTES * 2];
    char away[WORLD_PATH_BYTES * 2];
    world_path(world, "manifest-1.man", path);
    world_path(world, "elsewhere", away);
    MUST_BE(rename(path, away), 0);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("has no manifest"));
    MUST_BE(world_try_open(world, true), ERR_CORRUPT);
    MUST_BE(rename(away, path), 0);
    file_save(path, NULL, 0);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("manifest without a snapshot"));
    return 0;
}

Test(manifest_load, a_missing_or_empty_manifest_is_refused_even_to_create)
{
    world_test(body_missing);
}

static int body_foreign(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    world_close(world);
    lines_catch();
    char path[WORLD_PATH_BYTES * 2];
    size_t bytes;
    uint8_t *manifest = load_manifest(world, path, &bytes);
    char other[WORLD_PATH_BYTES * 2];
    world_path(world, "manifest-2.man", other);
    file_save(other, manifest, bytes);
    MUST_BE(world_try_open(world, false), ERR_CORRUPT);
    MUST(lines_have("manifest-2.man at offset 0"));
    free(manifest);
    return 0;
}

Test(manifest_load, a_copy_under_another_number_is_refused)
{
    world_test(body_foreign);
}

static int body_unreadable(struct shard *shard, void *argument)
{
    (void)shard;
    struct world *world = argument;
    fill(world);
    world_close(world);
    lines_catch();
    world_break(world,
                (struct fault){.kinds = 1 << IO_READ, .nth = 1, .error = -EIO, .path = ".man"});
    MUST_BE(world_try_open(world, false), -EIO);
    MUST(lines_have("manifest-1.man"));
    world_heal(world);
    MUST_BE(world_try_open(world, false), 0);
    MUST_BE(count_commits(world), COMMITS);
    return 0;
}

Test(manifest_load, a_read_error_is_an_error_and_no_cut)
{
    world_test(body_unreadable);
}
