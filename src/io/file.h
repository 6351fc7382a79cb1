/*
 * file: the synchronous door to the disk, for the threads that may block: start-up before the
 * shards run, the gc thread, tools. Shard threads use io.h; the one exception is file_write_cached,
 * see there.
 *
 * All calls go through a vtable that the simulator replaces (io/file_disk.h). Every function
 * returns 0, a documented positive count, or -errno. Short transfers and EINTR are handled inside.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* flags and mode as open(2); O_CLOEXEC is added. Returns the fd. */
NODISCARD int file_open(const char *path, int flags, uint32_t mode);
NODISCARD int file_close(int fd);

/* Returns the bytes read, fewer than asked only at the end of the file. */
NODISCARD int64_t file_read(int fd, void *data, size_t bytes, uint64_t offset);

/* All bytes or an error. */
NODISCARD int file_write(int fd, const void *data, size_t bytes, uint64_t offset);

/* A buffered write into a file that is preallocated and zero-filled: a copy into the page cache.
 * The only disk call that a shard thread makes by itself: for the log's records, once a pass. */
NODISCARD int file_write_cached(int fd, const void *data, size_t bytes, uint64_t offset);

NODISCARD int file_sync_data(int fd);
NODISCARD int file_sync_all(int fd);
NODISCARD int file_sync_dir(const char *path);
NODISCARD int file_allocate(int fd, uint64_t offset, uint64_t bytes);
NODISCARD int file_truncate(int fd, uint64_t bytes);
NODISCARD int64_t file_size(int fd);
NODISCARD int file_rename(const char *from, const char *to);
NODISCARD int file_unlink(const char *path);
/* An existing directory is fine: returns 0. */
NODISCARD int file_mkdir(const char *path, uint32_t mode);
NODISCARD int file_rmdir(const char *path);
bool file_exists(const char *path);

/* Calls `each` for every entry but . and .. in no particular order; a non-zero return ends the walk
 * and is returned. */
typedef int file_each_fn(void *context, const char *name);
NODISCARD int file_list(const char *path, file_each_fn *each, void *context);

/* Bytes free for this process on the file system of `path`, and its size. */
NODISCARD int file_space(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes);

/* Whether files below `dir` can be opened with O_DIRECT and read at 4 KiB (tried with a scratch
 * file). */
bool file_direct_works(const char *dir);

/* Takes the exclusive lock on `path` (created if absent), waiting up to timeout_ms for a dead
 * process's last writes; calls `waiting` (may be NULL) once when it has to wait. Returns the fd,
 * which holds the lock until closed everywhere, or ERR_LOCKED. */
NODISCARD int file_lock(const char *path, uint32_t timeout_ms, void (*waiting)(const char *path));

#endif
