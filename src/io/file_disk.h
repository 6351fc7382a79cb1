/*
 * file_disk: the system calls behind file.h as a table, so that the simulator or a test can put its
 * own disk there. One attempt each: short transfers, EINTR and EAGAIN are handled by file.c above.
 * All functions return -errno on failure, 0 or what is said otherwise, and may be called by any
 * thread.
 */
#ifndef IO_FILE_DISK_H
#define IO_FILE_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "io/file.h"

struct file_disk {
    int (*open)(const char *path, int flags, uint32_t mode); /* the fd */
    int (*close)(int fd);
    int64_t (*read)(int fd, void *data, size_t bytes, uint64_t offset);        /* bytes read */
    int64_t (*write)(int fd, const void *data, size_t bytes, uint64_t offset); /* bytes written */
    int (*sync_data)(int fd);
    int (*sync_all)(int fd);
    int (*allocate)(int fd, uint64_t offset, uint64_t bytes);
    int (*truncate)(int fd, uint64_t bytes);
    int64_t (*size)(int fd); /* bytes */
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, uint32_t mode);
    int (*rmdir)(const char *path);
    int (*exists)(const char *path); /* 0 or -ENOENT */
    int (*list)(const char *path, file_each_fn *each, void *context);
    int (*space)(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);
    int (*lock)(int fd); /* exclusive, without waiting: -EWOULDBLOCK if held */
};

/* The kernel's. */
extern const struct file_disk file_disk_system;

/* Puts `disk` (borrowed) behind file.h; NULL gives back the kernel's. Before other threads start.
 */
void file_set_disk(const struct file_disk *disk);

/* The one in use. */
const struct file_disk *file_get_disk(void);

#endif
