#include "io/posix_files.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "fixture.h"

static void nothing(struct io_op *op)
{
    (void)op;
}

/* Waits for the threads' word and takes what has ended. */
static uint32_t reap(struct posix_files *files, int notify_fd)
{
    struct list ended;
    eventfd_t count;
    uint32_t reaped = 0;
    list_init(&ended);
    cr_assert_eq(eventfd_read(notify_fd, &count), 0);
    posix_files_reap(files, &ended);
    struct list_node *node;
    while ((node = list_pop_front(&ended)) != NULL) {
        cr_assert_eq(container_of(node, struct io_op, node)->result, -EBADF);
        reaped++;
    }
    return reaped;
}

static void run_many(uint32_t threads)
{
    enum { OPS = 500 };
    static struct io_op ops[OPS];
    struct posix_files *files;
    int notify_fd = eventfd(0, EFD_CLOEXEC);
    cr_assert_eq(posix_files_create(threads, notify_fd, &files), 0);
    for (uint32_t i = 0; i < OPS; i++) {
        io_prep(&ops[i], i % 2 == 0 ? IO_SYNC_DATA : IO_CLOSE, -1, nothing);
        posix_files_submit(files, &ops[i]);
    }
    for (uint32_t reaped = 0; reaped < OPS;) {
        reaped += reap(files, notify_fd);
    }
    posix_files_destroy(files);
    close(notify_fd);
}

Test(posix_files, each_operation_ends_once, .timeout = 60)
{
    run_many(1);
    run_many(7);
}

Test(posix_files, threads_end_without_work)
{
    struct posix_files *files;
    cr_assert_eq(posix_files_create(3, -1, &files), 0);
    posix_files_destroy(files);
    posix_files_destroy(NULL);
}

Test(posix_files, no_memory_is_an_error)
{
    struct posix_files *files;
    mem_fail_after(1, false);
    cr_assert_eq(posix_files_create(3, -1, &files), ERR_MEMORY);
    mem_fail_after(0, false);
}
