/*
 * What the tests of io share: an io of the backend under test, a scratch directory, and operations
 * that are polled until they end. TEST_IO_BACKEND says which backend: uring, uring_plain (a ring
 * without any of the newer set-up flags) or posix.
 */
#ifndef IO_FIXTURE_H
#define IO_FIXTURE_H

#include <criterion/criterion.h>

#include "io/io.h"

enum { FIXTURE_PATH_BYTES = 256 };

/* The defaults, for the backend under test. */
struct io_options fixture_options(void);

/* Creates an io, or ends the test as skipped where the kernel refuses io_uring. */
struct io *fixture_io(const struct io_options *options);

/* One io_poll that waits for the next event. */
void fixture_poll(struct io *io);

/* One io_poll that doesn't wait. Returns the callbacks run. */
int fixture_poll_now(struct io *io);

#define POLL_UNTIL(io, condition) \
    do {                          \
        while (!(condition)) {    \
            fixture_poll(io);     \
        }                         \
    } while (0)

/* Submits an operation that io_prep has set up, polls until it has ended, returns its result. The
 * `done` is the fixture's own. */
int32_t fixture_run(struct io *io, struct io_op *op);

/* A pair of connected sockets, closed on exec. */
void fixture_pair(int fds[2]);

/* The usual operations, each run to its end. */
int32_t fixture_open(struct io *io, const char *path, int flags);
int32_t fixture_close(struct io *io, int fd);
int32_t fixture_read(struct io *io, int fd, void *data, uint32_t bytes, uint64_t offset);
int32_t fixture_write(struct io *io, int fd, const void *data, uint32_t bytes, uint64_t offset);

/* A fresh directory, and removing it with all that is in it. */
extern char fixture_dir[FIXTURE_PATH_BYTES];
void fixture_dir_make(void);
void fixture_dir_remove(void);

/* The path of `name` in the directory; valid until the fourth call from now. */
const char *fixture_path(const char *name);

/* Bytes that differ from place to place, so that a misplaced piece shows. */
void fixture_fill(void *data, size_t bytes, uint32_t seed);
bool fixture_filled(const void *data, size_t bytes, uint32_t seed);

#endif
