/*
 * transfer: what comes after one attempt at a disk operation, where the kernel did less than it was
 * asked or asks to try again. Pure; for the bodies of io.h that hand single attempts to the kernel.
 *
 * After a short attempt the next one starts at the last 4 KiB boundary of the file below what is
 * done, not behind it: O_DIRECT takes only aligned attempts. So an attempt that is cut short within
 * its first block moves nothing, and neither does a read that stands at the end of the file in the
 * middle of a block: which of the two it was shows only when it goes on like that.
 */
#ifndef IO_TRANSFER_H
#define IO_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"

enum {
    TRANSFER_ALIGN = 4096,
    /* So many attempts in a row that brought something, but nothing new, are the end of the file,
     * and of a write an error. One that brought nothing at all is that at once. */
    TRANSFER_STUCK_MAX = 16,
};

/* How much of the operation's bytes lies before the attempt to make now. */
uint32_t transfer_start(const struct io_op *op);

/* Takes an attempt's result (>= 0 or -errno) of an operation other than IO_SEND. True: *ret_result
 * is the operation's. False: op->progress, op->retries or op->stuck has moved, make the next
 * attempt. */
NODISCARD bool transfer_advance(struct io_op *op, int32_t result, int32_t *ret_result);

/* Whether an error asks for another attempt; counts it in op->retries, which is bounded. */
NODISCARD bool transfer_retry(struct io_op *op, int32_t result);

#endif
