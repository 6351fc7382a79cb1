#include <fcntl.h>
#include <sys/stat.h>

#include "io/ring.h"
#include "io/transfer.h"

static void prep_transfer(const struct ring *ring, struct io_uring_sqe *sqe, const struct io_op *op)
{
    uint32_t start = transfer_start(op);
    uint8_t *data = op->data;
    uint32_t bytes = op->bytes - start;
    if (op->kind == IO_READ) {
        io_uring_prep_read(sqe, op->fd, data + start, bytes, op->offset + start);
    } else {
        io_uring_prep_write(sqe, op->fd, data + start, bytes, op->offset + start);
    }
    if (ring_region_has(ring, op->region, op->data, op->bytes)) {
        sqe->opcode = op->kind == IO_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
        sqe->buf_index = (uint16_t)(op->region - 1);
    }
    ring_file_use(ring, sqe, op->fd);
}

static void prep_disk(const struct ring *ring, struct io_uring_sqe *sqe, const struct io_op *op)
{
    switch (op->kind) {
    case IO_READ:
    case IO_WRITE:
        prep_transfer(ring, sqe, op);
        break;
    case IO_SYNC_DATA:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        ring_file_use(ring, sqe, op->fd);
        break;
    case IO_SYNC_ALL:
        io_uring_prep_fsync(sqe, op->fd, 0);
        ring_file_use(ring, sqe, op->fd);
        break;
    case IO_OPEN:
        io_uring_prep_openat(sqe, AT_FDCWD, op->path, op->flags | O_CLOEXEC, op->mode);
        break;
    case IO_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    case IO_ALLOCATE:
        io_uring_prep_fallocate(sqe, op->fd, 0, (off_t)op->offset, (off_t)op->length);
        break;
    case IO_RENAME:
        io_uring_prep_renameat(sqe, AT_FDCWD, op->path, AT_FDCWD, op->path_to, 0);
        break;
    case IO_UNLINK:
        io_uring_prep_unlinkat(sqe, AT_FDCWD, op->path, 0);
        break;
    case IO_MKDIR:
        io_uring_prep_mkdirat(sqe, AT_FDCWD, op->path, op->mode);
        break;
    case IO_SEND:
    case IO_KIND_COUNT:
        UNREACHABLE("not a disk operation");
    }
}

static bool disk_start(struct ring *ring, struct io_op *op)
{
    ASSERT(ring->disk_in_flight <= ring->io.options.ops_max);
    if (ring->disk_in_flight == ring->io.options.ops_max) {
        return false;
    }
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (sqe == NULL) {
        return false;
    }
    prep_disk(ring, sqe, op);
    io_uring_sqe_set_data64(sqe, ring_user_data(op, RING_TAG_DISK));
    ring->disk_in_flight++;
    return true;
}

void ring_disk_submit(struct ring *ring, struct io_op *op)
{
    if (op->kind == IO_CLOSE) {
        ring_file_remove(ring, op->fd);
    }
    if (!list_empty(&ring->disk_waiting) || !disk_start(ring, op)) {
        list_push_back(&ring->disk_waiting, &op->node);
    }
}

void ring_disk_restart(struct ring *ring)
{
    struct list_node *node;
    while ((node = list_first(&ring->disk_waiting)) != NULL) {
        if (!disk_start(ring, container_of(node, struct io_op, node))) {
            return;
        }
        list_remove(node);
    }
}

int ring_disk_complete(struct ring *ring, struct io_op *op, int32_t result)
{
    ASSERT(ring->disk_in_flight > 0);
    ring->disk_in_flight--;
    int32_t final;
    bool ended = transfer_advance(op, result, &final);
    if (!ended) {
        /* In front of those that have not begun, so that a started operation isn't overtaken. */
        list_push_front(&ring->disk_waiting, &op->node);
    }
    ring_disk_restart(ring);
    if (ended) {
        io_op_end(&ring->io, op, final);
    }
    return ended;
}
