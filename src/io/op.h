/*
 * op: one operation of an io (io.h): what is asked of the kernel, and what came of it.
 *
 * The caller embeds a struct io_op in an object of its own, fills it by io_prep and by name, hands
 * it over by io_submit and leaves it alone until `done` has run.
 */
#ifndef IO_OP_H
#define IO_OP_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

struct io_op;

enum io_kind {
    IO_READ,      /* fd, data, bytes, offset → bytes read */
    IO_WRITE,     /* fd, data, bytes, offset → bytes written, all of them */
    IO_SYNC_DATA, /* fd → 0 (fdatasync) */
    IO_SYNC_ALL,  /* fd → 0 (fsync; for directories and new files) */
    IO_OPEN,      /* path, flags, mode → fd */
    IO_CLOSE,     /* fd → 0 */
    IO_ALLOCATE,  /* fd, offset, length: fallocate, the file grows → 0 */
    IO_RENAME,    /* path, path_to → 0 */
    IO_UNLINK,    /* path → 0 */
    IO_MKDIR,     /* path, mode → 0; EEXIST is an error like any other */
    IO_SEND,      /* fd of an io_socket, iov, iov_count → 0 once all bytes are with the kernel;
                     one at a time for a socket; -EPIPE after io_socket_close */
    IO_KIND_COUNT,
};

typedef void io_done_fn(struct io_op *op);

/* One operation. Fill it with one of the io_prep_* functions, then io_submit. */
struct io_op {
    enum io_kind kind;
    int32_t result; /* >= 0 or -errno, valid inside and after `done` */
    io_done_fn *done;
    int fd;
    int flags;
    uint32_t mode;
    uint32_t bytes; /* IO_BYTES_MAX at most; of an IO_SEND set by io_submit */
    void *data;
    uint32_t region; /* the io_region_add that `data` lies in, or 0; for IO_READ and IO_WRITE */
    uint64_t offset;
    uint64_t length; /* IO_ALLOCATE */
    const char *path;
    const char *path_to;
    const struct iovec *iov; /* IO_SEND; at most IO_SEND_PARTS_MAX entries; not modified */
    uint32_t iov_count;
    /* The body's own: progress of a partial transfer, queueing. */
    uint32_t progress;
    uint32_t retries;
    uint32_t stuck; /* attempts in a row that moved nothing further */
    void *body;
    struct list_node node;
};

enum {
    IO_BYTES_MAX = 1 << 30, /* one read, write or send */
    IO_SEND_PARTS_MAX = 64, /* iovecs of one send */
    IO_EAGAIN_RETRIES_MAX = 1000,
};

/* Sets all fields; the others of the kind are then set by name or by io_prep_transfer. */
static inline void io_prep(struct io_op *op, enum io_kind kind, int fd, io_done_fn *done)
{
    *op = (struct io_op){.kind = kind, .fd = fd, .done = done};
}

/* The fields of an IO_READ or IO_WRITE, after io_prep. */
static inline void io_prep_transfer(struct io_op *op, enum io_kind kind, int fd, void *data,
                                    uint32_t bytes, uint64_t offset)
{
    op->kind = kind;
    op->fd = fd;
    op->data = data;
    op->bytes = bytes;
    op->offset = offset;
}

#endif
