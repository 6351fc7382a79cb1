#include "disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "disks.h"

/* ---- files ---- */

Test(sim_disk, gives_back_what_was_written)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 10000, 'a');
    disks_fill(fd, 'b', 3, 4095);
    char data[16];
    cr_assert_eq(file_read(fd, data, 5, 4094), 5);
    cr_assert_eq(memcmp(data, "abbba", 5), 0);
    cr_assert_eq(file_read(fd, data, 16, 9990), 10);
    cr_assert_eq(file_read(fd, data, 16, 10000), 0);
    cr_assert_eq(file_close(fd), 0);
    disks_end(disk);
}

Test(sim_disk, reads_zeros_from_holes_and_does_not_count_them)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 0, 'a');
    disks_fill(fd, 'a', 1, 1 << 20);
    cr_assert_eq(disks_byte("/file", 5000), 0);
    cr_assert_eq(file_size(fd), (1 << 20) + 1);
    cr_assert_eq(disk_used_bytes(disk), 4096);
    disks_end(disk);
}

Test(sim_disk, counts_the_room_of_zeros_that_were_written)
{
    struct disk *disk = disks_begin(1);
    (void)disks_make("/file", 8192, '\0');
    cr_assert_eq(disk_used_bytes(disk), 8192);
    disks_end(disk);
}

Test(sim_disk, forgets_what_a_truncation_cut_off)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 10000, 'a');
    cr_assert_eq(file_truncate(fd, 5000), 0);
    cr_assert_eq(file_truncate(fd, 10000), 0);
    cr_assert_eq(disks_byte("/file", 4999), 'a');
    cr_assert_eq(disks_byte("/file", 5000), 0);
    cr_assert_eq(disk_used_bytes(disk), 8192);
    disks_end(disk);
}

Test(sim_disk, keeps_a_file_without_a_name_while_it_is_open)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 5000, 'a');
    cr_assert_eq(file_unlink("/file"), 0);
    cr_assert_eq(disks_size("/file"), -ENOENT);
    char byte;
    cr_assert_eq(file_read(fd, &byte, 1, 4999), 1);
    cr_assert_eq(byte, 'a');
    cr_assert_eq(disk_used_bytes(disk), 8192);
    cr_assert_eq(file_close(fd), 0);
    cr_assert_eq(disk_used_bytes(disk), 0);
    disks_end(disk);
}

Test(sim_disk, takes_only_aligned_direct_transfers)
{
    struct disk *disk = disks_begin(1);
    static char data[8192] __attribute__((aligned(4096)));
    int fd = file_open("/file", O_RDWR | O_CREAT | O_DIRECT, 0600);
    cr_assert_eq(disk_door.write(fd, data, 4096, 4096), 4096);
    cr_assert_eq(disk_door.write(fd, data, 4096, 512), -EINVAL);
    cr_assert_eq(disk_door.write(fd, data, 512, 0), -EINVAL);
    cr_assert_eq(disk_door.write(fd, data + 512, 4096, 0), -EINVAL);
    cr_assert_eq(disk_door.read(fd, data + 512, 4096, 0), -EINVAL);
    disks_end(disk);
}

Test(sim_disk, refuses_direct_transfers_where_the_plan_says_so)
{
    struct disk *disk = disks_begin(1);
    cr_assert(file_direct_works("/"));
    disk_set_plan(disk, &(struct disk_plan){.direct_refused = true});
    cr_assert_not(file_direct_works("/"));
    disks_end(disk);
}

/* ---- names ---- */

Test(sim_disk, opens_as_the_flags_say)
{
    struct disk *disk = disks_begin(1);
    cr_assert_eq(file_open("/file", O_RDWR, 0), -ENOENT);
    cr_assert_eq(file_open("/no/file", O_RDWR | O_CREAT, 0600), -ENOENT);
    cr_assert_eq(disks_make("/file", 10, 'a'), 1000);
    cr_assert_eq(file_open("/file", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    cr_assert_eq(file_open("/file", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
    cr_assert_eq(file_open("/file/below", O_RDONLY, 0), -ENOTDIR);
    cr_assert_eq(file_open("/", O_RDWR, 0), -EISDIR);
    cr_assert_eq(file_open("/", O_RDONLY | O_DIRECTORY, 0), 1001);
    int fd = file_open("/file", O_RDONLY | O_TRUNC, 0);
    cr_assert_eq(fd, 1002);
    cr_assert_eq(file_size(fd), 0);
    cr_assert_eq(file_write(fd, "x", 1, 0), -EBADF);
    cr_assert_eq(file_close(1001), 0);
    cr_assert_eq(file_open("/file", O_RDONLY, 0), 1001);
    cr_assert_eq(disk_open_count(disk), 3);
    disks_end(disk);
}

Test(sim_disk, opens_its_limit_of_descriptors_and_not_one_more)
{
    struct disk *disk = disks_begin(1);
    for (int i = 0; i < DISK_FDS_MAX; i++) {
        cr_assert_eq(file_open("/file", O_RDWR | O_CREAT, 0600), 1000 + i);
    }
    cr_assert_eq(file_open("/file", O_RDWR, 0), -EMFILE);
    cr_assert_eq(file_open("/other", O_RDWR | O_CREAT, 0600), -EMFILE);
    cr_assert_not(file_exists("/other"));
    disks_end(disk);
}

static int collect(void *context, const char *name)
{
    char *names = context;
    size_t bytes = strlen(names);
    (void)snprintf(names + bytes, 64 - bytes, "%s ", name);
    return 0;
}

Test(sim_disk, lists_each_name_once)
{
    struct disk *disk = disks_begin(1);
    char names[64] = "";
    cr_assert_eq(file_list("/", collect, names), 0);
    cr_assert_str_eq(names, "");
    cr_assert_eq(file_mkdir("/b", 0700), 0);
    (void)disks_make("/a", 0, 'a');
    (void)disks_make("/c", 0, 'a');
    for (int i = 0; i < 20; i++) {
        names[0] = '\0';
        cr_assert_eq(file_list("/", collect, names), 0);
        bool legal = strcmp(names, "a b c ") == 0 || strcmp(names, "b c a ") == 0 ||
                     strcmp(names, "c a b ") == 0;
        cr_assert(legal, "%s", names);
    }
    cr_assert_eq(file_list("/a", collect, names), -ENOTDIR);
    cr_assert_eq(file_list("/no", collect, names), -ENOENT);
    disks_end(disk);
}

Test(sim_disk, makes_and_removes_directories)
{
    struct disk *disk = disks_begin(1);
    cr_assert_eq(disk_door.mkdir("/dir", 0700), 0);
    cr_assert_eq(disk_door.mkdir("/dir", 0700), -EEXIST);
    (void)disks_make("/dir//./file", 0, 'a');
    cr_assert(file_exists("/dir/file"));
    cr_assert_eq(file_unlink("/dir"), -EISDIR);
    cr_assert_eq(file_rmdir("/dir"), -ENOTEMPTY);
    cr_assert_eq(file_rmdir("/dir/file"), -ENOTDIR);
    cr_assert_eq(file_unlink("/dir/file"), 0);
    cr_assert_eq(file_rmdir("/dir"), 0);
    cr_assert_eq(file_rmdir("/dir"), -ENOENT);
    disks_end(disk);
}

Test(sim_disk, renames_over_what_is_there)
{
    struct disk *disk = disks_begin(1);
    (void)disks_make("/from", 10, 'f');
    (void)disks_make("/to", 10, 't');
    cr_assert_eq(file_mkdir("/dir", 0700), 0);
    cr_assert_eq(file_rename("/from", "/dir"), -EISDIR);
    cr_assert_eq(file_rename("/dir", "/from"), -ENOTDIR);
    cr_assert_eq(file_rename("/no", "/to"), -ENOENT);
    cr_assert_eq(file_rename("/from", "/from"), 0);
    cr_assert_eq(file_rename("/from", "/to"), 0);
    cr_assert_not(file_exists("/from"));
    cr_assert_eq(disks_byte("/to", 0), 'f');
    disks_end(disk);
}

/* ---- room ---- */

Test(sim_disk, has_room_for_its_limit_and_not_for_one_chunk_more)
{
    struct disk *disk = disks_begin(1);
    disk_set_space(disk, 4 * 4096);
    int fd = disks_make("/file", 4 * 4096, 'a');
    cr_assert_eq(file_write(fd, "x", 1, 4 * 4096), -ENOSPC);
    disks_fill(fd, 'b', 4 * 4096, 0);
    cr_assert_eq(disk_used_bytes(disk), 4 * 4096);
    disk_set_space(disk, 5 * 4096);
    disks_fill(fd, 'c', 1, 4 * 4096);
    disks_end(disk);
}

Test(sim_disk, writes_what_fits_before_it_refuses)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &(struct disk_plan){.space_bytes = 3 * 4096, .quota = true});
    int fd = disks_make("/file", 4096, 'a');
    static const char data[4 * 4096] = {1};
    cr_assert_eq(disk_door.write(fd, data, sizeof(data), 4096), 2 * 4096);
    cr_assert_eq(disk_door.write(fd, data, sizeof(data), 3 * 4096), -EDQUOT);
    disks_end(disk);
}

Test(sim_disk, allocates_all_or_nothing)
{
    struct disk *disk = disks_begin(1);
    disk_set_space(disk, 4 * 4096);
    int fd = disks_make("/file", 4096, 'a');
    cr_assert_eq(file_allocate(fd, 0, 5 * 4096), -ENOSPC);
    cr_assert_eq(file_size(fd), 4096);
    cr_assert_eq(file_allocate(fd, 0, 4 * 4096), 0);
    cr_assert_eq(file_size(fd), 4 * 4096);
    cr_assert_eq(disk_used_bytes(disk), 4 * 4096);
    cr_assert_eq(disks_byte("/file", 4095), 'a');
    cr_assert_eq(disks_byte("/file", 4096), 0);
    disks_end(disk);
}

Test(sim_disk, tells_its_free_room)
{
    struct disk *disk = disks_begin(1);
    disk_set_space(disk, 4 * 4096);
    (void)disks_make("/file", 4097, 'a');
    uint64_t free_bytes;
    uint64_t total_bytes;
    cr_assert_eq(file_space("/file", &free_bytes, &total_bytes), 0);
    cr_assert_eq(free_bytes, 2 * 4096);
    cr_assert_eq(total_bytes, 4 * 4096);
    disks_end(disk);
}

/* ---- in flight ---- */

static void prepare(struct disks_op *op, enum io_kind kind, int fd, void *data, uint32_t bytes)
{
    *op = (struct disks_op){0};
    io_prep(&op->op, kind, fd, NULL);
    op->op.data = data;
    op->op.bytes = bytes;
}

static const struct disk_plan delays = {
    .delay_ns_min = 1000,
    .delay_ns_max = 100000,
    .sync_ns_min = 1000,
    .sync_ns_max = 1000000,
    .land_after_kill_ns_max = 1000000,
};

Test(sim_disk, ends_what_is_in_flight_later)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &delays);
    char to_write[10000];
    char to_read[10001];
    memset(to_write, 'w', sizeof(to_write));
    int fd = disks_make("/file", 0, 'a');
    struct disks_op write;
    struct disks_op read;
    prepare(&write, IO_WRITE, fd, to_write, sizeof(to_write));
    disks_submit(disk, &write);
    cr_assert_not(write.ended);
    cr_assert_eq(disk_flights_count(disk), 1);
    disks_run();
    cr_assert(write.ended);
    cr_assert_eq(write.result, 10000);
    prepare(&read, IO_READ, fd, to_read, sizeof(to_read));
    disks_submit(disk, &read);
    disks_run();
    cr_assert_eq(read.result, 10000);
    cr_assert_eq(memcmp(to_read, to_write, 10000), 0);
    cr_assert_geq(world_now_ns(), 2000);
    disks_end(disk);
}

Test(sim_disk, goes_on_where_a_transfer_stands)
{
    struct disk *disk = disks_begin(1);
    char data[12288];
    memset(data, 'w', sizeof(data));
    int fd = disks_make("/file", 12288, 'a');
    struct disks_op write;
    prepare(&write, IO_WRITE, fd, data, sizeof(data));
    write.op.progress = 4096 + 512;
    disks_submit(disk, &write);
    disks_run();
    cr_assert_eq(write.result, 8192);
    cr_assert_eq(disks_byte("/file", 4095), 'a');
    cr_assert_eq(disks_byte("/file", 4096), 'w');
    disks_end(disk);
}

Test(sim_disk, finds_a_write_buffer_that_changes_in_flight, .exit_code = 1)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &delays);
    char data[512] = "";
    struct disks_op write;
    prepare(&write, IO_WRITE, disks_make("/file", 0, 'a'), data, sizeof(data));
    disks_submit(disk, &write);
    data[511] = 'x';
    disks_run();
}

Test(sim_disk, finds_a_descriptor_that_is_not_open, .exit_code = 1)
{
    (void)disks_begin(1);
    cr_assert_eq(file_close(disks_make("/file", 0, 'a')), 0);
    IGNORE(file_sync_all(1000), "it doesn't come back");
}

Test(sim_disk, runs_the_operations_on_names_in_flight)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &delays);
    struct disks_op op;
    prepare(&op, IO_OPEN, -1, NULL, 0);
    op.op.path = "/file";
    op.op.flags = O_RDWR | O_CREAT;
    disks_submit(disk, &op);
    disks_run();
    cr_assert_eq(op.result, 1000);
    prepare(&op, IO_RENAME, -1, NULL, 0);
    op.op.path = "/file";
    op.op.path_to = "/name";
    disks_submit(disk, &op);
    disks_run();
    cr_assert_eq(op.result, 0);
    cr_assert(file_exists("/name"));
    prepare(&op, IO_MKDIR, -1, NULL, 0);
    op.op.path = "/name";
    disks_submit(disk, &op);
    disks_run();
    cr_assert_eq(op.result, -EEXIST);
    prepare(&op, IO_CLOSE, 1000, NULL, 0);
    disks_submit(disk, &op);
    disks_run();
    cr_assert_eq(disk_open_count(disk), 0);
    disks_end(disk);
}

/* ---- the lock, and the death of the process ---- */

Test(sim_disk, locks_a_file_for_one_description)
{
    struct disk *disk = disks_begin(1);
    int one = disks_make("/lock", 0, 'a');
    int two = file_open("/lock", O_RDWR, 0);
    cr_assert_eq(disk_door.lock(one), 0);
    cr_assert_eq(disk_door.lock(one), 0);
    cr_assert_eq(disk_door.lock(two), -EWOULDBLOCK);
    cr_assert_eq(file_close(one), 0);
    cr_assert_eq(disk_door.lock(two), 0);
    disks_end(disk);
}

Test(sim_disk, holds_the_lock_until_the_dead_process_has_landed)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &delays);
    int lock = disks_make("/lock", 0, 'a');
    char data[512];
    memset(data, 'w', sizeof(data));
    struct disks_op write;
    prepare(&write, IO_WRITE, disks_make("/file", 0, 'a'), data, sizeof(data));
    cr_assert_eq(disk_door.lock(lock), 0);
    disks_submit(disk, &write);
    disk_process_killed(disk);
    memset(data, 'x', sizeof(data));
    cr_assert_eq(disk_open_count(disk), 0);
    cr_assert_eq(disk_flights_count(disk), 1);
    lock = file_open("/lock", O_RDWR, 0);
    cr_assert_eq(disk_door.lock(lock), -EWOULDBLOCK);
    disks_run();
    cr_assert_eq(disk_door.lock(lock), 0);
    cr_assert_not(write.ended);
    cr_assert_eq(disks_byte("/file", 511), 'w');
    disks_end(disk);
}

Test(sim_disk, lets_the_first_chunks_of_a_dead_write_land)
{
    bool whole = false;
    bool part = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk *disk = disks_begin(seed);
        disk_set_plan(disk, &delays);
        static char data[4 * 4096] = {1};
        struct disks_op write;
        prepare(&write, IO_WRITE, disks_make("/file", 0, 'a'), data, sizeof(data));
        disks_submit(disk, &write);
        disk_process_killed(disk);
        disks_run();
        int64_t bytes = disks_size("/file");
        cr_assert(bytes > 0 && bytes % 4096 == 0 && bytes <= 4 * 4096);
        whole |= bytes == 4 * 4096;
        part |= bytes < 4 * 4096;
        disks_end(disk);
    }
    cr_assert(whole && part);
}

Test(sim_disk, gives_no_descriptor_to_the_open_of_a_dead_process)
{
    bool made = false;
    bool dropped = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk *disk = disks_begin(seed);
        disk_set_plan(disk, &delays);
        struct disks_op op;
        prepare(&op, IO_OPEN, -1, NULL, 0);
        op.op.path = "/file";
        op.op.flags = O_RDWR | O_CREAT;
        disks_submit(disk, &op);
        disk_process_killed(disk);
        disks_run();
        cr_assert_eq(disk_open_count(disk), 0);
        cr_assert_eq(disk_flights_count(disk), 0);
        made |= file_exists("/file");
        dropped |= !file_exists("/file");
        disks_end(disk);
    }
    cr_assert(made && dropped);
}

Test(sim_disk, keeps_the_errors_of_syncs_for_processes_that_live)
{
    struct disk *disk = disks_begin(1);
    disks_make_durable("/file", 512, 'a');
    int fd = file_open("/file", O_RDWR, 0);
    disks_fill(fd, 'b', 512, 0);
    struct disk_plan plan = delays;
    plan.sync_error_rate = 1000000;
    disk_set_plan(disk, &plan);
    struct disks_op sync;
    prepare(&sync, IO_SYNC_DATA, fd, NULL, 0);
    disks_submit(disk, &sync);
    disk_process_killed(disk);
    disks_run();
    disk_power_cut(disk);
    cr_assert_eq(disks_byte("/file", 0), 'b');
    struct disk_stats stats;
    disk_stats(disk, &stats);
    cr_assert_eq(stats.errors, 0);
    disks_end(disk);
}

/* ---- faults ---- */

Test(sim_disk, moves_everything_in_spite_of_short_and_interrupted_transfers)
{
    struct disk *disk = disks_begin(1);
    disk_set_plan(disk, &(struct disk_plan){.short_rate = 300000, .again_rate = 300000});
    static char written[100000];
    static char read[100000];
    memset(written, 'w', sizeof(written));
    int fd = disks_make("/file", 0, 'a');
    for (int i = 0; i < 20; i++) {
        written[i] = (char)i;
        disks_write(fd, written, sizeof(written), 100);
        cr_assert_eq(file_read(fd, read, sizeof(read), 100), sizeof(read));
        cr_assert_eq(memcmp(read, written, sizeof(read)), 0);
    }
    struct disk_stats stats;
    disk_stats(disk, &stats);
    cr_assert_gt(stats.shorts, 0);
    cr_assert_gt(stats.errors, 0);
    disks_end(disk);
}

Test(sim_disk, fails_each_kind_of_operation_at_its_own_rate)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 100, 'a');
    char byte;
    disk_set_plan(disk, &(struct disk_plan){.read_error_rate = 1000000});
    cr_assert_eq(file_read(fd, &byte, 1, 0), -EIO);
    disks_fill(fd, 'b', 100, 0);
    disk_set_plan(disk, &(struct disk_plan){.write_error_rate = 1000000});
    cr_assert_eq(file_read(fd, &byte, 1, 0), 1);
    cr_assert_eq(file_write(fd, "x", 1, 0), -EIO);
    cr_assert_eq(file_allocate(fd, 0, 4096), -EIO);
    cr_assert_eq(file_unlink("/file"), -EIO);
    cr_assert_eq(file_sync_all(fd), 0);
    disk_set_plan(disk, &(struct disk_plan){.open_error_rate = 1000000});
    cr_assert_lt(file_open("/file", O_RDONLY, 0), 0);
    disk_set_plan(disk, &(struct disk_plan){.sync_error_rate = 1000000});
    cr_assert_eq(file_sync_data(fd), -EIO);
    disks_end(disk);
}

Test(sim_disk, rots_one_bit_of_what_is_durable_for_good)
{
    struct disk *disk = disks_begin(1);
    disks_make_durable("/file", 4096, 'a');
    disk_set_plan(disk, &(struct disk_plan){.rot_rate = 1000000});
    int fd = file_open("/file", O_RDONLY, 0);
    char data[4096];
    char again[4096];
    cr_assert_eq(file_read(fd, data, sizeof(data), 0), sizeof(data));
    disk_set_plan(disk, &(struct disk_plan){0});
    int bits = 0;
    for (size_t i = 0; i < sizeof(data); i++) {
        bits += __builtin_popcount((unsigned char)(data[i] ^ 'a'));
    }
    cr_assert_eq(bits, 1);
    cr_assert_eq(disk_damage_count(disk), 1);
    disk_power_cut(disk);
    fd = file_open("/file", O_RDONLY, 0);
    cr_assert_eq(file_read(fd, again, sizeof(again), 0), sizeof(again));
    cr_assert_eq(memcmp(data, again, sizeof(data)), 0);
    disks_end(disk);
}

Test(sim_disk, leaves_alone_what_is_not_durable_when_it_rots)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 4096, 'a');
    disk_set_plan(disk, &(struct disk_plan){.rot_rate = 1000000});
    char byte;
    cr_assert_eq(file_read(fd, &byte, 1, 0), 1);
    cr_assert_eq(disk_damage_count(disk), 0);
    disks_end(disk);
}

Test(sim_disk, puts_a_misdirected_write_elsewhere_in_the_file)
{
    struct disk *disk = disks_begin(1);
    int fd = disks_make("/file", 4 * 4096, 'a');
    disk_set_plan(disk, &(struct disk_plan){.misdirect_rate = 1000000});
    while (disk_damage_count(disk) == 0) {
        disks_fill(fd, 'b', 4096, 4096);
    }
    int chunks = 0;
    for (uint64_t i = 0; i < 4; i++) {
        chunks += i != 1 && disks_byte("/file", i * 4096) == 'b';
    }
    cr_assert_eq(chunks, 1);
    cr_assert_eq(file_size(fd), 4 * 4096);
    disks_end(disk);
}

Test(sim_disk, puts_a_misdirected_write_of_a_small_file_into_another)
{
    struct disk *disk = disks_begin(1);
    (void)disks_make("/other", 4096, 'o');
    int fd = disks_make("/file", 4096, 'a');
    disk_set_plan(disk, &(struct disk_plan){.misdirect_rate = 1000000});
    disks_fill(fd, 'b', 4096, 0);
    cr_assert_eq(disk_damage_count(disk), 1);
    cr_assert_eq(disks_byte("/other", 0), 'b');
    cr_assert_eq(disks_byte("/file", 0), 'a');
    disks_end(disk);
}

/* ---- damage by hand ---- */

static int collect_sizes(void *context, const char *path, uint64_t bytes)
{
    char *text = context;
    size_t at = strlen(text);
    (void)snprintf(text + at, 128 - at, "%s=%d ", path, (int)bytes);
    return 0;
}

Test(sim_disk, walks_over_all_files)
{
    struct disk *disk = disks_begin(1);
    cr_assert_eq(file_mkdir("/dir", 0700), 0);
    cr_assert_eq(file_mkdir("/dir/empty", 0700), 0);
    (void)disks_make("/dir/b", 2, 'a');
    (void)disks_make("/dir/a", 1, 'a');
    (void)disks_make("/z", 3, 'a');
    char text[128] = "";
    cr_assert_eq(disk_each(disk, collect_sizes, text), 0);
    cr_assert_str_eq(text, "/dir/a=1 /dir/b=2 /z=3 ");
    disks_end(disk);
}

Test(sim_disk, pokes_into_both_images)
{
    struct disk *disk = disks_begin(1);
    disks_make_durable("/file", 5000, 'a');
    cr_assert_eq(disk_poke(disk, "/file", "xy", 2, 4095), 0);
    cr_assert_eq(disk_poke(disk, "/file", "xy", 2, 4999), -EINVAL);
    cr_assert_eq(disk_poke(disk, "/", "xy", 2, 0), -EISDIR);
    disk_power_cut(disk);
    char data[4];
    cr_assert_eq(disk_peek(disk, "/file", data, 4, 4094), 0);
    cr_assert_eq(memcmp(data, "axya", 4), 0);
    disks_end(disk);
}
