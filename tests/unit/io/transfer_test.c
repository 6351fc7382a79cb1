#include "io/transfer.h"

#include <errno.h>

#include "fixture.h"

static struct io_op transfer_of(enum io_kind kind, uint32_t bytes, uint64_t offset)
{
    struct io_op op;
    io_prep(&op, kind, 3, NULL);
    io_prep_transfer(&op, kind, 3, NULL, bytes, offset);
    return op;
}

/* The attempt's result must lead to another attempt, which starts at `start`. */
static void goes_on(struct io_op *op, int32_t result, uint32_t start)
{
    int32_t final;
    cr_assert(!transfer_advance(op, result, &final), "ended with %d", final);
    cr_assert_eq(transfer_start(op), start, "starts at %u", transfer_start(op));
}

static void ends(struct io_op *op, int32_t result, int32_t expected)
{
    int32_t final = 12345;
    cr_assert(transfer_advance(op, result, &final));
    cr_assert_eq(final, expected, "ended with %d", final);
}

Test(transfer, whole_attempt_ends_it)
{
    struct io_op op = transfer_of(IO_READ, 8192, 0);
    cr_assert_eq(transfer_start(&op), 0);
    ends(&op, 8192, 8192);
    op = transfer_of(IO_WRITE, 8192, 4096);
    ends(&op, 8192, 8192);
    op = transfer_of(IO_READ, 0, 77);
    ends(&op, 0, 0);
    op = transfer_of(IO_WRITE, 0, 77);
    ends(&op, 0, 0);
}

Test(transfer, short_attempt_goes_on_at_a_block_boundary)
{
    struct io_op op = transfer_of(IO_WRITE, 16384, 8192);
    goes_on(&op, 4096, 4096);
    goes_on(&op, 4096 + 512, 8192); /* 8704 are done, the block is written again */
    ends(&op, 8192, 16384);
}

Test(transfer, boundary_is_the_files_not_the_buffers)
{
    struct io_op op = transfer_of(IO_READ, 10000, 100);
    goes_on(&op, 5000, 4096 - 100);
    ends(&op, 10000 - (4096 - 100), 10000);
    op = transfer_of(IO_READ, 100, 4000);
    goes_on(&op, 50, 0); /* no boundary inside: from the start */
    ends(&op, 100, 100);
}

/* As many attempts as may bring nothing new. */
static void stays(struct io_op *op, int32_t result)
{
    uint32_t start = transfer_start(op);
    for (uint32_t i = 0; i < TRANSFER_STUCK_MAX; i++) {
        goes_on(op, result, start);
    }
}

Test(transfer, read_ends_where_nothing_new_comes)
{
    struct io_op op = transfer_of(IO_READ, 16384, 0);
    goes_on(&op, 5000, 4096);
    stays(&op, 904);
    ends(&op, 904, 5000);
    op = transfer_of(IO_READ, 16384, 0);
    goes_on(&op, 8192, 8192);
    ends(&op, 0, 8192);
    op = transfer_of(IO_READ, 16384, 0);
    ends(&op, 0, 0);
}

Test(transfer, read_of_a_file_that_shrinks_meanwhile_keeps_what_came)
{
    struct io_op op = transfer_of(IO_READ, 16384, 0);
    goes_on(&op, 5000, 4096);
    ends(&op, 0, 5000);
}

Test(transfer, write_of_nothing_is_an_error)
{
    struct io_op op = transfer_of(IO_WRITE, 4096, 0);
    ends(&op, 0, -EIO);
    op = transfer_of(IO_WRITE, 16384, 0);
    goes_on(&op, 5000, 4096);
    ends(&op, 0, -EIO);
}

Test(transfer, write_that_stays_where_it_is_is_an_error)
{
    struct io_op op = transfer_of(IO_WRITE, 16384, 0);
    goes_on(&op, 5000, 4096);
    stays(&op, 904);
    ends(&op, 904, -EIO);
}

Test(transfer, attempts_cut_short_at_the_same_place_are_no_end)
{
    struct io_op op = transfer_of(IO_READ, 4096, 8192);
    goes_on(&op, 512, 0);
    stays(&op, 512);
    ends(&op, 4096, 4096);
    op = transfer_of(IO_WRITE, 4096, 8192);
    goes_on(&op, 2048, 0);
    stays(&op, 512);
    goes_on(&op, 2560, 0); /* further: the count starts again */
    stays(&op, 2560);
    ends(&op, 4096, 4096);
}

Test(transfer, error_ends_it)
{
    struct io_op op = transfer_of(IO_WRITE, 16384, 0);
    goes_on(&op, 4096, 4096);
    ends(&op, -ENOSPC, -ENOSPC);
    op = transfer_of(IO_READ, 16384, 0);
    ends(&op, -EIO, -EIO);
}

static void retried_up_to_the_limit(struct io_op op, int32_t result)
{
    for (uint32_t i = 0; i < IO_EAGAIN_RETRIES_MAX; i++) {
        goes_on(&op, result, 0);
    }
    ends(&op, result, result);
}

Test(transfer, passing_errors_are_retried_up_to_the_limit)
{
    retried_up_to_the_limit(transfer_of(IO_READ, 4096, 0), -EAGAIN);
    retried_up_to_the_limit(transfer_of(IO_WRITE, 4096, 0), -EINTR);
    retried_up_to_the_limit(transfer_of(IO_OPEN, 0, 0), -EINTR);
    retried_up_to_the_limit(transfer_of(IO_RENAME, 0, 0), -EAGAIN);
}

Test(transfer, progress_starts_the_count_of_retries_again)
{
    struct io_op op = transfer_of(IO_READ, 16384, 0);
    for (uint32_t i = 0; i < IO_EAGAIN_RETRIES_MAX; i++) {
        goes_on(&op, -EAGAIN, 0);
    }
    goes_on(&op, 4096, 4096);
    goes_on(&op, -EAGAIN, 4096);
    ends(&op, 12288, 16384);
}

Test(transfer, sync_and_close_are_never_repeated)
{
    struct io_op op = transfer_of(IO_SYNC_DATA, 0, 0);
    ends(&op, -EINTR, -EINTR);
    op = transfer_of(IO_SYNC_ALL, 0, 0);
    ends(&op, -EAGAIN, -EAGAIN);
    op = transfer_of(IO_CLOSE, 0, 0);
    ends(&op, -EINTR, -EINTR);
}

Test(transfer, result_of_other_kinds_is_passed_on)
{
    struct io_op op = transfer_of(IO_OPEN, 0, 0);
    ends(&op, 17, 17);
    op = transfer_of(IO_UNLINK, 0, 0);
    ends(&op, -ENOENT, -ENOENT);
}
