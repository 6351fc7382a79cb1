/* What is durable, and what a power cut or a failed sync leaves of the rest. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "disks.h"

enum { SEEDS = 200 };

/* ---- content ---- */

Test(sim_disk_crash, keeps_what_a_sync_covered)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 10000, 'a');
        disk_power_cut(disk);
        cr_assert_eq(disks_size("/file"), 10000);
        for (uint64_t at = 0; at < 10000; at += 500) {
            cr_assert_eq(disks_byte("/file", at), 'a');
        }
        disks_end(disk);
    }
}

Test(sim_disk_crash, keeps_drops_or_tears_what_no_sync_covered)
{
    int kept = 0;
    int dropped = 0;
    int torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 4096, 'a');
        disks_fill(file_open("/file", O_RDWR, 0), 'b', 4096, 0);
        disk_power_cut(disk);
        char data[4096];
        cr_assert_eq(disk_peek(disk, "/file", data, sizeof(data), 0), 0);
        int sectors = 0;
        for (size_t i = 0; i < 8; i++) {
            sectors += data[i * 512] == 'b';
            cr_assert(data[i * 512] == 'a' || data[i * 512] == 'b');
            cr_assert_eq(memcmp(data + i * 512, data + i * 512 + 1, 511), 0);
        }
        kept += sectors == 8;
        dropped += sectors == 0;
        torn += sectors > 0 && sectors < 8;
        disks_end(disk);
    }
    cr_assert(kept > 0 && dropped > 0 && torn > 0);
}

Test(sim_disk_crash, takes_each_pending_write_by_itself)
{
    int only_first = 0;
    int only_second = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 8192, 'a');
        int fd = file_open("/file", O_RDWR, 0);
        disks_fill(fd, 'b', 512, 0);
        disks_fill(fd, 'b', 512, 4096);
        disk_power_cut(disk);
        bool first = disks_byte("/file", 0) == 'b';
        bool second = disks_byte("/file", 4096) == 'b';
        only_first += first && !second;
        only_second += second && !first;
        disks_end(disk);
    }
    cr_assert(only_first > 0 && only_second > 0);
}

Test(sim_disk_crash, shows_only_states_that_a_sector_was_in)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 512, 'a');
        int fd = file_open("/file", O_RDWR, 0);
        disks_fill(fd, 'b', 100, 0);
        disks_fill(fd, 'c', 100, 100);
        disk_power_cut(disk);
        bool second = disks_byte("/file", 100) == 'c';
        cr_assert(!second || disks_byte("/file", 0) == 'b', "seed %llu", (unsigned long long)seed);
        disks_end(disk);
    }
}

Test(sim_disk_crash, may_leave_a_file_grown_without_its_content)
{
    int shorter = 0;
    int zeros = 0;
    int others = 0;
    for (uint64_t seed = 0; seed < 10 * SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 0, 'a');
        disks_fill(file_open("/file", O_RDWR, 0), 'b', 8192, 0);
        disk_power_cut(disk);
        int64_t bytes = disks_size("/file");
        cr_assert(bytes >= 0 && bytes <= 8192);
        char byte = bytes == 8192 ? disks_byte("/file", 4096) : 'b';
        shorter += bytes < 8192;
        zeros += byte == '\0';
        others += byte != '\0' && byte != 'b';
        disks_end(disk);
    }
    cr_assert(shorter > 0 && zeros > 0 && others > 0);
}

Test(sim_disk_crash, undoes_a_truncation_or_not)
{
    int undone = 0;
    int done = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 8192, 'a');
        cr_assert_eq(file_truncate(file_open("/file", O_RDWR, 0), 100), 0);
        disk_power_cut(disk);
        int64_t bytes = disks_size("/file");
        cr_assert(bytes == 100 || bytes == 8192);
        undone += bytes == 8192 && disks_byte("/file", 8191) == 'a';
        done += bytes == 100;
        disks_end(disk);
    }
    cr_assert_eq(undone + done, SEEDS);
    cr_assert(undone > 0 && done > 0);
}

/* ---- sync ---- */

static int sync_writes_fd;
static int stops;

static void write_at_second_stop(void)
{
    if (++stops == 2) {
        disks_preempted = NULL;
        disks_fill(sync_writes_fd, 'c', 512, 4096);
    }
}

Test(sim_disk_crash, may_lose_what_was_written_after_a_sync_began)
{
    int lost = 0;
    int kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 8192, 'a');
        sync_writes_fd = file_open("/file", O_RDWR, 0);
        stops = 0;
        disks_preempted = write_at_second_stop;
        cr_assert_eq(file_sync_data(sync_writes_fd), 0);
        cr_assert_eq(stops, 2);
        disk_power_cut(disk);
        bool is_lost = disks_byte("/file", 4096) == 'a';
        lost += is_lost;
        kept += !is_lost;
        disks_end(disk);
    }
    cr_assert(lost > 0 && kept > 0);
}

static const struct disk_plan delays = {
    .delay_ns_min = 1000,
    .delay_ns_max = 100000,
    .sync_ns_min = 1000,
    .sync_ns_max = 100000,
};

/* A write and a sync in flight; the write is submitted first, and waited for if `waits`. Returns
 * whether the write survived. */
static bool write_and_sync(uint64_t seed, bool waits)
{
    struct disk *disk = disks_begin(seed);
    disks_make_durable("/file", 4096, 'a');
    disk_set_plan(disk, &delays);
    int fd = file_open("/file", O_RDWR, 0);
    char data[512];
    memset(data, 'b', sizeof(data));
    struct disks_op write = {0};
    struct disks_op sync = {0};
    io_prep_transfer(&write.op, IO_WRITE, fd, data, sizeof(data), 0);
    io_prep(&sync.op, IO_SYNC_DATA, fd, NULL);
    disks_submit(disk, &write);
    if (waits) {
        disks_run();
    }
    disks_submit(disk, &sync);
    disks_run();
    cr_assert(write.ended && sync.ended);
    cr_assert_eq(write.result, 512);
    cr_assert_eq(sync.result, 0);
    disk_power_cut(disk);
    bool survived = disks_byte("/file", 0) == 'b';
    disks_end(disk);
    return survived;
}

Test(sim_disk_crash, covers_a_write_in_flight_only_if_it_ended_before_the_sync)
{
    int survived = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        cr_assert(write_and_sync(seed, true));
        survived += write_and_sync(seed, false);
    }
    cr_assert(survived > 0 && survived < SEEDS);
}

Test(sim_disk_crash, does_not_bring_an_older_write_back_over_a_newer_one)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 4096, 'a');
        disk_set_plan(disk, &delays);
        int fd = file_open("/file", O_RDWR, 0);
        char data[512];
        memset(data, 'b', sizeof(data));
        struct disks_op write = {0};
        io_prep_transfer(&write.op, IO_WRITE, fd, data, sizeof(data), 0);
        disks_submit(disk, &write);
        (void)world_step();
        (void)world_step();
        disks_fill(fd, 'c', 512, 0);
        char seen = disks_byte("/file", 0);
        cr_assert_eq(file_sync_data(fd), 0);
        disks_run();
        char after = disks_byte("/file", 0);
        cr_assert(seen == 'c' && (after == 'c' || after == 'b'));
        disk_power_cut(disk);
        char left = disks_byte("/file", 0);
        cr_assert(left == 'c' || (left == 'b' && after == 'b'));
        disks_end(disk);
    }
}

Test(sim_disk_crash, never_saves_by_a_later_sync_what_a_failed_one_lost)
{
    int lost = 0;
    int stays = 0;
    int reverts = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 4096, 'a');
        int fd = file_open("/file", O_RDWR, 0);
        disks_fill(fd, 'b', 4096, 0);
        disk_set_plan(disk, &(struct disk_plan){.sync_error_rate = 1000000});
        cr_assert_eq(file_sync_data(fd), -EIO);
        disk_set_plan(disk, &(struct disk_plan){0});
        char before = disks_byte("/file", 0);
        stays += before == 'b';
        reverts += before == 'a';
        cr_assert_eq(file_sync_data(fd), 0);
        disk_power_cut(disk);
        lost += before == 'b' && disks_byte("/file", 0) == 'a';
        disks_end(disk);
    }
    cr_assert(lost > 0 && stays > 0 && reverts > 0);
}

/* Writes so many single bytes; returns how often the first was lost. */
static int lost_first_of(int writes)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 4096 * 512, 'a');
        int fd = file_open("/file", O_RDWR, 0);
        for (int i = 0; i < writes; i++) {
            disks_fill(fd, 'b', 1, (uint64_t)i * 512);
        }
        disk_power_cut(disk);
        lost += disks_byte("/file", 0) != 'b';
        disks_end(disk);
    }
    return lost;
}

Test(sim_disk_crash, writes_back_by_itself_what_is_above_its_limit)
{
    cr_assert_gt(lost_first_of(2048), 0);
    cr_assert_eq(lost_first_of(2049), 0);
}

/* ---- sectors against a model ---- */

enum { SECTORS = 64, STATES_MAX = 100 };

/* What each sector was since the last sync, as hashes, the newest last. */
struct model {
    char data[SECTORS * 512];
    uint64_t states[SECTORS][STATES_MAX];
    uint32_t counts[SECTORS];
};

static void model_note(struct model *model, bool synced)
{
    for (size_t i = 0; i < SECTORS; i++) {
        uint64_t hash = hash64(model->data + i * 512, 512, 0);
        uint32_t *count = &model->counts[i];
        *count = synced ? 0 : *count;
        if (*count == 0 || model->states[i][*count - 1] != hash) {
            model->states[i][(*count)++] = hash;
        }
    }
}

static void model_write(struct model *model, int fd)
{
    size_t offset = world_below(STREAM_LOAD, sizeof(model->data));
    size_t bytes = world_between(STREAM_LOAD, 1, sizeof(model->data) - offset);
    bytes = world_below(STREAM_LOAD, 2) == 0 && bytes > 300 ? 300 : bytes;
    for (size_t i = 0; i < bytes; i++) {
        model->data[offset + i] = (char)world_below(STREAM_LOAD, 256);
    }
    disks_write(fd, model->data + offset, bytes, offset);
}

static void model_check(struct model *model, struct disk *disk)
{
    static char data[sizeof(model->data)];
    cr_assert_eq(disk_peek(disk, "/file", data, sizeof(data), 0), 0);
    for (size_t i = 0; i < SECTORS; i++) {
        uint64_t hash = hash64(data + i * 512, 512, 0);
        bool known = false;
        for (uint32_t j = 0; j < model->counts[i]; j++) {
            known |= model->states[i][j] == hash;
        }
        cr_assert(known, "seed %llu: sector %zu was never this", (unsigned long long)world_seed(),
                  i);
    }
    memcpy(model->data, data, sizeof(data));
}

static void model_run(uint64_t seed, struct model *model)
{
    struct disk *disk = disks_begin(seed);
    memset(model, 0, sizeof(*model));
    disks_make_durable("/file", sizeof(model->data), '\0');
    model_note(model, true);
    for (int life = 0; life < 5; life++) {
        int fd = file_open("/file", O_RDWR, 0);
        for (int i = 0; i < 15; i++) {
            model_write(model, fd);
            bool synced = world_below(STREAM_LOAD, 8) == 0;
            cr_assert_eq(synced ? file_sync_data(fd) : 0, 0);
            model_note(model, synced);
        }
        char data[sizeof(model->data)];
        cr_assert_eq(file_read(fd, data, sizeof(data), 0), sizeof(data));
        cr_assert_eq(memcmp(data, model->data, sizeof(data)), 0);
        disk_power_cut(disk);
        model_check(model, disk);
        model_note(model, true);
    }
    disks_end(disk);
}

Test(sim_disk_crash, leaves_each_sector_as_it_was_at_some_time_since_the_sync)
{
    static struct model model;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        model_run(seed, &model);
    }
}

/* ---- names ---- */

Test(sim_disk_crash, keeps_a_name_only_by_a_sync_of_its_directory)
{
    int lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/kept", 10, 'a');
        cr_assert_eq(file_sync_all(disks_make("/other", 10, 'a')), 0);
        disk_power_cut(disk);
        cr_assert_eq(disks_size("/kept"), 10);
        int64_t bytes = disks_size("/other");
        cr_assert(bytes == 10 || bytes == -ENOENT);
        lost += bytes == -ENOENT;
        disks_end(disk);
    }
    cr_assert(lost > 0 && lost < SEEDS);
}

Test(sim_disk_crash, brings_a_file_back_whose_unlink_was_lost)
{
    int back = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disks_make_durable("/file", 10, 'a');
        cr_assert_eq(file_unlink("/file"), 0);
        cr_assert_eq(disk_used_bytes(disk), 0);
        disk_power_cut(disk);
        bool is_back = file_exists("/file");
        cr_assert(!is_back || disks_byte("/file", 9) == 'a');
        cr_assert_eq(disk_used_bytes(disk), is_back ? 4096 : 0);
        back += is_back;
        disks_end(disk);
    }
    cr_assert(back > 0 && back < SEEDS);
}

Test(sim_disk_crash, renames_wholly_or_not_at_all)
{
    int renamed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disk_set_plan(disk, &(struct disk_plan){.entries_unordered = seed % 2 == 1});
        disks_make_durable("/from", 10, 'f');
        disks_make_durable("/to", 10, 't');
        cr_assert_eq(file_rename("/from", "/to"), 0);
        disk_power_cut(disk);
        bool done = disks_byte("/to", 0) == 'f';
        cr_assert_eq(file_exists("/from"), !done);
        cr_assert(done || disks_byte("/to", 0) == 't');
        renamed += done;
        disks_end(disk);
    }
    cr_assert(renamed > 0 && renamed < SEEDS);
}

/* Creates /a and /b and cuts the power; returns how often only the second was left. */
static int only_second(bool unordered)
{
    int found = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        disk_set_plan(disk, &(struct disk_plan){.entries_unordered = unordered});
        (void)disks_make("/a", 0, 'a');
        (void)disks_make("/b", 0, 'a');
        disk_power_cut(disk);
        found += !file_exists("/a") && file_exists("/b");
        disks_end(disk);
    }
    return found;
}

Test(sim_disk_crash, keeps_the_order_of_names_unless_the_plan_says_otherwise)
{
    cr_assert_eq(only_second(false), 0);
    cr_assert_gt(only_second(true), 0);
}

Test(sim_disk_crash, loses_what_is_below_a_directory_that_is_lost)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        cr_assert_eq(file_mkdir("/dir", 0700), 0);
        cr_assert_eq(file_close(disks_make("/dir/file", 5000, 'a')), 0);
        cr_assert_eq(file_sync_dir("/dir"), 0);
        disk_power_cut(disk);
        cr_assert_eq(file_exists("/dir/file"), file_exists("/dir"));
        disks_end(disk);
    }
}

Test(sim_disk_crash, makes_everything_durable_by_a_flush)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk *disk = disks_begin(seed);
        cr_assert_eq(file_mkdir("/dir", 0700), 0);
        (void)disks_make("/dir/file", 5000, 'a');
        disk_flush(disk);
        disk_power_cut(disk);
        cr_assert_eq(disks_size("/dir/file"), 5000);
        cr_assert_eq(disks_byte("/dir/file", 4999), 'a');
        disks_end(disk);
    }
}

Test(sim_disk_crash, gives_up_descriptors_and_locks_and_flights)
{
    struct disk *disk = disks_begin(1);
    disks_make_durable("/lock", 0, 'a');
    disk_set_plan(disk, &delays);
    int fd = file_open("/lock", O_RDWR, 0);
    cr_assert_eq(disk_door.lock(fd), 0);
    struct disks_op sync = {0};
    io_prep(&sync.op, IO_SYNC_DATA, fd, NULL);
    disks_submit(disk, &sync);
    disk_power_cut(disk);
    cr_assert_eq(disk_open_count(disk), 0);
    cr_assert_eq(disk_flights_count(disk), 0);
    disks_run();
    cr_assert_not(sync.ended);
    fd = file_open("/lock", O_RDWR, 0);
    cr_assert_eq(disk_door.lock(fd), 0);
    disks_end(disk);
}

/* ---- everything at random ---- */

static const struct disk_plan everything = {
    .delay_ns_min = 1000,
    .delay_ns_max = 100000,
    .sync_ns_min = 1000,
    .sync_ns_max = 100000,
    .land_after_kill_ns_max = 100000,
    .short_rate = 50000,
    .again_rate = 50000,
    .slow_rate = 1000,
    .read_error_rate = 10000,
    .write_error_rate = 10000,
    .sync_error_rate = 20000,
    .open_error_rate = 10000,
    .misdirect_rate = 10000,
    .rot_rate = 10000,
    .space_bytes = 64 * 4096,
    .entries_unordered = true,
};

enum { OPS = 16, OP_BYTES = 10000 };

struct storm {
    struct disk *disk;
    struct disks_op ops[OPS];
    char data[OPS][OP_BYTES];
    int fds[3];
};

static const char *const storm_paths[] = {"/a", "/b", "/dir/c"};

static void storm_open(struct storm *storm)
{
    disk_set_plan(storm->disk, &(struct disk_plan){0});
    cr_assert_eq(file_mkdir("/dir", 0700), 0);
    for (int i = 0; i < 3; i++) {
        storm->fds[i] = file_open(storm_paths[i], O_RDWR | O_CREAT, 0600);
        cr_assert_geq(storm->fds[i], 0);
    }
    disk_set_plan(storm->disk, &everything);
}

static void storm_submit(struct storm *storm, int i)
{
    static const enum io_kind kinds[] = {IO_READ,      IO_WRITE,    IO_WRITE,   IO_WRITE,
                                         IO_SYNC_DATA, IO_SYNC_ALL, IO_ALLOCATE};
    struct disks_op *op = &storm->ops[i];
    *op = (struct disks_op){0};
    enum io_kind kind = kinds[world_below(STREAM_LOAD, 7)];
    io_prep(&op->op, kind, storm->fds[world_below(STREAM_LOAD, 3)], NULL);
    op->op.data = storm->data[i];
    op->op.bytes = (uint32_t)world_between(STREAM_LOAD, 1, OP_BYTES);
    op->op.offset = world_below(STREAM_LOAD, 100000);
    op->op.length = op->op.bytes;
    memset(storm->data[i], (int)world_below(STREAM_LOAD, 3), OP_BYTES);
    disks_submit(storm->disk, op);
}

static void storm_name(const struct storm *storm)
{
    const char *path = storm_paths[world_below(STREAM_LOAD, 3)];
    switch (world_below(STREAM_LOAD, 4)) {
    case 0:
        IGNORE(file_rename("/a", "/b"), "any result will do");
        return;
    case 1:
        IGNORE(file_unlink(path), "any result will do");
        return;
    case 2:
        IGNORE(file_sync_dir("/"), "any result will do");
        return;
    default:
        if (disk_open_count(storm->disk) < DISK_FDS_MAX / 2) {
            IGNORE(file_open(path, O_RDWR | O_CREAT, 0600), "any result will do");
        }
    }
}

static int fold_file(void *context, const char *path, uint64_t bytes)
{
    uint64_t *hash = context;
    char *data = sim_alloc(bytes + 1);
    *hash = hash64(path, strlen(path), *hash);
    int fd = file_open(path, O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_read(fd, data, bytes + 1, 0), (int64_t)bytes);
    cr_assert_eq(file_close(fd), 0);
    *hash = hash64(data, bytes, *hash);
    sim_free(data);
    return 0;
}

/* Returns a hash of all files at the end and of what happened. */
static uint64_t storm_run(uint64_t seed)
{
    struct storm *storm = sim_alloc(sizeof(*storm));
    storm->disk = disks_begin(seed);
    storm_open(storm);
    for (int i = 0; i < OPS; i++) {
        storm_submit(storm, i);
    }
    for (int step = 0; step < 600; step++) {
        (void)world_step();
        int i = (int)world_below(STREAM_LOAD, OPS);
        if (storm->ops[i].ended) {
            storm_submit(storm, i);
        }
        if (world_chance(STREAM_LOAD, 50000)) {
            storm_name(storm);
        }
        bool cut = world_chance(STREAM_LOAD, 5000);
        if (cut || world_chance(STREAM_LOAD, 5000)) {
            cut ? disk_power_cut(storm->disk) : disk_process_killed(storm->disk);
            storm_open(storm);
            for (int j = 0; j < OPS; j++) {
                storm_submit(storm, j);
            }
        }
    }
    disk_set_plan(storm->disk, &(struct disk_plan){0});
    disk_power_cut(storm->disk);
    uint64_t hash = world_hash();
    cr_assert_eq(disk_each(storm->disk, fold_file, &hash), 0);
    disks_end(storm->disk);
    sim_free(storm);
    return hash;
}

Test(sim_disk_crash, leaves_the_same_for_the_same_seed)
{
    uint64_t last = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint64_t hash = storm_run(seed);
        cr_assert_eq(storm_run(seed), hash, "seed %llu", (unsigned long long)seed);
        cr_assert_neq(hash, last);
        last = hash;
    }
}
