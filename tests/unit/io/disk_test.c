#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static struct io *io;

static void set_up(void)
{
    struct io_options options = fixture_options();
    fixture_dir_make();
    io = fixture_io(&options);
}

static void tear_down(void)
{
    if (io != NULL) {
        cr_assert_eq(io_pending(io), 0);
        io_destroy(io);
    }
    fixture_dir_remove();
}

TestSuite(disk, .init = set_up, .fini = tear_down, .timeout = 60);

static int file_new(const char *name)
{
    int fd = fixture_open(io, fixture_path(name), O_RDWR | O_CREAT | O_EXCL);
    cr_assert_geq(fd, 0);
    return fd;
}

static int32_t run_kind(enum io_kind kind, int fd)
{
    struct io_op op;
    io_prep(&op, kind, fd, NULL);
    return fixture_run(io, &op);
}

static int32_t run_path(enum io_kind kind, const char *path, const char *path_to)
{
    struct io_op op;
    io_prep(&op, kind, -1, NULL);
    op.path = path;
    op.path_to = path_to;
    op.mode = 0700;
    return fixture_run(io, &op);
}

/* ---- what each kind does ---- */

Test(disk, file_lives_from_open_to_unlink)
{
    char text[16] = {0};
    int fd = file_new("a");
    cr_assert_eq(fixture_write(io, fd, "hello world", 11, 0), 11);
    cr_assert_eq(run_kind(IO_SYNC_DATA, fd), 0);
    cr_assert_eq(fixture_read(io, fd, text, 5, 6), 5);
    cr_assert_str_eq(text, "world");
    cr_assert_eq(run_kind(IO_SYNC_ALL, fd), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(run_path(IO_RENAME, fixture_path("a"), fixture_path("b")), 0);
    cr_assert_neq(access(fixture_path("a"), F_OK), 0);
    cr_assert_eq(access(fixture_path("b"), F_OK), 0);
    cr_assert_eq(run_path(IO_UNLINK, fixture_path("b"), NULL), 0);
    cr_assert_neq(access(fixture_path("b"), F_OK), 0);
}

Test(disk, opened_file_is_closed_on_exec_and_has_its_mode)
{
    int fd = file_new("a");
    struct stat status;
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(fcntl(fd, F_GETFD), -1);
}

Test(disk, allocate_grows_the_file)
{
    struct io_op op;
    struct stat status;
    int fd = file_new("a");
    io_prep(&op, IO_ALLOCATE, fd, NULL);
    op.offset = 4096;
    op.length = 8192;
    cr_assert_eq(fixture_run(io, &op), 0);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_eq(status.st_size, 12288);
    cr_assert_eq(fixture_close(io, fd), 0);
}

Test(disk, mkdir_makes_a_directory_once)
{
    cr_assert_eq(run_path(IO_MKDIR, fixture_path("d"), NULL), 0);
    cr_assert_eq(run_path(IO_MKDIR, fixture_path("d"), NULL), -EEXIST);
    struct stat status;
    cr_assert_eq(stat(fixture_path("d"), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    int fd = fixture_open(io, fixture_path("d"), O_RDONLY | O_DIRECTORY);
    cr_assert_eq(run_kind(IO_SYNC_ALL, fd), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
}

/* ---- ends and errors ---- */

Test(disk, read_past_the_end_gives_fewer_bytes)
{
    char text[64];
    int fd = file_new("a");
    cr_assert_eq(fixture_write(io, fd, "0123456789", 10, 0), 10);
    cr_assert_eq(fixture_read(io, fd, text, 10, 0), 10);
    cr_assert_eq(fixture_read(io, fd, text, 11, 0), 10);
    cr_assert_eq(fixture_read(io, fd, text, 64, 4), 6);
    cr_assert_eq(memcmp(text, "456789", 6), 0);
    cr_assert_eq(fixture_read(io, fd, text, 64, 10), 0);
    cr_assert_eq(fixture_read(io, fd, text, 64, 1000000), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
}

Test(disk, nothing_is_read_or_written_in_zero_bytes)
{
    int fd = file_new("a");
    cr_assert_eq(fixture_read(io, fd, NULL, 0, 0), 0);
    cr_assert_eq(fixture_write(io, fd, "x", 0, 0), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
}

Test(disk, errors_of_the_kernel_come_back)
{
    char byte = 'x';
    cr_assert_eq(fixture_close(io, file_new("a")), 0);
    int fd = fixture_open(io, fixture_path("a"), O_RDONLY);
    cr_assert_eq(fixture_write(io, fd, &byte, 1, 0), -EBADF);
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(fixture_read(io, fd, &byte, 1, 0), -EBADF);
    cr_assert_eq(run_kind(IO_SYNC_DATA, fd), -EBADF);
    cr_assert_eq(fixture_close(io, fd), -EBADF);
    cr_assert_eq(fixture_open(io, fixture_path("none"), O_RDONLY), -ENOENT);
    cr_assert_eq(fixture_open(io, fixture_path("a"), O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    cr_assert_eq(run_path(IO_UNLINK, fixture_path("none"), NULL), -ENOENT);
    cr_assert_eq(run_path(IO_RENAME, fixture_path("none"), fixture_path("b")), -ENOENT);
}

Test(disk, direct_read_ends_at_the_unaligned_end_of_the_file)
{
    uint8_t *data = aligned_alloc(4096, 16384);
    int fd = file_new("a");
    fixture_fill(data, 16384, 1);
    cr_assert_eq(fixture_write(io, fd, data, 5000, 0), 5000);
    cr_assert_eq(fixture_close(io, fd), 0);
    fd = fixture_open(io, fixture_path("a"), O_RDONLY | O_DIRECT);
    if (fd == -EINVAL) {
        free(data);
        cr_skip_test("no O_DIRECT on this file system");
    }
    memset(data, 0, 16384);
    cr_assert_eq(fixture_read(io, fd, data, 16384, 0), 5000);
    cr_assert(fixture_filled(data, 5000, 1));
    cr_assert_eq(fixture_read(io, fd, data, 4096, 8192), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
    free(data);
}

/* ---- large and many ---- */

static void big_round_trip(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    int fd = file_new("big");
    fixture_fill(data, bytes, 7);
    cr_assert_eq(fixture_write(io, fd, data, (uint32_t)bytes, 3), (int32_t)bytes);
    memset(data, 0, bytes);
    cr_assert_eq(fixture_read(io, fd, data, (uint32_t)bytes, 3), (int32_t)bytes);
    cr_assert(fixture_filled(data, bytes, 7));
    cr_assert_eq(fixture_close(io, fd), 0);
    free(data);
}

Test(disk, one_transfer_may_be_large)
{
    big_round_trip((1 << 20) + 13);
    cr_assert_eq(unlink(fixture_path("big")), 0);
    big_round_trip(33 << 20);
}

enum { MANY = 1000, PIECE = 512 };

static uint32_t many_ended;

static void many_done(struct io_op *op)
{
    cr_assert_eq(op->result, PIECE);
    many_ended++;
}

static void many_submit(enum io_kind kind, int fd, struct io_op *ops, uint8_t *data, uint32_t count)
{
    many_ended = 0;
    for (uint32_t i = 0; i < count; i++) {
        io_prep(&ops[i], kind, fd, many_done);
        io_prep_transfer(&ops[i], kind, fd, data + i * PIECE, PIECE, (uint64_t)i * PIECE);
        io_submit(io, &ops[i]);
    }
    cr_assert_eq(many_ended, 0);
    cr_assert_eq(io_pending(io), count);
    POLL_UNTIL(io, many_ended == count);
    cr_assert_eq(io_pending(io), 0);
}

static void many_round_trip(uint32_t ops_max, uint32_t count)
{
    struct io_options options = fixture_options();
    options.ops_max = ops_max;
    io_destroy(io);
    io = fixture_io(&options);
    struct io_op *ops = malloc(count * sizeof(*ops));
    uint8_t *data = malloc(count * PIECE);
    int fd = file_new("many");
    fixture_fill(data, count * PIECE, 3);
    many_submit(IO_WRITE, fd, ops, data, count);
    memset(data, 0, count * PIECE);
    many_submit(IO_READ, fd, ops, data, count);
    cr_assert(fixture_filled(data, count * PIECE, 3));
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(unlink(fixture_path("many")), 0);
    free(data);
    free(ops);
}

Test(disk, more_operations_than_the_limit_wait_and_end)
{
    many_round_trip(1, 10);
    many_round_trip(4, 4);
    many_round_trip(4, 5);
    many_round_trip(4, MANY);
    many_round_trip(256, MANY);
    many_round_trip(IO_OPS_MAX, 3 * MANY); /* more than the submission queue at once */
}

static uint32_t chain_left;

static void chain_done(struct io_op *op)
{
    cr_assert_eq(op->result, PIECE);
    if (--chain_left > 0) {
        io_submit(io, op);
    }
}

Test(disk, done_may_submit_its_operation_again)
{
    uint8_t data[PIECE] = {0};
    struct io_op op;
    int fd = file_new("a");
    chain_left = 100;
    io_prep(&op, IO_WRITE, fd, chain_done);
    io_prep_transfer(&op, IO_WRITE, fd, data, PIECE, 0);
    io_submit(io, &op);
    POLL_UNTIL(io, chain_left == 0);
    cr_assert_eq(fixture_close(io, fd), 0);
}

Test(disk, statistics_count_operations_and_bytes)
{
    uint8_t data[PIECE] = {0};
    struct io_stats stats;
    int fd = file_new("a");
    cr_assert_eq(fixture_write(io, fd, data, PIECE, 0), PIECE);
    cr_assert_eq(fixture_read(io, fd, data, 100, PIECE - 40), 40);
    cr_assert_eq(run_kind(IO_SYNC_DATA, fd), 0);
    cr_assert_eq(run_kind(IO_SYNC_ALL, fd), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(fixture_write(io, fd, data, PIECE, 0), -EBADF);
    io_stats(io, &stats);
    cr_assert_eq(stats.writes, 2);
    cr_assert_eq(stats.write_bytes, PIECE);
    cr_assert_eq(stats.reads, 1);
    cr_assert_eq(stats.read_bytes, 40);
    cr_assert_eq(stats.syncs, 2);
    cr_assert_gt(stats.polls, 0);
}

/* ---- limits of the system ---- */

Test(disk, write_that_does_not_fit_on_the_disk_is_an_error)
{
    enum { DISK_BYTES = 384 << 10, WRITE_BYTES = 1 << 20 };
    uint8_t *data = calloc(1, WRITE_BYTES);
    if (mount("tmpfs", fixture_dir, "tmpfs", 0, "size=384k") != 0) {
        free(data);
        cr_skip_test("tmpfs can't be mounted here");
    }
    int fd = file_new("a");
    cr_assert_eq(fixture_write(io, fd, data, WRITE_BYTES, 0), -ENOSPC);
    cr_assert_eq(fixture_write(io, fd, data, 4096, DISK_BYTES), -ENOSPC);
    cr_assert_eq(fixture_write(io, fd, data, 4096, 0), 4096); /* what is there can be overwritten */
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(umount(fixture_dir), 0);
    free(data);
}

Test(disk, write_above_the_file_size_limit_is_an_error_and_no_signal)
{
    uint8_t data[8192] = {0};
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    int fd = file_new("a");
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(fixture_write(io, fd, data, 8192, 0), -EFBIG);
    cr_assert_eq(fixture_write(io, fd, data, 4096, 0), 4096);
    cr_assert_eq(fixture_write(io, fd, data, 1, 4096), -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(fixture_close(io, fd), 0);
}
