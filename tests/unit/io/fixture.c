#include "fixture.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/ring.h"

enum { TIMEOUT_NS = 1000000000 };

char fixture_dir[FIXTURE_PATH_BYTES];

static bool backend_is(const char *name)
{
    const char *wanted = getenv("TEST_IO_BACKEND");
    return strcmp(wanted == NULL ? "uring" : wanted, name) == 0;
}

struct io_options fixture_options(void)
{
    struct io_options options = io_options_default();
    options.backend = backend_is("posix") ? IO_BACKEND_POSIX : IO_BACKEND_URING;
    return options;
}

static int create(const struct io_options *options, struct io **ret_io)
{
    const unsigned plain = 0;
    return backend_is("uring_plain") ? ring_create_with(options, &plain, 1, ret_io)
                                     : io_create(options, ret_io);
}

struct io *fixture_io(const struct io_options *options)
{
    struct io *io = NULL;
    int err = create(options, &io);
    if (options->backend == IO_BACKEND_URING && (err == -ENOSYS || err == -EPERM)) {
        fprintf(stderr, "skipped: the kernel refuses io_uring (%s)\n", error_name(err));
        cr_skip_test("the kernel refuses io_uring");
    }
    cr_assert_eq(err, 0, "io_create: %s", error_name(err));
    return io;
}

void fixture_poll(struct io *io)
{
    struct io_wait wait = {.timeout_ns = TIMEOUT_NS};
    cr_assert_geq(io_poll(io, &wait), 0);
}

int fixture_poll_now(struct io *io)
{
    struct io_wait wait = {.timeout_ns = 0};
    int ran = io_poll(io, &wait);
    cr_assert_geq(ran, 0);
    return ran;
}

static bool run_ended;

static void run_done(struct io_op *op)
{
    (void)op;
    run_ended = true;
}

int32_t fixture_run(struct io *io, struct io_op *op)
{
    run_ended = false;
    op->done = run_done;
    io_submit(io, op);
    cr_assert(!run_ended, "done ran inside io_submit");
    POLL_UNTIL(io, run_ended);
    return op->result;
}

void fixture_pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

int32_t fixture_open(struct io *io, const char *path, int flags)
{
    struct io_op op;
    io_prep(&op, IO_OPEN, -1, NULL);
    op.path = path;
    op.flags = flags;
    op.mode = 0600;
    return fixture_run(io, &op);
}

int32_t fixture_close(struct io *io, int fd)
{
    struct io_op op;
    io_prep(&op, IO_CLOSE, fd, NULL);
    return fixture_run(io, &op);
}

int32_t fixture_read(struct io *io, int fd, void *data, uint32_t bytes, uint64_t offset)
{
    struct io_op op;
    io_prep(&op, IO_READ, fd, NULL);
    io_prep_transfer(&op, IO_READ, fd, data, bytes, offset);
    return fixture_run(io, &op);
}

int32_t fixture_write(struct io *io, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct io_op op;
    io_prep(&op, IO_WRITE, fd, NULL);
    io_prep_transfer(&op, IO_WRITE, fd, (void *)data, bytes, offset);
    return fixture_run(io, &op);
}

void fixture_dir_make(void)
{
    (void)snprintf(fixture_dir, sizeof(fixture_dir), "/tmp/io-test-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture_dir));
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

void fixture_dir_remove(void)
{
    cr_assert_eq(nftw(fixture_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fixture_path(const char *name)
{
    static char paths[4][2 * FIXTURE_PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", fixture_dir, name);
    return path;
}

static uint8_t byte_at(size_t index, uint32_t seed)
{
    return (uint8_t)((index * 2654435761U + index / 251 + seed * 40503U) >> 3);
}

void fixture_fill(void *data, size_t bytes, uint32_t seed)
{
    uint8_t *to = data;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = byte_at(i, seed);
    }
}

bool fixture_filled(const void *data, size_t bytes, uint32_t seed)
{
    const uint8_t *from = data;
    for (size_t i = 0; i < bytes; i++) {
        if (from[i] != byte_at(i, seed)) {
            return false;
        }
    }
    return true;
}
