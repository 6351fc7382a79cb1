/* A disk whose power can be cut: a file that records what is done to it.
 *
 *     recorder IMAGE RECORD MOUNTPOINT
 *
 * Mounts, by FUSE, a directory with two files and serves it until it is unmounted:
 *
 *     MOUNTPOINT/device     has the bytes of IMAGE; a loop device with a file system is put on it
 *     MOUNTPOINT/control    is written a word: ok, once or broken
 *
 * The model. A disk has a cache. A write that is done may be in the cache only; a flush puts
 * everything that was done before into what is durable. The loop device turns the file system's
 * writes into writes of `device`, and its barriers (also those of a fdatasync in a program above)
 * into fsyncs of it. So RECORD, the list of both in their order, tells for each moment what a power
 * cut at that moment leaves: everything before the last flush, and of each later write any of its
 * sectors of 512 bytes, or none. The image before, and RECORD, are all that a replay needs; one run
 * gives as many power cuts as one likes (tests/support/device.py).
 *
 * Requests are served one after the other, so a write counts as done before a flush when it came
 * before it. A program that flushes while its write is still on its way, which is wrong, may
 * therefore pass here; the simulator looks for that.
 *
 * RECORD is a sequence of entries: struct entry, and after it, for a write, `length` bytes of data.
 * Times are of CLOCK_MONOTONIC, so they can be compared with those that a client takes.
 *
 * Errors. After `once` the next write or flush fails with EIO, after `broken` each one does, until
 * `ok`. A write that fails changes nothing and is not in RECORD. Reads always work. When a write to
 * `control` has returned, its word is in force.
 *
 * Threads: one. What goes wrong with the recorder itself ends it: the requests fail, and the test.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/device"
#define CONTROL "/control"

enum {
    KIND_WRITE = 1,
    KIND_FLUSH = 2,
};

struct entry {
    uint64_t time_ns;
    uint64_t offset;
    uint32_t length;
    uint32_t kind;
};
_Static_assert(sizeof(struct entry) == 24, "the replay reads it like this");

enum health {
    HEALTH_OK,
    HEALTH_ONCE,
    HEALTH_BROKEN,
};

static int image_fd;
static int record_fd;
static enum health health;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Whether this request has to fail. */
static bool fails(void)
{
    enum health before = health;
    if (before == HEALTH_ONCE) {
        health = HEALTH_OK;
    }
    return before != HEALTH_OK;
}

static void record(uint32_t kind, const char *data, size_t length, off_t offset)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct entry entry = {
        .time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .offset = (uint64_t)offset,
        .length = (uint32_t)length,
        .kind = kind,
    };
    struct iovec parts[] = {
        {.iov_base = &entry, .iov_len = sizeof(entry)},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = length},
    };
    if (writev(record_fd, parts, 2) != (ssize_t)(sizeof(entry) + length)) {
        die("record");
    }
}

static int on_getattr(const char *path, struct stat *ret, struct fuse_file_info *file)
{
    (void)file;
    memset(ret, 0, sizeof(*ret));
    ret->st_nlink = 1;
    if (strcmp(path, "/") == 0) {
        ret->st_mode = S_IFDIR | 0700;
        ret->st_nlink = 2;
    } else if (strcmp(path, DEVICE) == 0) {
        struct stat image;
        if (fstat(image_fd, &image) != 0) {
            die("image");
        }
        ret->st_mode = S_IFREG | 0600;
        ret->st_size = image.st_size;
    } else if (strcmp(path, CONTROL) == 0) {
        ret->st_mode = S_IFREG | 0200;
    } else {
        return -ENOENT;
    }
    return 0;
}

static int on_readdir(const char *path, void *names, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    (void)path;
    (void)offset;
    (void)file;
    (void)flags;
    fill(names, &DEVICE[1], NULL, 0, 0);
    fill(names, &CONTROL[1], NULL, 0, 0);
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *file)
{
    /* Each write of a word has to come here, whatever the size of the file is taken to be. */
    file->direct_io = strcmp(path, CONTROL) == 0;
    return 0;
}

/* What opens `control` for writing cuts it first. */
static int on_truncate(const char *path, off_t size, struct fuse_file_info *file)
{
    (void)size;
    (void)file;
    return strcmp(path, CONTROL) == 0 ? 0 : -EPERM;
}

static int on_read(const char *path, char *data, size_t length, off_t offset,
                   struct fuse_file_info *file)
{
    (void)path;
    (void)file;
    ssize_t count = pread(image_fd, data, length, offset);
    return count < 0 ? -errno : (int)count;
}

static int obey(const char *word, size_t length)
{
    static const char *const words[] = {
        [HEALTH_OK] = "ok", [HEALTH_ONCE] = "once", [HEALTH_BROKEN] = "broken"};
    for (int i = HEALTH_OK; i <= HEALTH_BROKEN; i++) {
        if (length == strlen(words[i]) && memcmp(word, words[i], length) == 0) {
            health = (enum health)i;
            return (int)length;
        }
    }
    return -EINVAL;
}

static int on_write(const char *path, const char *data, size_t length, off_t offset,
                    struct fuse_file_info *file)
{
    (void)file;
    if (strcmp(path, CONTROL) == 0) {
        return obey(data, length);
    }
    if (fails()) {
        return -EIO;
    }
    record(KIND_WRITE, data, length, offset);
    if (pwrite(image_fd, data, length, offset) != (ssize_t)length) {
        die("image");
    }
    return (int)length;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)data_only;
    (void)file;
    if (strcmp(path, DEVICE) != 0) {
        return 0;
    }
    if (fails()) {
        return -EIO;
    }
    record(KIND_FLUSH, NULL, 0, 0);
    return 0;
}

static const struct fuse_operations operations = {
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .truncate = on_truncate,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
};

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s IMAGE RECORD MOUNTPOINT\n", argv[0]);
        return 2;
    }
    image_fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (image_fd < 0) {
        die(argv[1]);
    }
    record_fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (record_fd < 0) {
        die(argv[2]);
    }
    char foreground[] = "-f", one_thread[] = "-s";
    char *fuse_argv[] = {argv[0], foreground, one_thread, argv[3], NULL};
    return fuse_main(4, fuse_argv, &operations, NULL);
}
