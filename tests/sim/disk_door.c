/*
 * The synchronous face: file.h's calls, each with its effect at once, and other threads before and
 * after it. Nothing is held while others run: the process may be killed there.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "disk_impl.h"
#include "threads.h"

enum {
    PARTED_RATE = 60000,       /* writes of more than a chunk that others see half done */
    BYTES_UNLIMITED_LOG2 = 40, /* of a disk without limit */
};

static int64_t call_whole(struct call *call, const void *data)
{
    struct disk *disk = disk_mounted();
    int err = call_begin(disk, call, data);
    if (err < 0) {
        call->result = err;
    } else {
        disk_call_run(disk, call);
    }
    call_end(disk, call);
    return call->result;
}

static int64_t call_apart(struct call *call, const void *data)
{
    threads_preempt();
    int64_t result = call_whole(call, data);
    threads_preempt();
    return result;
}

static int door_open(const char *path, int flags, uint32_t mode)
{
    (void)mode;
    struct call call = {.kind = IO_OPEN, .path = path, .flags = flags};
    return (int)call_apart(&call, NULL);
}

static int door_close(int fd)
{
    struct call call = {.kind = IO_CLOSE, .fd = fd};
    return (int)call_apart(&call, NULL);
}

static int64_t door_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    struct call call = {.kind = IO_READ, .fd = fd, .to = data, .bytes = bytes, .offset = offset};
    return call_apart(&call, data);
}

static int64_t write_part(int fd, const void *data, size_t bytes, uint64_t offset)
{
    struct call call = {.kind = IO_WRITE, .fd = fd, .bytes = bytes, .offset = offset};
    return call_apart(&call, data);
}

/* Up to a boundary of chunks inside the write; all of it if there is none. */
static size_t first_part(size_t bytes, uint64_t offset)
{
    size_t head = CHUNK_BYTES - offset % CHUNK_BYTES;
    if (threads_self() == NULL || head >= bytes || !world_chance(STREAM_SCHED, PARTED_RATE)) {
        return bytes;
    }
    return head + CHUNK_BYTES * world_below(STREAM_SCHED, chunks_of(bytes - head));
}

static int64_t door_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    size_t first = first_part(bytes, offset);
    int64_t written = write_part(fd, data, first, offset);
    if (first == bytes || written < (int64_t)first) {
        return written;
    }
    int64_t rest = write_part(fd, (const uint8_t *)data + first, bytes - first, offset + first);
    return rest < 0 ? written : written + rest;
}

/* What is written while it waits is not covered. */
static int door_sync(int fd, enum io_kind kind)
{
    struct disk *disk = disk_mounted();
    threads_preempt();
    uint64_t submitted = ++disk->sequence;
    threads_preempt();
    struct call call = {.kind = kind, .fd = fd};
    int err = call_begin(disk, &call, NULL);
    call.submitted = submitted;
    if (err == 0) {
        disk_call_run(disk, &call);
        err = (int)call.result;
    }
    call_end(disk, &call);
    threads_preempt();
    return err;
}

static int door_sync_data(int fd)
{
    return door_sync(fd, IO_SYNC_DATA);
}

static int door_sync_all(int fd)
{
    return door_sync(fd, IO_SYNC_ALL);
}

static int door_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    struct call call = {.kind = IO_ALLOCATE, .fd = fd, .bytes = bytes, .offset = offset};
    return (int)call_apart(&call, NULL);
}

static int door_truncate(int fd, uint64_t bytes)
{
    struct disk *disk = disk_mounted();
    threads_preempt();
    struct call call = {.kind = IO_ALLOCATE, .fd = fd};
    int err = call_begin(disk, &call, NULL);
    err = err < 0 ? err : disk_fail_now(disk, IO_ALLOCATE, 0);
    if (err == 0) {
        world_trace("truncate", call.inode->number, bytes);
        content_truncate(disk, call.inode, bytes, &call);
    }
    call_end(disk, &call);
    threads_preempt();
    return err;
}

static int64_t door_size(int fd)
{
    threads_preempt();
    struct disk *disk = disk_mounted();
    const struct inode *inode = fd_get(disk, fd)->inode;
    int err = disk_fail_now(disk, IO_KIND_COUNT, 0);
    return err < 0 ? err : (int64_t)inode->current.bytes;
}

static int door_rename(const char *from, const char *to)
{
    struct call call = {.kind = IO_RENAME, .path = from, .path_to = to};
    return (int)call_apart(&call, NULL);
}

static int door_unlink(const char *path)
{
    struct call call = {.kind = IO_UNLINK, .path = path};
    return (int)call_apart(&call, NULL);
}

static int door_mkdir(const char *path, uint32_t mode)
{
    (void)mode;
    struct call call = {.kind = IO_MKDIR, .path = path};
    return (int)call_apart(&call, NULL);
}

static int door_rmdir(const char *path)
{
    threads_preempt();
    struct disk *disk = disk_mounted();
    struct call call = {.kind = IO_UNLINK, .path = path};
    int err = call_begin(disk, &call, NULL);
    err = err < 0 ? err : disk_fail_now(disk, IO_UNLINK, 0);
    err = err < 0 ? err : call_unlink(disk, &call, true);
    call_end(disk, &call);
    threads_preempt();
    return err;
}

static int door_exists(const char *path)
{
    threads_preempt();
    struct inode *inode;
    return path_find(disk_mounted(), path, &inode);
}

/* The entries of [from, to), NULL: without a bound. The directory may change under it. */
static int list_range(const char *path, const char *from, const char *to, file_each_fn *each,
                      void *context)
{
    char name[NAME_BYTES_MAX + 1];
    const char *after = from;
    for (bool inclusive = from != NULL;; inclusive = false) {
        struct inode *dir;
        int err = path_find(disk_mounted(), path, &dir);
        if (err < 0 || !dir->is_dir) {
            return err < 0 ? err : -ENOTDIR;
        }
        if (!inclusive || names_find(&dir->names, after) == NULL) {
            const struct entry *entry = names_after(&dir->names, after);
            if (entry == NULL) {
                return 0;
            }
            memcpy(name, entry->name, strlen(entry->name) + 1);
        } else {
            memcpy(name, after, strlen(after) + 1);
        }
        after = name;
        if (to != NULL && strcmp(name, to) >= 0) {
            return 0;
        }
        int stop = each(context, name);
        if (stop != 0) {
            return stop;
        }
    }
}

/* In order of the names, but beginning at any. */
static int door_list(const char *path, file_each_fn *each, void *context)
{
    threads_preempt();
    struct inode *dir;
    int err = path_find(disk_mounted(), path, &dir);
    err = err < 0 ? err : disk_fail_now(disk_mounted(), IO_OPEN, 0);
    if (err < 0 || !dir->is_dir) {
        return err < 0 ? err : -ENOTDIR;
    }
    if (dir->names.count == 0) {
        return 0;
    }
    char middle[NAME_BYTES_MAX + 1];
    const char *name = dir->names.entries[world_below(STREAM_DISK, dir->names.count)].name;
    memcpy(middle, name, strlen(name) + 1);
    int stop = list_range(path, middle, NULL, each, context);
    return stop != 0 ? stop : list_range(path, NULL, middle, each, context);
}

static int door_space(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
    threads_preempt();
    struct disk *disk = disk_mounted();
    struct inode *inode;
    int err = path_find(disk, path, &inode);
    err = err < 0 ? err : disk_fail_now(disk, IO_KIND_COUNT, 0);
    if (err < 0) {
        return err;
    }
    uint64_t total = disk->plan.space_bytes;
    total = total == 0 ? UINT64_C(1) << BYTES_UNLIMITED_LOG2 : total;
    *ret_free_bytes = total - min_u64(total, disk_used_bytes(disk));
    *ret_total_bytes = total;
    return 0;
}

static int door_lock(int fd)
{
    threads_preempt();
    return fd_lock(disk_mounted(), fd);
}

const struct file_disk disk_door = {
    .open = door_open,
    .close = door_close,
    .read = door_read,
    .write = door_write,
    .sync_data = door_sync_data,
    .sync_all = door_sync_all,
    .allocate = door_allocate,
    .truncate = door_truncate,
    .size = door_size,
    .rename = door_rename,
    .unlink = door_unlink,
    .mkdir = door_mkdir,
    .rmdir = door_rmdir,
    .exists = door_exists,
    .list = door_list,
    .space = door_space,
    .lock = door_lock,
};
