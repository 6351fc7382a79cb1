#include "io/transfer.h"

#include <errno.h>

#include "base/bytes.h"

uint32_t transfer_start(const struct io_op *op)
{
    uint64_t over = (op->offset + op->progress) % TRANSFER_ALIGN;
    return op->progress - (uint32_t)min_u64(over, op->progress);
}

bool transfer_retry(struct io_op *op, int32_t result)
{
    if (result != -EAGAIN && result != -EINTR) {
        return false;
    }
    return ++op->retries <= IO_EAGAIN_RETRIES_MAX;
}

/* A failed sync is final: the kernel may have dropped the pages, and a second sync would find
 * nothing to complain about. A close has closed, whatever it returns. */
static bool is_retryable(enum io_kind kind)
{
    return kind != IO_SYNC_DATA && kind != IO_SYNC_ALL && kind != IO_CLOSE;
}

bool transfer_advance(struct io_op *op, int32_t result, int32_t *ret_result)
{
    ASSERT(op->kind != IO_SEND);
    bool moves_bytes = op->kind == IO_READ || op->kind == IO_WRITE;
    if (result < 0 || !moves_bytes) {
        *ret_result = result;
        return !(is_retryable(op->kind) && transfer_retry(op, result));
    }
    uint32_t reached = transfer_start(op) + (uint32_t)result;
    ASSERT(reached <= op->bytes);
    bool stuck = reached <= op->progress;
    if (!stuck) {
        op->progress = reached;
        op->retries = 0;
        op->stuck = 0;
    }
    if (op->progress == op->bytes) {
        *ret_result = (int32_t)op->bytes;
        return true;
    }
    if (stuck && (result == 0 || ++op->stuck > TRANSFER_STUCK_MAX)) {
        *ret_result = op->kind == IO_READ ? (int32_t)op->progress : -EIO;
        return true;
    }
    return false;
}
