#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "io/file_disk.h"

static void set_up(void)
{
    fixture_dir_make();
}

static void tear_down(void)
{
    file_set_disk(NULL);
    fixture_dir_remove();
}

TestSuite(file, .init = set_up, .fini = tear_down, .timeout = 60);

static int file_new(const char *name)
{
    int fd = file_open(fixture_path(name), O_RDWR | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(fd, 0);
    return fd;
}

/* ---- on the real disk ---- */

Test(file, contents_come_back)
{
    char text[16] = {0};
    int fd = file_new("a");
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_assert_eq(file_write(fd, "hello world", 11, 0), 0);
    cr_assert_eq(file_write_cached(fd, "W", 1, 6), 0);
    cr_assert_eq(file_sync_data(fd), 0);
    cr_assert_eq(file_sync_all(fd), 0);
    cr_assert_eq(file_size(fd), 11);
    cr_assert_eq(file_read(fd, text, 16, 6), 5);
    cr_assert_str_eq(text, "World");
    cr_assert_eq(file_read(fd, text, 16, 11), 0);
    cr_assert_eq(file_read(fd, text, 0, 0), 0);
    cr_assert_eq(file_write(fd, text, 0, 0), 0);
    cr_assert_eq(file_truncate(fd, 3), 0);
    cr_assert_eq(file_size(fd), 3);
    cr_assert_eq(file_allocate(fd, 0, 8192), 0);
    cr_assert_eq(file_size(fd), 8192);
    cr_assert_eq(file_close(fd), 0);
}

Test(file, names_come_and_go)
{
    cr_assert_eq(file_close(file_new("a")), 0);
    cr_assert(file_exists(fixture_path("a")));
    cr_assert_eq(file_rename(fixture_path("a"), fixture_path("b")), 0);
    cr_assert(!file_exists(fixture_path("a")));
    cr_assert(file_exists(fixture_path("b")));
    cr_assert_eq(file_sync_dir(fixture_dir), 0);
    cr_assert_eq(file_unlink(fixture_path("b")), 0);
    cr_assert(!file_exists(fixture_path("b")));
    cr_assert_eq(file_mkdir(fixture_path("d"), 0700), 0);
    cr_assert_eq(file_mkdir(fixture_path("d"), 0700), 0); /* it is there already */
    cr_assert_eq(file_rmdir(fixture_path("d")), 0);
    cr_assert_eq(file_rmdir(fixture_path("d")), -ENOENT);
}

Test(file, errors_of_the_kernel_come_back)
{
    uint64_t free_bytes;
    uint64_t total_bytes;
    char byte;
    cr_assert_eq(file_open(fixture_path("none"), O_RDONLY, 0), -ENOENT);
    cr_assert_eq(file_read(-1, &byte, 1, 0), -EBADF);
    cr_assert_eq(file_write(-1, "x", 1, 0), -EBADF);
    cr_assert_eq(file_sync_data(-1), -EBADF);
    cr_assert_eq(file_sync_all(-1), -EBADF);
    cr_assert_eq(file_sync_dir(fixture_path("none")), -ENOENT);
    cr_assert_eq(file_size(-1), -EBADF);
    cr_assert_eq(file_truncate(-1, 0), -EBADF);
    cr_assert_eq(file_allocate(-1, 0, 1), -EBADF);
    cr_assert_eq(file_close(-1), -EBADF);
    cr_assert_eq(file_rename(fixture_path("none"), fixture_path("b")), -ENOENT);
    cr_assert_eq(file_unlink(fixture_path("none")), -ENOENT);
    cr_assert_eq(file_mkdir(fixture_path("none/d"), 0700), -ENOENT);
    cr_assert_eq(file_list(fixture_path("none"), NULL, NULL), -ENOENT);
    cr_assert_eq(file_space(fixture_path("none"), &free_bytes, &total_bytes), -ENOENT);
    cr_assert(!file_direct_works(fixture_path("none")));
}

Test(file, space_is_known)
{
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    cr_assert_eq(file_space(fixture_dir, &free_bytes, &total_bytes), 0);
    cr_assert_gt(total_bytes, 0);
    cr_assert_leq(free_bytes, total_bytes);
}

struct names {
    char seen[4];
    uint32_t count;
    uint32_t stop_at; /* ends the walk at so many */
};

static int see_name(void *context, const char *name)
{
    struct names *names = context;
    cr_assert_eq(strlen(name), 1);
    names->seen[names->count++] = name[0];
    return names->count == names->stop_at ? 17 : 0;
}

static int by_char(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

Test(file, list_names_each_entry_until_told_to_stop)
{
    struct names all = {0};
    struct names some = {.stop_at = 2};
    cr_assert_eq(file_close(file_new("a")), 0);
    cr_assert_eq(file_close(file_new("b")), 0);
    cr_assert_eq(file_mkdir(fixture_path("c"), 0700), 0);
    cr_assert_eq(file_list(fixture_dir, see_name, &all), 0);
    cr_assert_eq(all.count, 3);
    qsort(all.seen, 3, 1, by_char);
    cr_assert_str_eq(all.seen, "abc");
    cr_assert_eq(file_list(fixture_dir, see_name, &some), 17);
    cr_assert_eq(some.count, 2);
}

Test(file, direct_probe_leaves_nothing_behind)
{
    struct names names = {0};
    int fd = file_open(fixture_path("a"), O_RDWR | O_CREAT | O_DIRECT, 0600);
    cr_assert_eq(file_direct_works(fixture_dir), fd >= 0);
    if (fd >= 0) {
        cr_assert_eq(file_close(fd), 0);
        cr_assert_eq(file_unlink(fixture_path("a")), 0);
    }
    cr_assert_eq(file_list(fixture_dir, see_name, &names), 0);
    cr_assert_eq(names.count, 0);
}

/* ---- on a disk that misbehaves ---- */

static struct file_disk disk;
static size_t bytes_max;  /* of one attempt */
static uint32_t refusals; /* attempts that fail before one works */
static int refusal;       /* how they fail */
static uint32_t attempts;

static int64_t attempt(size_t bytes)
{
    attempts++;
    if (refusals > 0) {
        refusals--;
        return refusal;
    }
    return bytes < bytes_max ? (int64_t)bytes : (int64_t)bytes_max;
}

static int64_t short_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    int64_t allowed = attempt(bytes);
    return allowed < 0 ? allowed : file_disk_system.read(fd, data, (size_t)allowed, offset);
}

static int64_t short_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    int64_t allowed = attempt(bytes);
    return allowed < 0 ? allowed : file_disk_system.write(fd, data, (size_t)allowed, offset);
}

static int refused_open(const char *path, int flags, uint32_t mode)
{
    int64_t allowed = attempt(1);
    bool direct = (flags & O_DIRECT) != 0;
    if (direct) {
        return -EINVAL;
    }
    return allowed < 0 ? (int)allowed : file_disk_system.open(path, flags, mode);
}

static int failing_sync(int fd)
{
    (void)fd;
    attempts++;
    return -EINTR;
}

static void misbehave(void)
{
    disk = file_disk_system;
    disk.read = short_read;
    disk.write = short_write;
    disk.open = refused_open;
    disk.sync_data = failing_sync;
    disk.sync_all = failing_sync;
    bytes_max = SIZE_MAX;
    file_set_disk(&disk);
}

static void round_trip_in_pieces(size_t piece, size_t bytes, uint64_t offset)
{
    uint8_t *data = malloc(bytes);
    int fd = file_new("a");
    bytes_max = piece;
    fixture_fill(data, bytes, 11);
    cr_assert_eq(file_write(fd, data, bytes, offset), 0);
    memset(data, 0, bytes);
    cr_assert_eq(file_read(fd, data, bytes, offset), (int64_t)bytes);
    cr_assert(fixture_filled(data, bytes, 11));
    cr_assert_eq(file_size(fd), (int64_t)(offset + bytes));
    cr_assert_eq(file_close(fd), 0);
    cr_assert_eq(file_unlink(fixture_path("a")), 0);
    free(data);
}

Test(file, short_transfers_go_on_to_the_end)
{
    misbehave();
    round_trip_in_pieces(4096, 20000, 0);
    round_trip_in_pieces(4097, 20000, 0);
    round_trip_in_pieces(5000, 20000, 123);
    round_trip_in_pieces(12345, 100000, 4095);
}

Test(file, short_read_at_the_end_gives_what_is_there)
{
    uint8_t data[20000];
    misbehave();
    int fd = file_new("a");
    fixture_fill(data, 10000, 1);
    cr_assert_eq(file_write(fd, data, 10000, 0), 0);
    bytes_max = 4500;
    memset(data, 0, sizeof(data));
    cr_assert_eq(file_read(fd, data, sizeof(data), 0), 10000);
    cr_assert(fixture_filled(data, 10000, 1));
    cr_assert_eq(file_close(fd), 0);
}

Test(file, passing_errors_are_repeated)
{
    misbehave();
    refusal = -EINTR;
    refusals = 3;
    int fd = file_new("a");
    refusals = 3;
    cr_assert_eq(file_write(fd, "abc", 3, 0), 0);
    refusal = -EAGAIN;
    refusals = IO_EAGAIN_RETRIES_MAX;
    cr_assert_eq(file_write(fd, "abc", 3, 0), 0);
    refusals = IO_EAGAIN_RETRIES_MAX + 1;
    cr_assert_eq(file_write(fd, "abc", 3, 0), -EAGAIN);
    cr_assert_eq(refusals, 0);
    cr_assert_eq(file_close(fd), 0);
}

Test(file, write_that_moves_nothing_is_an_error)
{
    misbehave();
    int fd = file_new("a");
    bytes_max = 0;
    cr_assert_eq(file_write(fd, "abc", 3, 0), -EIO);
    cr_assert_eq(file_close(fd), 0);
}

Test(file, failed_sync_is_not_repeated)
{
    misbehave();
    attempts = 0;
    cr_assert_eq(file_sync_data(3), -EINTR);
    cr_assert_eq(file_sync_all(3), -EINTR);
    cr_assert_eq(attempts, 2);
}

Test(file, direct_does_not_work_where_the_file_system_refuses_it)
{
    misbehave();
    cr_assert(!file_direct_works(fixture_dir));
    file_set_disk(NULL);
    cr_assert_eq(file_get_disk(), &file_disk_system);
}
