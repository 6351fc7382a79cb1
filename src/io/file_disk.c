#include "io/file_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const struct file_disk *disk_current = &file_disk_system;

void file_set_disk(const struct file_disk *disk)
{
    disk_current = disk != NULL ? disk : &file_disk_system;
}

const struct file_disk *file_get_disk(void)
{
    return disk_current;
}

/* Turns a system call's -1 into -errno. */
static int64_t checked(int64_t result)
{
    return result < 0 ? -errno : result;
}

static int system_open(const char *path, int flags, uint32_t mode)
{
    return (int)checked(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

static int system_close(int fd)
{
    return (int)checked(close(fd));
}

static int64_t system_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    return checked(pread(fd, data, bytes, (off_t)offset));
}

static int64_t system_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    return checked(pwrite(fd, data, bytes, (off_t)offset));
}

static int system_sync_data(int fd)
{
    return (int)checked(fdatasync(fd));
}

static int system_sync_all(int fd)
{
    return (int)checked(fsync(fd));
}

static int system_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    return (int)checked(fallocate(fd, 0, (off_t)offset, (off_t)bytes));
}

static int system_truncate(int fd, uint64_t bytes)
{
    return (int)checked(ftruncate(fd, (off_t)bytes));
}

static int64_t system_size(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : (int64_t)status.st_size;
}

static int system_rename(const char *from, const char *to)
{
    return (int)checked(rename(from, to));
}

static int system_unlink(const char *path)
{
    return (int)checked(unlink(path));
}

static int system_mkdir(const char *path, uint32_t mode)
{
    return (int)checked(mkdir(path, (mode_t)mode));
}

static int system_rmdir(const char *path)
{
    return (int)checked(rmdir(path));
}

static int system_exists(const char *path)
{
    return (int)checked(access(path, F_OK));
}

static int list_entries(DIR *dir, file_each_fn *each, void *context)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return -errno;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int stop = each(context, entry->d_name);
        if (stop != 0) {
            return stop;
        }
    }
}

static int system_list(const char *path, file_each_fn *each, void *context)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -errno;
    }
    int result = list_entries(dir, each, context);
    (void)closedir(dir);
    return result;
}

static int system_space(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
    struct statvfs status;
    if (statvfs(path, &status) < 0) {
        return -errno;
    }
    *ret_free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    *ret_total_bytes = (uint64_t)status.f_blocks * status.f_frsize;
    return 0;
}

static int system_lock(int fd)
{
    return (int)checked(flock(fd, LOCK_EX | LOCK_NB));
}

const struct file_disk file_disk_system = {
    .open = system_open,
    .close = system_close,
    .read = system_read,
    .write = system_write,
    .sync_data = system_sync_data,
    .sync_all = system_sync_all,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .size = system_size,
    .rename = system_rename,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .rmdir = system_rmdir,
    .exists = system_exists,
    .list = system_list,
    .space = system_space,
    .lock = system_lock,
};
