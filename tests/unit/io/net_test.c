#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "fixture.h"
#include "io/socket.h"

enum {
    STREAM_BYTES = 8 << 20,
    FULL_BYTES = 64 << 20, /* more than any socket buffer takes */
};

static struct io *io;

static void set_up(void)
{
    struct io_options options = fixture_options();
    io = fixture_io(&options);
}

static void tear_down(void)
{
    if (io != NULL) {
        cr_assert_eq(io_pending(io), 0);
        io_destroy(io);
    }
}

TestSuite(net, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- an end of a connection ---- */

struct end {
    struct io_socket socket;
    struct io_op op;
    struct iovec part;
    uint8_t *data;   /* what has come, up to bytes_max; not kept if NULL */
    size_t data_max; /* size of `data` */
    size_t bytes;    /* how much has come */
    uint32_t calls;  /* of on_recv */
    int32_t last;    /* 0 or the error that ended it; 1 before */
    bool pauses;     /* at each on_recv */
    bool closes;     /* at the next on_recv */
    bool sent;       /* the send has ended */
    bool closed;     /* on_closed has run */
};

static struct end *end_of(struct io_socket *socket)
{
    return container_of(socket, struct end, socket);
}

static void end_closed(struct io_socket *socket)
{
    struct end *end = end_of(socket);
    cr_assert(!end->closed);
    end->closed = true;
}

static void end_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    struct end *end = end_of(socket);
    cr_assert_gt(end->last, 0, "on_recv after the end");
    cr_assert(!socket->closing, "on_recv after close");
    end->calls++;
    if (bytes <= 0) {
        end->last = bytes;
        return;
    }
    if (end->data != NULL) {
        cr_assert_leq(end->bytes + (size_t)bytes, end->data_max);
        memcpy(end->data + end->bytes, data, (size_t)bytes);
    }
    end->bytes += (size_t)bytes;
    if (end->pauses) {
        io_recv_pause(io, socket);
    }
    if (end->closes) {
        io_socket_close(io, socket, end_closed);
    }
}

static void end_start(struct end *end, int fd)
{
    end->last = 1;
    io_recv_start(io, &end->socket, fd, end_recv);
}

static void end_close(struct end *end)
{
    io_socket_close(io, &end->socket, end_closed);
    POLL_UNTIL(io, end->closed);
}

static void end_sent(struct io_op *op)
{
    struct end *end = container_of(op, struct end, op);
    cr_assert(!end->closed, "done after on_closed");
    end->sent = true;
}

static void end_send_parts(struct end *end, const struct iovec *parts, uint32_t count)
{
    io_prep(&end->op, IO_SEND, end->socket.fd, end_sent);
    end->op.iov = parts;
    end->op.iov_count = count;
    end->sent = false;
    io_submit(io, &end->op);
    cr_assert(!end->sent, "done ran inside io_submit");
}

static void end_send(struct end *end, const void *data, size_t bytes)
{
    end->part = (struct iovec){.iov_base = (void *)data, .iov_len = bytes};
    end_send_parts(end, &end->part, 1);
}

/* Starts receiving on one end of a pair of sockets and returns the other's fd. */
static int end_pair(struct end *end)
{
    int fds[2];
    fixture_pair(fds);
    end_start(end, fds[0]);
    return fds[1];
}

static void peer_send(int fd, const void *data, size_t bytes)
{
    cr_assert_eq(send(fd, data, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
}

/* ---- listening ---- */

static int listen_fd;
static int accepted_fds[64];
static uint32_t accepted_count;
static int accept_error;

static void on_accept(struct io_listener *listener, int fd)
{
    cr_assert_eq(listener->fd, listen_fd);
    if (fd < 0) {
        accept_error = fd;
        return;
    }
    cr_assert_lt(accepted_count, 64);
    accepted_fds[accepted_count++] = fd;
}

static void listen_open(void)
{
    listen_fd = socket_listen_tcp("127.0.0.1", 0, 512, false);
    cr_assert_geq(listen_fd, 0);
}

/* A connected client; the backlog takes it before anybody accepts. */
static int client_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(socket_port(listen_fd)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

Test(net, listener_accepts_until_it_is_stopped)
{
    struct io_listener listener = {0};
    int clients[3];
    listen_open();
    io_listen_start(io, &listener, listen_fd, on_accept);
    for (uint32_t i = 0; i < 3; i++) {
        clients[i] = client_connect();
    }
    POLL_UNTIL(io, accepted_count == 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(fcntl(accepted_fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        cr_assert_eq(fcntl(accepted_fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        close(accepted_fds[i]);
        close(clients[i]);
    }
    io_listen_stop(io, &listener);
    memset(&listener, 0xff, sizeof(listener)); /* nobody may look at it any more */
    int late = client_connect();
    for (uint32_t i = 0; i < 10; i++) {
        fixture_poll_now(io);
    }
    cr_assert_eq(accepted_count, 3);
    close(late);
    close(listen_fd);
}

Test(net, listener_may_be_stopped_at_once_and_started_again)
{
    struct io_listener listener = {0};
    listen_open();
    for (uint32_t i = 0; i < 5; i++) {
        io_listen_start(io, &listener, listen_fd, on_accept);
        io_listen_stop(io, &listener);
    }
    while (fixture_poll_now(io) > 0) {
    }
    io_listen_start(io, &listener, listen_fd, on_accept);
    int client = client_connect();
    POLL_UNTIL(io, accepted_count == 1);
    io_listen_stop(io, &listener);
    close(client);
    close(accepted_fds[0]);
    close(listen_fd);
}

static void stop_in_callback(struct io_listener *listener, int fd)
{
    close(fd);
    accepted_count++;
    io_listen_stop(io, listener);
}

Test(net, listener_may_be_stopped_by_its_callback)
{
    struct io_listener listener = {0};
    int clients[3];
    listen_open();
    for (uint32_t i = 0; i < 3; i++) {
        clients[i] = client_connect();
    }
    io_listen_start(io, &listener, listen_fd, stop_in_callback);
    POLL_UNTIL(io, accepted_count > 0);
    for (uint32_t i = 0; i < 10; i++) {
        fixture_poll_now(io);
    }
    cr_assert_eq(accepted_count, 1);
    for (uint32_t i = 0; i < 3; i++) {
        close(clients[i]);
    }
    close(listen_fd);
}

Test(net, listener_goes_on_when_descriptors_are_back)
{
    struct io_listener listener = {0};
    struct rlimit limit;
    listen_open();
    int client = client_connect();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t usual = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)client + 1; /* all below are taken */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    io_listen_start(io, &listener, listen_fd, on_accept); /* the limit of this moment holds */
    POLL_UNTIL(io, accept_error != 0);
    cr_assert_eq(accept_error, -EMFILE);
    cr_assert_eq(accepted_count, 0);
    limit.rlim_cur = usual;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    POLL_UNTIL(io, accepted_count == 1);
    io_listen_stop(io, &listener);
    close(accepted_fds[0]);
    close(client);
    close(listen_fd);
}

static void refuse_on_error(struct io_listener *listener, int fd)
{
    if (fd == -EMFILE) {
        accept_error = fd;
        accepted_count += io_listen_refuse(io, listener, "full", 4);
    } else {
        accepted_fds[0] = fd;
    }
}

static void expect_refused(int client)
{
    char text[8];
    cr_assert_eq(recv(client, text, sizeof(text), MSG_WAITALL), 4);
    cr_assert_eq(memcmp(text, "full", 4), 0);
    close(client);
}

Test(net, listener_refuses_with_the_descriptor_kept_for_that_and_goes_on_when_others_are_back)
{
    struct io_listener listener = {0};
    struct rlimit limit;
    int clients[IO_REFUSALS_MAX + 1];
    listen_open();
    io_listen_start(io, &listener, listen_fd, refuse_on_error);
    for (uint32_t i = 0; i < IO_REFUSALS_MAX + 1; i++) {
        clients[i] = client_connect();
    }
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t usual = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)clients[0]; /* all below are taken */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    /* The limit of the moment in which the accept is started holds. */
    io_listen_stop(io, &listener);
    while (fixture_poll_now(io) > 0) {
    }
    for (uint32_t i = 0; i < 2; i++) {
        accepted_count = 0;
        io_listen_start(io, &listener, listen_fd, refuse_on_error);
        POLL_UNTIL(io, accepted_count > 0);
        cr_assert_eq(accept_error, -EMFILE);
        cr_assert_eq(accepted_count, i == 0 ? IO_REFUSALS_MAX : 1);
        io_listen_stop(io, &listener);
    }
    for (uint32_t i = 0; i < IO_REFUSALS_MAX + 1; i++) {
        expect_refused(clients[i]);
    }
    limit.rlim_cur = usual;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    io_listen_start(io, &listener, listen_fd, refuse_on_error);
    int late = client_connect();
    POLL_UNTIL(io, accepted_fds[0] > 0);
    io_listen_stop(io, &listener);
    close(accepted_fds[0]);
    close(late);
    close(listen_fd);
}

/* ---- echo ---- */

enum { ECHO_CLIENTS = 200, ECHO_ROUNDS = 50, ECHO_BYTES = 100 };

static struct end *echo_servers;
static uint32_t echo_accepted;

static void echo_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    struct end *end = end_of(socket);
    if (bytes <= 0) {
        end->last = bytes;
        io_socket_close(io, socket, end_closed);
        return;
    }
    cr_assert_eq(bytes, ECHO_BYTES); /* a client sends the next only after the answer */
    memcpy(end->data, data, (size_t)bytes);
    end_send(end, end->data, (size_t)bytes);
}

static void echo_accept(struct io_listener *listener, int fd)
{
    (void)listener;
    cr_assert_geq(fd, 0);
    struct end *end = &echo_servers[echo_accepted++];
    end->data = malloc(ECHO_BYTES);
    io_recv_start(io, &end->socket, fd, echo_recv);
}

static bool echo_round_done(const struct end *clients, size_t bytes)
{
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        if (clients[i].bytes < bytes || !clients[i].sent) {
            return false;
        }
    }
    return true;
}

static void echo_round(struct end *clients, uint32_t round)
{
    uint8_t text[ECHO_BYTES];
    fixture_fill(text, ECHO_BYTES, round);
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        end_send(&clients[i], text, ECHO_BYTES);
    }
    POLL_UNTIL(io, echo_round_done(clients, (size_t)(round + 1) * ECHO_BYTES));
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        const uint8_t *last = clients[i].data + clients[i].bytes - ECHO_BYTES;
        cr_assert(fixture_filled(last, ECHO_BYTES, round));
    }
}

static void echo_end(struct end *clients)
{
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        end_close(&clients[i]);
        free(clients[i].data);
    }
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        POLL_UNTIL(io, echo_servers[i].closed);
        cr_assert_eq(echo_servers[i].last, 0);
        free(echo_servers[i].data);
    }
    free(clients);
    free(echo_servers);
}

Test(net, many_connections_echo_at_once)
{
    struct io_listener listener = {0};
    struct end *clients = calloc(ECHO_CLIENTS, sizeof(*clients));
    echo_servers = calloc(ECHO_CLIENTS, sizeof(*echo_servers));
    listen_open();
    io_listen_start(io, &listener, listen_fd, echo_accept);
    for (uint32_t i = 0; i < ECHO_CLIENTS; i++) {
        clients[i].data_max = ECHO_ROUNDS * ECHO_BYTES;
        clients[i].data = malloc(clients[i].data_max);
        end_start(&clients[i], client_connect());
    }
    POLL_UNTIL(io, echo_accepted == ECHO_CLIENTS);
    for (uint32_t round = 0; round < ECHO_ROUNDS; round++) {
        echo_round(clients, round);
    }
    io_listen_stop(io, &listener);
    echo_end(clients);
    close(listen_fd);
    struct io_stats stats;
    io_stats(io, &stats);
    cr_assert_eq(stats.accepts, ECHO_CLIENTS);
    cr_assert_eq(stats.sends, 2 * ECHO_CLIENTS * ECHO_ROUNDS);
    cr_assert_eq(stats.sent_bytes, 2 * ECHO_CLIENTS * ECHO_ROUNDS * ECHO_BYTES);
    cr_assert_eq(stats.received_bytes, stats.sent_bytes);
}

/* ---- receiving ---- */

Test(net, receive_takes_more_than_a_buffer)
{
    enum { BYTES = 100000 };
    uint8_t *text = malloc(BYTES);
    struct end end = {.data = malloc(BYTES), .data_max = BYTES};
    int peer = end_pair(&end);
    fixture_fill(text, BYTES, 5);
    peer_send(peer, text, BYTES);
    POLL_UNTIL(io, end.bytes == BYTES);
    cr_assert(fixture_filled(end.data, BYTES, 5));
    end_close(&end);
    close(peer);
    free(end.data);
    free(text);
}

/* What a peer says before it goes arrives, then the end, once. */
Test(net, peer_close_ends_the_stream)
{
    struct end end = {0};
    int peer = end_pair(&end);
    peer_send(peer, "bye", 3);
    close(peer);
    POLL_UNTIL(io, end.last <= 0);
    cr_assert_eq(end.last, 0);
    cr_assert_eq(end.bytes, 3);
    for (uint32_t i = 0; i < 5; i++) {
        fixture_poll_now(io);
    }
    cr_assert_eq(end.calls, 2);
    end_close(&end);
}

Test(net, half_closed_peer_still_gets_its_answer)
{
    char text[8] = {0};
    struct end end = {0};
    int peer = end_pair(&end);
    cr_assert_eq(shutdown(peer, SHUT_WR), 0);
    POLL_UNTIL(io, end.last == 0);
    end_send(&end, "answer", 6);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, 0);
    cr_assert_eq(recv(peer, text, sizeof(text), 0), 6);
    cr_assert_str_eq(text, "answer");
    end_close(&end);
    close(peer);
}

Test(net, reset_by_the_peer_is_an_error)
{
    struct end end = {0};
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    listen_open();
    int client = client_connect();
    end_start(&end, accept(listen_fd, NULL, NULL));
    fixture_poll_now(io);
    cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(client);
    POLL_UNTIL(io, end.last <= 0);
    cr_assert_eq(end.last, -ECONNRESET);
    end_close(&end);
    close(listen_fd);
}

Test(net, what_is_no_socket_ends_with_an_error)
{
    struct end end = {0};
    end_start(&end, open("/dev/null", O_RDONLY | O_CLOEXEC));
    POLL_UNTIL(io, end.last <= 0);
    cr_assert_lt(end.last, 0);
    end_close(&end);
}

/* The io has no memory to remember the socket: it takes no data and ends. */
Test(net, connection_ends_when_there_is_no_memory_for_it)
{
    struct end end = {0};
    mem_fail_after(1, false);
    int peer = end_pair(&end);
    mem_fail_after(0, false);
    POLL_UNTIL(io, end.last == 0);
    end_send(&end, "x", 1);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, -EPIPE);
    end_close(&end);
    close(peer);
}

/* ---- back-pressure ---- */

Test(net, paused_socket_receives_nothing_and_resumes_without_loss)
{
    enum { BYTES = 20000 };
    uint8_t *text = malloc(BYTES);
    struct end end = {.data = malloc(BYTES), .data_max = BYTES, .pauses = true};
    int peer = end_pair(&end);
    fixture_fill(text, BYTES, 9);
    peer_send(peer, text, 100);
    POLL_UNTIL(io, end.bytes == 100 && !end.socket.armed);
    peer_send(peer, text + 100, BYTES - 100);
    for (uint32_t i = 0; i < 10; i++) {
        fixture_poll_now(io);
    }
    cr_assert_eq(end.bytes, 100);
    while (end.bytes < BYTES) {
        size_t before = end.bytes;
        io_recv_resume(io, &end.socket);
        POLL_UNTIL(io, end.bytes > before && !end.socket.armed);
    }
    cr_assert(fixture_filled(end.data, BYTES, 9));
    end_close(&end);
    close(peer);
    free(end.data);
    free(text);
}

Test(net, pause_and_resume_at_once_keep_receiving)
{
    struct end end = {0};
    int peer = end_pair(&end);
    for (size_t i = 1; i <= 100; i++) {
        io_recv_pause(io, &end.socket);
        io_recv_resume(io, &end.socket);
        if (i % 3 == 0) {
            fixture_poll_now(io);
        }
        io_recv_pause(io, &end.socket);
        io_recv_resume(io, &end.socket);
        peer_send(peer, "x", 1);
        POLL_UNTIL(io, end.bytes == i);
    }
    end_close(&end);
    close(peer);
}

Test(net, paused_socket_learns_of_the_peers_end_when_resumed)
{
    struct end end = {0};
    int peer = end_pair(&end);
    io_recv_pause(io, &end.socket);
    POLL_UNTIL(io, !end.socket.armed);
    close(peer);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_eq(fixture_poll_now(io), 0);
    }
    cr_assert_eq(end.calls, 0);
    io_recv_resume(io, &end.socket);
    POLL_UNTIL(io, end.last == 0);
    end_close(&end);
}

Test(net, paused_socket_can_be_closed)
{
    struct end end = {0};
    int peer = end_pair(&end);
    io_recv_pause(io, &end.socket);
    end_close(&end);
    struct end other = {0};
    int other_peer = end_pair(&other);
    io_recv_pause(io, &other.socket);
    POLL_UNTIL(io, !other.socket.armed);
    end_close(&other);
    close(peer);
    close(other_peer);
}

/* Two buffers of 16 bytes between 64 senders of 1000 bytes: the buffers run out all the time. */
Test(net, few_receive_buffers_serve_many_senders)
{
    enum { SENDERS = 64, BYTES = 1000 };
    struct io_options options = fixture_options();
    options.recv_buffers = 2;
    options.recv_buffer_bytes = 16;
    io_destroy(io);
    io = fixture_io(&options);
    struct end *ends = calloc(SENDERS, sizeof(*ends));
    uint8_t text[BYTES];
    int peers[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++) {
        ends[i].data = malloc(BYTES);
        ends[i].data_max = BYTES;
        peers[i] = end_pair(&ends[i]);
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        fixture_fill(text, BYTES, i);
        peer_send(peers[i], text, BYTES);
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        POLL_UNTIL(io, ends[i].bytes == BYTES);
        cr_assert(fixture_filled(ends[i].data, BYTES, i));
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        end_close(&ends[i]);
        close(peers[i]);
        free(ends[i].data);
    }
    free(ends);
}

/* ---- sending ---- */

static int reader_fd;
static uint8_t *reader_data;

/* Reads all of the stream in small pieces. */
static void reader_run(void *arg)
{
    size_t *bytes = arg;
    for (;;) {
        ssize_t got = recv(reader_fd, reader_data + *bytes, 10000, 0);
        if (got <= 0) {
            return;
        }
        *bytes += (size_t)got;
    }
}

Test(net, large_send_waits_for_a_slow_reader)
{
    struct thread thread;
    struct end end = {0};
    size_t bytes = 0;
    uint8_t *text = malloc(STREAM_BYTES);
    reader_data = malloc(STREAM_BYTES + 10000);
    reader_fd = end_pair(&end);
    fixture_fill(text, STREAM_BYTES, 2);
    end_send(&end, text, STREAM_BYTES);
    for (uint32_t i = 0; i < 5; i++) {
        fixture_poll_now(io);
    }
    cr_assert(!end.sent); /* it doesn't fit into the socket */
    cr_assert_eq(thread_start(&thread, "reader", reader_run, &bytes), 0);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, 0);
    end_close(&end);
    thread_join(&thread);
    cr_assert_eq(bytes, STREAM_BYTES);
    cr_assert(fixture_filled(reader_data, STREAM_BYTES, 2));
    close(reader_fd);
    free(reader_data);
    free(text);
}

/* Parts of many sizes, empty ones among them; the caller's iovecs stay as they are. */
static size_t parts_cut(struct iovec *parts, uint8_t *text, size_t step)
{
    size_t at = 0;
    for (uint32_t i = 0; i < IO_SEND_PARTS_MAX; i++) {
        size_t bytes = i % 5 == 3 ? 0 : i * step + 1;
        parts[i] = (struct iovec){.iov_base = text + at, .iov_len = bytes};
        at += bytes;
    }
    return at;
}

static void send_of_parts(size_t step)
{
    struct thread thread;
    struct end end = {0};
    struct iovec parts[IO_SEND_PARTS_MAX];
    struct iovec before[IO_SEND_PARTS_MAX];
    size_t bytes = 0;
    uint8_t *text = malloc(STREAM_BYTES);
    size_t total = parts_cut(parts, text, step);
    cr_assert_leq(total, STREAM_BYTES);
    fixture_fill(text, total, 4);
    memcpy(before, parts, sizeof(parts));
    reader_data = malloc(STREAM_BYTES + 10000);
    reader_fd = end_pair(&end);
    end_send_parts(&end, parts, IO_SEND_PARTS_MAX);
    cr_assert_eq(thread_start(&thread, "reader", reader_run, &bytes), 0);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, 0);
    cr_assert_eq(memcmp(before, parts, sizeof(parts)), 0);
    end_close(&end);
    thread_join(&thread);
    cr_assert_eq(bytes, total);
    cr_assert(fixture_filled(reader_data, total, 4));
    close(reader_fd);
    free(reader_data);
    free(text);
}

Test(net, send_of_the_most_parts)
{
    send_of_parts(1);
    send_of_parts(3000);
}

Test(net, send_of_nothing_ends_well)
{
    struct end end = {0};
    int peer = end_pair(&end);
    end_send_parts(&end, NULL, 0);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, 0);
    end_send(&end, "x", 0);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, 0);
    end_close(&end);
    close(peer);
}

Test(net, send_to_a_closed_peer_is_an_error_and_no_signal)
{
    struct end end = {0};
    int peer = end_pair(&end);
    close(peer);
    POLL_UNTIL(io, end.last == 0);
    end_send(&end, "x", 1);
    POLL_UNTIL(io, end.sent);
    cr_assert_eq(end.op.result, -EPIPE);
    end_close(&end);
}

Test(net, send_now_takes_what_fits)
{
    struct end end = {0};
    char text[4] = {0};
    int peer = end_pair(&end);
    cr_assert_eq(io_send_now(io, end.socket.fd, "abc", 3), 3);
    cr_assert_eq(recv(peer, text, 4, 0), 3);
    cr_assert_str_eq(text, "abc");
    uint8_t *much = calloc(1, FULL_BYTES);
    int64_t taken = io_send_now(io, end.socket.fd, much, FULL_BYTES);
    cr_assert(taken > 0 && taken < FULL_BYTES);
    while (taken > 0) {
        taken = io_send_now(io, end.socket.fd, much, FULL_BYTES);
    }
    cr_assert_eq(taken, -EAGAIN);
    close(peer);
    cr_assert_eq(io_send_now(io, end.socket.fd, "abc", 3), -EPIPE);
    end_close(&end);
    free(much);
}

/* ---- closing ---- */

Test(net, close_ends_a_send_that_waits)
{
    struct end end = {0};
    uint8_t *much = calloc(1, FULL_BYTES);
    int peer = end_pair(&end);
    end_send(&end, much, FULL_BYTES);
    for (uint32_t i = 0; i < 5; i++) {
        fixture_poll_now(io);
    }
    cr_assert(!end.sent);
    end_close(&end);
    cr_assert(end.sent);
    cr_assert_eq(end.op.result, -EPIPE);
    close(peer);
    free(much);
}

Test(net, close_right_after_submit_ends_the_send_first)
{
    struct end end = {0};
    uint8_t *much = calloc(1, FULL_BYTES);
    int peer = end_pair(&end);
    end_send(&end, much, FULL_BYTES);
    end_close(&end);
    cr_assert(end.sent);
    cr_assert_lt(end.op.result, 0);
    close(peer);
    free(much);
}

Test(net, send_after_close_is_refused)
{
    struct end end = {0};
    int peer = end_pair(&end);
    io_socket_close(io, &end.socket, end_closed);
    io_prep(&end.op, IO_SEND, end.socket.fd < 0 ? 1000 : end.socket.fd, end_sent);
    end.part = (struct iovec){.iov_base = (void *)"x", .iov_len = 1};
    end.op.iov = &end.part;
    end.op.iov_count = 1;
    io_submit(io, &end.op);
    POLL_UNTIL(io, end.closed && end.sent);
    cr_assert_eq(end.op.result, -EPIPE);
    close(peer);
}

Test(net, close_while_data_comes_delivers_no_more)
{
    struct end end = {.closes = true};
    uint8_t *text = calloc(1, 100000);
    int peer = end_pair(&end);
    peer_send(peer, text, 100000);
    POLL_UNTIL(io, end.closed);
    cr_assert_eq(end.calls, 1);
    cr_assert_eq(send(peer, "x", 1, MSG_NOSIGNAL), -1); /* really closed */
    close(peer);
    free(text);
}

Test(net, close_before_the_first_poll)
{
    struct end end = {0};
    int peer = end_pair(&end);
    peer_send(peer, "x", 1);
    io_socket_close(io, &end.socket, end_closed);
    cr_assert(!end.closed); /* only from io_poll */
    POLL_UNTIL(io, end.closed);
    cr_assert_eq(end.calls, 0);
    close(peer);
}

/* Sockets come and go while others are in use; memory is freed in on_closed. */
static uint32_t heap_closed;

static void heap_on_closed(struct io_socket *socket)
{
    heap_closed++;
    free(end_of(socket));
}

static void heap_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)data;
    (void)bytes;
    io_socket_close(io, socket, heap_on_closed);
}

Test(net, memory_may_go_when_closed)
{
    enum { ROUNDS = 20, SOCKETS = 50 };
    int peers[SOCKETS];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        heap_closed = 0;
        for (uint32_t i = 0; i < SOCKETS; i++) {
            int fds[2];
            struct end *end = calloc(1, sizeof(*end));
            fixture_pair(fds);
            io_recv_start(io, &end->socket, fds[0], heap_recv);
            peers[i] = fds[1];
            peer_send(peers[i], "hello", 5);
            if (i % 2 == 0) {
                close(peers[i]);
            }
        }
        POLL_UNTIL(io, heap_closed == SOCKETS);
        for (uint32_t i = 1; i < SOCKETS; i += 2) {
            close(peers[i]);
        }
    }
}

/* A callback closes another socket whose data is in the same batch of events. */
static struct end *victim;

static void killer_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)data;
    end_of(socket)->bytes += (size_t)bytes;
    if (!victim->socket.closing) {
        io_socket_close(io, &victim->socket, end_closed);
    }
}

Test(net, socket_closed_by_anothers_callback_receives_nothing)
{
    struct end first = {0};
    struct end second = {0};
    int first_fds[2];
    int second_fds[2];
    fixture_pair(first_fds);
    fixture_pair(second_fds);
    victim = &second;
    io_recv_start(io, &first.socket, first_fds[0], killer_recv);
    end_start(&second, second_fds[0]);
    peer_send(first_fds[1], "1", 1);
    peer_send(second_fds[1], "2", 1);
    POLL_UNTIL(io, first.bytes == 1 && second.closed);
    cr_assert_leq(second.calls, 1); /* it may have come first */
    end_close(&first);
    close(first_fds[1]);
    close(second_fds[1]);
}
