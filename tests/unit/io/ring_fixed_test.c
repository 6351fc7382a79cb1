/* Registered files and memory: that they are used, that nothing is held longer than it should be,
 * and that without them all goes as ever. */
#include "io/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

TestSuite(ring_fixed, .init = fixture_dir_make, .fini = fixture_dir_remove, .timeout = 60);

enum { BLOCK = 4096, SENDS = 200 };

static struct io *io_with(uint32_t files_max, uint32_t regions_max)
{
    struct io_options options = fixture_options();
    options.backend = IO_BACKEND_URING;
    options.files_max = files_max;
    options.regions_max = regions_max;
    return fixture_io(&options);
}

static struct io *io_default(void)
{
    struct io_options options = io_options_default();
    return io_with(options.files_max, options.regions_max);
}

static int open_file(struct io *io, const char *name)
{
    int fd = fixture_open(io, fixture_path(name), O_RDWR | O_CREAT);
    cr_assert_geq(fd, 0);
    return fd;
}

static bool has_slot(struct io *io, int fd)
{
    return (uint32_t)fd < ring_of(io)->files.count && ring_of(io)->files.taken[fd];
}

static void round_trip(struct io *io, int fd, uint32_t seed)
{
    uint8_t out[100];
    uint8_t in[100] = {0};
    fixture_fill(out, sizeof(out), seed);
    cr_assert_eq(fixture_write(io, fd, out, sizeof(out), 0), sizeof(out));
    cr_assert_eq(fixture_read(io, fd, in, sizeof(in), 0), sizeof(in));
    cr_assert(fixture_filled(in, sizeof(in), seed));
    struct io_op op;
    io_prep(&op, IO_SYNC_DATA, fd, NULL);
    cr_assert_eq(fixture_run(io, &op), 0);
    io_prep(&op, IO_SYNC_ALL, fd, NULL);
    cr_assert_eq(fixture_run(io, &op), 0);
}

/* ---- files ---- */

Test(ring_fixed, file_is_used_through_its_slot)
{
    struct io *io = io_default();
    int fd = open_file(io, "one");
    int other = open_file(io, "two");
    io_file_add(io, fd);
    cr_assert(has_slot(io, fd));
    round_trip(io, fd, 1);
    round_trip(io, other, 2);
    /* The number now stands for the other file, the slot still for the first. */
    uint8_t in[100];
    cr_assert_eq(dup2(other, fd), fd);
    cr_assert_eq(fixture_read(io, fd, in, sizeof(in), 0), sizeof(in));
    cr_assert(fixture_filled(in, sizeof(in), 1));
    cr_assert_eq(fixture_close(io, fd), 0);
    cr_assert_eq(fixture_close(io, other), 0);
    io_destroy(io);
}

Test(ring_fixed, number_of_a_closed_file_is_the_next_ones)
{
    struct io *io = io_default();
    for (uint32_t i = 0; i < 5; i++) {
        int fd = open_file(io, i % 2 == 0 ? "even" : "odd");
        cr_assert(!has_slot(io, fd));
        if (i != 3) {
            io_file_add(io, fd);
        }
        round_trip(io, fd, i);
        cr_assert_eq(fixture_close(io, fd), 0);
    }
    io_destroy(io);
}

/* The end of a pipe shows when nobody holds its other end any longer. */
static void await_end(struct io *io, int fd)
{
    char byte;
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (read(fd, &byte, 1) != 0) {
        cr_assert_eq(errno, EAGAIN);
        fixture_poll_now(io);
    }
}

Test(ring_fixed, closed_file_is_not_held_by_its_slot)
{
    struct io *io = io_default();
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    io_file_add(io, ends[1]);
    cr_assert(has_slot(io, ends[1]));
    cr_assert_eq(fixture_close(io, ends[1]), 0);
    cr_assert(!has_slot(io, ends[1]));
    await_end(io, ends[0]);
    cr_assert_eq(close(ends[0]), 0);
    io_destroy(io);
}

Test(ring_fixed, file_beyond_the_table_goes_without_a_slot)
{
    struct io *io = io_default();
    int fd = open_file(io, "file");
    io_destroy(io);
    for (uint32_t more = 0; more <= 1; more++) {
        io = io_with((uint32_t)fd + more, 1);
        io_file_add(io, fd);
        cr_assert_eq(has_slot(io, fd), more == 1);
        round_trip(io, fd, more);
        io_destroy(io);
    }
    cr_assert_eq(close(fd), 0);
}

Test(ring_fixed, table_is_no_larger_than_the_limit_of_descriptors)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 100;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct io *io = io_default();
    cr_assert_eq(ring_of(io)->files.count, 99);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(limit.rlim_cur, 100);
    io_destroy(io);
}

Test(ring_fixed, lock_is_held_with_and_without_a_table)
{
    for (uint32_t files_max = 0; files_max <= 1; files_max++) {
        struct io_options options = fixture_options();
        int ends[2];
        char byte;
        cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        options.backend = IO_BACKEND_URING;
        options.files_max = files_max;
        options.lock_fd = ends[1];
        struct io *io = fixture_io(&options);
        cr_assert_eq(close(ends[1]), 0);
        cr_assert_eq(read(ends[0], &byte, 1), -1);
        cr_assert_eq(errno, EAGAIN);
        io_destroy(io);
        cr_assert_eq(close(ends[0]), 0);
    }
}

/* ---- sockets ---- */

static uint32_t sent;
static bool closed;

static void on_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)socket;
    (void)data;
    (void)bytes;
}

static void on_sent(struct io_op *op)
{
    cr_assert_eq(op->result, 0);
    sent++;
}

static void on_closed(struct io_socket *socket)
{
    (void)socket;
    closed = true;
}

Test(ring_fixed, socket_that_sends_a_lot_has_a_slot_until_it_is_closed)
{
    struct io *io = io_default();
    struct io_socket socket = {0};
    struct iovec part = {.iov_base = (void *)"x", .iov_len = 1};
    char bytes[2 * SENDS];
    int fds[2];
    fixture_pair(fds);
    io_recv_start(io, &socket, fds[0], on_recv);
    for (uint32_t i = 0; i < SENDS; i++) {
        struct io_op op;
        cr_assert(i > 1 || !has_slot(io, fds[0]));
        io_prep(&op, IO_SEND, fds[0], on_sent);
        op.iov = &part;
        op.iov_count = 1;
        io_submit(io, &op);
        POLL_UNTIL(io, sent == i + 1);
    }
    cr_assert(has_slot(io, fds[0]));
    cr_assert_eq(read(fds[1], bytes, sizeof(bytes)), SENDS);
    io_socket_close(io, &socket, on_closed);
    POLL_UNTIL(io, closed);
    cr_assert(!has_slot(io, fds[0]));
    await_end(io, fds[1]);
    cr_assert_eq(close(fds[1]), 0);
    io_destroy(io);
}

/* ---- regions ---- */

static int32_t transfer(struct io *io, enum io_kind kind, int fd, void *data, uint32_t bytes,
                        uint32_t region)
{
    struct io_op op;
    io_prep(&op, kind, fd, NULL);
    io_prep_transfer(&op, kind, fd, data, bytes, 0);
    op.region = region;
    return fixture_run(io, &op);
}

/* Writes and reads the memory as lying in the region, which it may or may not do. */
static void round_trip_in(struct io *io, int fd, uint8_t *data, uint32_t bytes, uint32_t region)
{
    fixture_fill(data, bytes, bytes);
    cr_assert_eq(transfer(io, IO_WRITE, fd, data, bytes, region), (int32_t)bytes);
    memset(data, 0, bytes);
    cr_assert_eq(transfer(io, IO_READ, fd, data, bytes, region), (int32_t)bytes);
    cr_assert(fixture_filled(data, bytes, bytes));
}

static uint8_t *blocks_alloc(uint32_t count)
{
    uint8_t *blocks = aligned_alloc(BLOCK, (size_t)count * BLOCK);
    cr_assert_not_null(blocks);
    memset(blocks, 0, (size_t)count * BLOCK);
    return blocks;
}

Test(ring_fixed, transfers_inside_across_and_outside_of_a_region)
{
    struct io *io = io_default();
    struct ring *ring = ring_of(io);
    uint8_t *blocks = blocks_alloc(4);
    uint32_t region = io_region_add(io, blocks + BLOCK, 2 * BLOCK);
    if (region == 0) {
        cr_skip_test("the kernel registers no memory");
    }
    const struct {
        uint32_t from, bytes;
        bool inside;
    } cases[] = {
        {BLOCK, BLOCK, true},          {BLOCK, 2 * BLOCK, true}, {2 * BLOCK, BLOCK, true},
        {2 * BLOCK, BLOCK + 1, false}, {BLOCK - 1, 2, false},    {0, BLOCK, false},
        {3 * BLOCK, BLOCK, false},     {3 * BLOCK - 1, 1, true}, {0, 4 * BLOCK, false},
    };
    int fd = open_file(io, "file");
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *data = blocks + cases[i].from;
        cr_assert_eq(ring_region_has(ring, region, data, cases[i].bytes), cases[i].inside);
        cr_assert(!ring_region_has(ring, 0, data, cases[i].bytes));
        round_trip_in(io, fd, data, cases[i].bytes, region);
    }
    io_region_remove(io, region);
    cr_assert(!ring_region_has(ring, region, blocks + BLOCK, BLOCK));
    round_trip_in(io, fd, blocks + BLOCK, BLOCK, region);
    cr_assert_eq(fixture_close(io, fd), 0);
    io_destroy(io);
    free(blocks);
}

Test(ring_fixed, region_beyond_the_table_is_not_registered)
{
    struct io *io = io_with(1, 2);
    uint8_t *blocks = blocks_alloc(3);
    uint32_t regions[3];
    for (uint32_t i = 0; i < 3; i++) {
        regions[i] = io_region_add(io, blocks + i * BLOCK, BLOCK);
    }
    if (regions[0] == 0) {
        cr_skip_test("the kernel registers no memory");
    }
    cr_assert_neq(regions[1], 0);
    cr_assert_eq(regions[2], 0);
    int fd = open_file(io, "file");
    for (uint32_t i = 0; i < 3; i++) {
        round_trip_in(io, fd, blocks + i * BLOCK, BLOCK, regions[i]);
    }
    io_region_remove(io, regions[2]); /* 0 is fine */
    io_region_remove(io, regions[0]);
    cr_assert_eq(io_region_add(io, blocks + 2 * BLOCK, BLOCK), regions[0]);
    cr_assert_eq(io_region_add(io, blocks, BLOCK), 0);
    round_trip_in(io, fd, blocks + 2 * BLOCK, BLOCK, regions[0]);
    io_region_remove(io, regions[0]);
    io_region_remove(io, regions[1]);
    cr_assert_eq(fixture_close(io, fd), 0);
    io_destroy(io);
    free(blocks);
}

Test(ring_fixed, no_regions_are_asked_for)
{
    struct io *io = io_with(1, 0);
    uint8_t *blocks = blocks_alloc(1);
    cr_assert_eq(io_region_add(io, blocks, BLOCK), 0);
    io_destroy(io);
    free(blocks);
}

/* Without CAP_IPC_LOCK even root's locked memory has a limit. */
static void limit_locked_memory(size_t bytes)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;
    cr_assert_eq(syscall(SYS_capget, &header, caps), 0);
    caps[0].effective &= ~(1U << CAP_IPC_LOCK);
    cr_assert_eq(syscall(SYS_capset, &header, caps), 0);
    cr_assert_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

Test(ring_fixed, half_of_the_limit_of_locked_memory_is_left_to_others)
{
    struct io *io = io_default();
    struct io *other = io_default();
    uint8_t *blocks = blocks_alloc(3);
    uint32_t probe = io_region_add(io, blocks, BLOCK);
    if (probe == 0) {
        cr_skip_test("the kernel registers no memory");
    }
    io_region_remove(io, probe);
    limit_locked_memory(4 * BLOCK);
    uint32_t first = io_region_add(io, blocks, BLOCK);
    uint32_t second = io_region_add(other, blocks + BLOCK, BLOCK);
    cr_assert_neq(first, 0);
    cr_assert_neq(second, 0);
    cr_assert_eq(io_region_add(io, blocks + 2 * BLOCK, BLOCK), 0);
    io_region_remove(io, first);
    /* That one doesn't ask any more; the other may. */
    cr_assert_eq(io_region_add(io, blocks, BLOCK), 0);
    first = io_region_add(other, blocks, BLOCK);
    cr_assert_neq(first, 0);
    io_region_remove(other, first);
    io_region_remove(other, second);
    io_destroy(io);
    io_destroy(other);
    free(blocks);
}

Test(ring_fixed, refused_memory_is_used_without_registration)
{
    struct io *io = io_default();
    uint8_t *blocks = blocks_alloc(2);
    int fd = open_file(io, "file");
    cr_assert_eq(mprotect(blocks, 2 * BLOCK, PROT_NONE), 0);
    cr_assert_eq(io_region_add(io, blocks, 2 * BLOCK), 0);
    cr_assert_eq(mprotect(blocks, 2 * BLOCK, PROT_READ | PROT_WRITE), 0);
    cr_assert(ring_of(io)->regions.count == 0 || ring_of(io)->regions.refused);
    uint32_t region = io_region_add(io, blocks, 2 * BLOCK);
    cr_assert_eq(region, 0);
    round_trip_in(io, fd, blocks, 2 * BLOCK, region);
    cr_assert_eq(fixture_close(io, fd), 0);
    io_destroy(io);
    free(blocks);
}
