/* What only the io_uring body has: its steps back on older kernels, and its queues when full. What
 * it shares with the others is in disk_test, io_test and net_test. */
#include "io/ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"
#include "fixture.h"

TestSuite(ring, .timeout = 60);

enum { UNKNOWN_SETUP = 1U << 30 };

static struct io *io_default(void)
{
    struct io_options options = fixture_options();
    options.backend = IO_BACKEND_URING;
    return fixture_io(&options);
}

static int poll_for(struct io *io, int64_t timeout_ns)
{
    struct io_wait wait = {.timeout_ns = timeout_ns};
    return io_poll(io, &wait);
}

/* ---- set-up ---- */

Test(ring, setup_steps_back_to_what_the_kernel_takes)
{
    io_destroy(io_default()); /* skips where there is no io_uring at all */
    const unsigned setups[] = {UNKNOWN_SETUP, UNKNOWN_SETUP | IORING_SETUP_CQSIZE, 0};
    struct io_options options = io_options_default();
    struct io *io;
    cr_assert_eq(ring_create_with(&options, setups, 2, &io), -EINVAL);
    cr_assert_eq(ring_create_with(&options, setups, 3, &io), 0);
    cr_assert_eq(ring_of(io)->uring.flags, 0);
    cr_assert_eq(poll_for(io, 0), 0);
    io_destroy(io);
}

Test(ring, lock_that_is_no_descriptor_is_refused)
{
    io_destroy(io_default());
    struct io_options options = io_options_default();
    struct io *io;
    options.lock_fd = 100000;
    cr_assert_eq(ring_create(&options, &io), -EBADF);
}

/* ---- waiting and waking without the newer calls ---- */

Test(ring, batch_is_waited_for_in_steps_where_the_kernel_cannot)
{
    struct io *io = io_default();
    struct io_wait forever = {.timeout_ns = -1, .batch = 16, .batch_us = 100};
    struct io_wait shorter = {.timeout_ns = 1000000, .batch = 16, .batch_us = 100};
    struct io_wait tiny = {.timeout_ns = 1000, .batch = 16, .batch_us = 100};
    ring_of(io)->min_wait = false;
    cr_assert_eq(io_poll(io, &shorter), 0);
    cr_assert_eq(io_poll(io, &tiny), 0);
    io_wake(io, NULL);
    cr_assert_eq(io_poll(io, &forever), 0);
    io_wake(io, NULL);
    cr_assert_eq(io_poll(io, &shorter), 0);
    io_destroy(io);
}

enum { ECHO_SOCKETS = 2 };

static int echo_fds[ECHO_SOCKETS];

/* Gives back one byte of each socket, when all have come. */
static void echo_run(void *context)
{
    (void)context;
    char bytes[ECHO_SOCKETS];
    for (uint32_t i = 0; i < ECHO_SOCKETS; i++) {
        cr_assert_eq(read(echo_fds[i], &bytes[i], 1), 1);
    }
    for (uint32_t i = 0; i < ECHO_SOCKETS; i++) {
        cr_assert_eq(write(echo_fds[i], &bytes[i], 1), 1);
    }
}

static uint32_t echoes;

static void echo_received(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)socket;
    cr_assert_eq(bytes, 1);
    cr_assert_eq(data[0], 'x');
    echoes++;
}

static uint32_t sends_ended;

static void echo_sent(struct io_op *op)
{
    cr_assert_eq(op->result, 0);
    sends_ended++;
}

static void echo_closed(struct io_socket *socket)
{
    socket->fd = -1;
}

/* Sends on all sockets, polls once for a batch of as many events, and has the echoes. */
static void batch_with_sends(bool min_wait)
{
    struct io *io = io_default();
    struct io_socket sockets[ECHO_SOCKETS] = {0};
    struct io_op ops[ECHO_SOCKETS];
    struct iovec part = {.iov_base = (void *)"x", .iov_len = 1};
    struct io_wait wait = {.timeout_ns = -1, .batch = ECHO_SOCKETS, .batch_us = 30000000};
    struct thread thread;
    ring_of(io)->min_wait &= min_wait;
    for (uint32_t i = 0; i < ECHO_SOCKETS; i++) {
        int fds[2];
        fixture_pair(fds);
        echo_fds[i] = fds[1];
        io_recv_start(io, &sockets[i], fds[0], echo_received);
        io_prep(&ops[i], IO_SEND, fds[0], echo_sent);
        ops[i].iov = &part;
        ops[i].iov_count = 1;
        io_submit(io, &ops[i]);
    }
    cr_assert_eq(thread_start(&thread, "echo", echo_run, NULL), 0);
    cr_assert_eq(io_poll(io, &wait), 2 * ECHO_SOCKETS);
    cr_assert_eq(sends_ended, ECHO_SOCKETS);
    cr_assert_eq(echoes, ECHO_SOCKETS);
    thread_join(&thread);
    for (uint32_t i = 0; i < ECHO_SOCKETS; i++) {
        io_socket_close(io, &sockets[i], echo_closed);
        POLL_UNTIL(io, sockets[i].fd < 0);
        close(echo_fds[i]);
    }
    io_destroy(io);
}

Test(ring, sends_are_no_events_of_a_batch)
{
    batch_with_sends(true);
}

Test(ring, sends_are_no_events_of_a_batch_in_steps)
{
    batch_with_sends(false);
}

static uint64_t wakes_of(const struct io *io)
{
    struct io_stats stats;
    io_stats(io, &stats);
    return stats.wakes;
}

Test(ring, message_wakes_another_ring)
{
    struct io *from = io_default();
    struct io *to = io_default();
    io_wake(to, from);
    cr_assert_eq(poll_for(from, 0), 0); /* sends the message */
    cr_assert_eq(poll_for(to, -1), 0);
    cr_assert_eq(wakes_of(to), 1);
    cr_assert_eq(wakes_of(from), 0);
    io_destroy(from);
    io_destroy(to);
}

Test(ring, message_leaves_with_a_ring_that_ends)
{
    struct io *from = io_default();
    struct io *to = io_default();
    io_wake(to, from);
    io_destroy(from);
    cr_assert_eq(poll_for(to, -1), 0);
    cr_assert_eq(wakes_of(to), 1);
    io_destroy(to);
}

Test(ring, eventfd_wakes_where_messages_are_unknown)
{
    struct io *from = io_default();
    struct io *to = io_default();
    ring_of(from)->messages = false;
    io_wake(to, from);
    cr_assert_eq(poll_for(to, -1), 0); /* without a poll of `from` */
    cr_assert_eq(wakes_of(to), 1);
    io_destroy(from);
    io_destroy(to);
}

Test(ring, message_to_a_ring_that_is_gone_is_dropped)
{
    struct io *from = io_default();
    struct io *to = io_default();
    io_wake(to, from);
    io_destroy(to);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(poll_for(from, 0), 0);
    }
    io_destroy(from);
}

/* ---- full queues ---- */

enum { CROWD = 700 }; /* more than a plain ring's completion queue holds */

struct member {
    struct io_socket socket;
    struct io_op op;
    struct iovec part;
    int peer;
    uint32_t received;
};

static struct io *crowd_io;
static struct member *crowd;
static uint32_t crowd_received;
static uint32_t crowd_sent;
static uint32_t crowd_closed;

static void member_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)data;
    cr_assert_gt(bytes, 0);
    container_of(socket, struct member, socket)->received += (uint32_t)bytes;
    crowd_received += (uint32_t)bytes;
}

static void member_sent(struct io_op *op)
{
    cr_assert_eq(op->result, 0);
    crowd_sent++;
}

static void member_closed(struct io_socket *socket)
{
    (void)socket;
    crowd_closed++;
}

static void crowd_gather(void)
{
    const unsigned plain = 0;
    struct io_options options = io_options_default();
    io_destroy(io_default());
    cr_assert_eq(ring_create_with(&options, &plain, 1, &crowd_io), 0);
    cr_assert_lt(ring_of(crowd_io)->uring.cq.ring_entries, CROWD);
    crowd = calloc(CROWD, sizeof(*crowd));
    for (uint32_t i = 0; i < CROWD; i++) {
        int fds[2];
        fixture_pair(fds);
        crowd[i].peer = fds[1];
        io_recv_start(crowd_io, &crowd[i].socket, fds[0], member_recv);
    }
    cr_assert_eq(poll_for(crowd_io, 0), 0);
}

static void crowd_leave(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        io_socket_close(crowd_io, &crowd[i].socket, member_closed);
    }
    POLL_UNTIL(crowd_io, crowd_closed == CROWD);
    for (uint32_t i = 0; i < CROWD; i++) {
        close(crowd[i].peer);
    }
    free(crowd);
    io_destroy(crowd_io);
}

Test(ring, completions_beyond_the_queue_are_not_lost)
{
    crowd_gather();
    for (uint32_t round = 1; round <= 3; round++) {
        for (uint32_t i = 0; i < CROWD; i++) {
            cr_assert_eq(write(crowd[i].peer, "x", 1), 1);
        }
        POLL_UNTIL(crowd_io, crowd_received == round * CROWD);
        for (uint32_t i = 0; i < CROWD; i++) {
            cr_assert_eq(crowd[i].received, round);
        }
    }
    crowd_leave();
}

Test(ring, submissions_beyond_the_queue_are_not_lost)
{
    crowd_gather();
    for (uint32_t i = 0; i < CROWD; i++) {
        struct member *member = &crowd[i];
        member->part = (struct iovec){.iov_base = &member->peer, .iov_len = sizeof(int)};
        io_prep(&member->op, IO_SEND, member->socket.fd, member_sent);
        member->op.iov = &member->part;
        member->op.iov_count = 1;
        io_submit(crowd_io, &member->op);
    }
    POLL_UNTIL(crowd_io, crowd_sent == CROWD);
    for (uint32_t i = 0; i < CROWD; i++) {
        int got = 0;
        cr_assert_eq(read(crowd[i].peer, &got, sizeof(got)), sizeof(got));
        cr_assert_eq(got, crowd[i].peer);
    }
    crowd_leave();
}
