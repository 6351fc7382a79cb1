#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/file_disk.h"
#include "io/transfer.h"

enum { DIRECT_BYTES = 4096 };

/* Repeats a call that a signal interrupted before it did anything. */
#define REPEAT(call)                  \
    ({                                \
        __auto_type result_ = (call); \
        while (result_ == -EINTR) {   \
            result_ = (call);         \
        }                             \
        result_;                      \
    })

int file_open(const char *path, int flags, uint32_t mode)
{
    return REPEAT(file_get_disk()->open(path, flags | O_CLOEXEC, mode));
}

int file_close(int fd)
{
    return file_get_disk()->close(fd);
}

/* ---- reading and writing ---- */

/* One attempt at what is left of the operation. */
static int32_t transfer_once(const struct io_op *op)
{
    const struct file_disk *disk = file_get_disk();
    uint32_t start = transfer_start(op);
    uint8_t *data = (uint8_t *)op->data + start;
    uint32_t bytes = op->bytes - start;
    uint64_t offset = op->offset + start;
    int64_t result = op->kind == IO_READ ? disk->read(op->fd, data, bytes, offset)
                                         : disk->write(op->fd, data, bytes, offset);
    return (int32_t)result;
}

/* At most IO_BYTES_MAX bytes; returns the bytes moved. */
static int32_t transfer_part(struct io_op *op)
{
    int32_t result;
    while (!transfer_advance(op, transfer_once(op), &result)) {
    }
    return result;
}

static int64_t transfer(enum io_kind kind, int fd, void *data, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        struct io_op op = {.kind = kind};
        uint32_t part = (uint32_t)min_u64(bytes - done, IO_BYTES_MAX);
        io_prep_transfer(&op, kind, fd, (uint8_t *)data + done, part, offset + done);
        int32_t moved = transfer_part(&op);
        if (moved < 0) {
            return moved;
        }
        done += (uint32_t)moved;
        if ((uint32_t)moved < part) {
            break;
        }
    }
    return (int64_t)done;
}

int64_t file_read(int fd, void *data, size_t bytes, uint64_t offset)
{
    return transfer(IO_READ, fd, data, bytes, offset);
}

int file_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    int64_t written = transfer(IO_WRITE, fd, (void *)data, bytes, offset);
    ASSERT(written < 0 || (size_t)written == bytes);
    return written < 0 ? (int)written : 0;
}

int file_write_cached(int fd, const void *data, size_t bytes, uint64_t offset)
{
    return file_write(fd, data, bytes, offset);
}

/* ---- the rest of a file ---- */

/* Not repeated, whatever it returns: after a failed sync the pages may be gone. */
int file_sync_data(int fd)
{
    return file_get_disk()->sync_data(fd);
}

int file_sync_all(int fd)
{
    return file_get_disk()->sync_all(fd);
}

int file_sync_dir(const char *path)
{
    int fd = TRY(file_open(path, O_RDONLY | O_DIRECTORY, 0));
    int err = file_sync_all(fd);
    IGNORE(file_close(fd), "it was only read from");
    return err;
}

int file_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    return REPEAT(file_get_disk()->allocate(fd, offset, bytes));
}

int file_truncate(int fd, uint64_t bytes)
{
    return REPEAT(file_get_disk()->truncate(fd, bytes));
}

int64_t file_size(int fd)
{
    return file_get_disk()->size(fd);
}

/* ---- names ---- */

int file_rename(const char *from, const char *to)
{
    return file_get_disk()->rename(from, to);
}

int file_unlink(const char *path)
{
    return file_get_disk()->unlink(path);
}

int file_mkdir(const char *path, uint32_t mode)
{
    int err = file_get_disk()->mkdir(path, mode);
    return err == -EEXIST ? 0 : err;
}

int file_rmdir(const char *path)
{
    return file_get_disk()->rmdir(path);
}

bool file_exists(const char *path)
{
    return file_get_disk()->exists(path) == 0;
}

int file_list(const char *path, file_each_fn *each, void *context)
{
    return file_get_disk()->list(path, each, context);
}

int file_space(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
    return file_get_disk()->space(path, ret_free_bytes, ret_total_bytes);
}

/* ---- O_DIRECT ---- */

static bool direct_round_trip(const char *path, uint8_t *block)
{
    int fd = file_open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (fd < 0) {
        return false;
    }
    memset(block, 0xd1, DIRECT_BYTES);
    bool works = file_write(fd, block, DIRECT_BYTES, 0) == 0 &&
                 file_read(fd, block, DIRECT_BYTES, 0) == DIRECT_BYTES;
    IGNORE(file_close(fd), "a scratch file");
    IGNORE(file_unlink(path), "a scratch file; if it stays it is harmless");
    return works;
}

bool file_direct_works(const char *dir)
{
    static const char name[] = "direct-probe.tmp";
    size_t path_bytes = strlen(dir) + 1 + sizeof(name);
    char *path = mem_alloc(path_bytes);
    uint8_t *block = mem_alloc_aligned(DIRECT_BYTES, DIRECT_BYTES);
    bool works = false;
    if (path != NULL && block != NULL) {
        (void)snprintf(path, path_bytes, "%s/%s", dir, name);
        works = direct_round_trip(path, block);
    }
    mem_free(block);
    mem_free(path);
    return works;
}
