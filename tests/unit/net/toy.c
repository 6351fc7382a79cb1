#include "toy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/number.h"
#include "io/socket.h"

/* A connection's own state. */
struct visitor {
    bool authenticated;
    bool has_waited; /* the WAIT at the head was left once */
};

enum { BIG_BYTES_MAX = 16 << 20 };
static uint8_t *big; /* BIG_BYTES_MAX of 'b', made by the first use */

static const uint8_t *big_bytes(void)
{
    if (big == NULL) {
        big = malloc(BIG_BYTES_MAX);
        memset(big, 'b', BIG_BYTES_MAX);
    }
    return big;
}

/* ---- handlers, on the shard ---- */

static void *toy_on_open(void *context, struct conn *conn)
{
    struct toy *toy = context;
    if (toy->refuse) {
        return NULL;
    }
    struct visitor *visitor = mem_must_calloc(1, sizeof(*visitor));
    visitor->authenticated = !toy->password;
    toy->opened++;
    if (toy->protect) {
        struct reply reply = {.output = conn_output(conn), .resp = 2};
        reply_error(&reply, "DENIED not from there");
        conn_close_after_reply(conn);
    }
    return visitor;
}

static void toy_on_close(void *context, struct conn *conn)
{
    struct toy *toy = context;
    toy->closed++;
    mem_free(conn_user(conn));
}

static bool toy_is_authenticated(void *context, struct conn *conn)
{
    (void)context;
    const struct visitor *visitor = conn_user(conn);
    return visitor->authenticated;
}

static uint64_t toy_gate_now(void *context)
{
    struct toy *toy = context;
    return toy->gated ? ++toy->gate : 0;
}

static bool toy_gate_open(void *context, uint64_t gate)
{
    const struct toy *toy = context;
    return gate <= toy->gate_open_to;
}

static void toy_gate_wanted(void *context, uint64_t gate)
{
    struct toy *toy = context;
    toy->gate_wanted = gate;
}

static void toy_on_release(void *owner)
{
    struct toy *toy = owner;
    toy->released++;
}

struct resume_later {
    struct net *net;
    uint64_t id;
};

static void resume_later_main(void *argument)
{
    struct resume_later *later = argument;
    for (int i = 0; i < 3; i++) {
        co_yield ();
    }
    struct conn *conn = net_find(later->net, later->id);
    if (conn != NULL) {
        conn_resume(conn);
    }
    mem_free(later);
}

/* Returns false when the WAIT at hand is to be left. */
static bool toy_wait(struct toy *toy, struct conn *conn, bool now)
{
    struct visitor *visitor = conn_user(conn);
    if (visitor->has_waited) {
        visitor->has_waited = false;
        return true;
    }
    visitor->has_waited = true;
    if (now) {
        conn_resume(conn);
        return false;
    }
    struct resume_later *later = mem_must_calloc(1, sizeof(*later));
    *later = (struct resume_later){.net = toy->net, .id = conn_id(conn)};
    int err = coro_start(shard_sched(toy->shard), "resume", CORO_NORMAL, resume_later_main, later);
    ASSERT(err == 0);
    return false;
}

static uint64_t number_arg(const struct net_command *command)
{
    uint64_t number = 0;
    ASSERT(command->argc >= 2);
    ASSERT(number_parse_u64(command->args[1], &number) == 0);
    return number;
}

static void toy_kill(struct toy *toy, uint64_t id)
{
    struct conn *conn = net_find(toy->net, id);
    if (conn != NULL) {
        conn_close(conn);
    }
}

/* Replies that depend on more than the command. Returns false for an unknown one. */
static bool toy_run_special(struct toy *toy, struct conn *conn, const struct net_command *command,
                            struct reply *reply)
{
    struct slice name = command->args[0];
    struct visitor *visitor = conn_user(conn);
    if (slice_equal_nocase_cstr(name, "AUTH")) {
        visitor->authenticated = true;
        reply_ok(reply);
    } else if (slice_equal_nocase_cstr(name, "HOLD")) {
        ASSERT(toy->held_count < TOY_HELD_MAX);
        conn_hold(conn);
        toy->held[toy->held_count++] = conn_id(conn);
    } else if (slice_equal_nocase_cstr(name, "RAISE")) {
        conn_raise_gate(conn, number_arg(command));
        reply_status(reply, "RAISED");
    } else if (slice_equal_nocase_cstr(name, "QUIT")) {
        reply_ok(reply);
        conn_close_after_reply(conn);
    } else if (slice_equal_nocase_cstr(name, "KILL")) {
        conn_close(conn);
    } else if (slice_equal_nocase_cstr(name, "KILLID")) {
        toy_kill(toy, number_arg(command));
        reply_ok(reply);
    } else {
        return false;
    }
    return true;
}

static void toy_run(struct toy *toy, struct conn *conn, const struct net_command *command)
{
    struct slice name = command->args[0];
    struct reply reply = {.output = conn_output(conn), .resp = 2};
    if (slice_equal_nocase_cstr(name, "PING")) {
        reply_status(&reply, "PONG");
    } else if (slice_equal_nocase_cstr(name, "ECHO")) {
        reply_bulk(&reply, command->args[1]);
    } else if (slice_equal_nocase_cstr(name, "NARGS")) {
        reply_i64(&reply, command->argc - 1);
    } else if (slice_equal_nocase_cstr(name, "BIG")) {
        reply_bulk(&reply, slice_of(big_bytes(), number_arg(command)));
    } else if (slice_equal_nocase_cstr(name, "SHARED")) {
        reply_bulk_shared(&reply, slice_of(big_bytes(), number_arg(command)), toy_on_release, toy);
    } else if (slice_equal_nocase_cstr(name, "WAIT") || slice_equal_nocase_cstr(name, "WAITNOW")) {
        reply_status(&reply, "WAITED");
    } else if (!slice_equal_nocase_cstr(name, "NONE") &&
               !toy_run_special(toy, conn, command, &reply)) {
        reply_errorf(&reply, "ERR unknown command");
    }
}

static uint32_t toy_on_commands(void *context, struct conn *conn,
                                const struct net_command *commands, uint32_t count)
{
    struct toy *toy = context;
    toy->calls++;
    for (uint32_t i = 0; i < count; i++) {
        bool wait = slice_equal_nocase_cstr(commands[i].args[0], "WAIT");
        bool wait_now = slice_equal_nocase_cstr(commands[i].args[0], "WAITNOW");
        if (((wait || wait_now) && !toy_wait(toy, conn, wait_now)) ||
            (i > 0 && conn_output_is_full(conn))) {
            return i;
        }
        toy->commands++;
        toy_run(toy, conn, &commands[i]);
        if (conn_is_closing(conn)) {
            return i + 1;
        }
    }
    return count;
}

/* ---- starting and stopping ---- */

bool toy_backend_works(enum io_backend backend)
{
    struct io_options options = io_options_default();
    options.backend = backend;
    struct io *io = NULL;
    if (io_create(&options, &io) != 0) {
        return false;
    }
    io_destroy(io);
    return true;
}

void toy_init(struct toy *toy, enum io_backend backend)
{
    memset(toy, 0, sizeof(*toy));
    toy->backend = backend;
    toy->limits = net_limits_default();
    toy->clients_max = 10000;
}

static int toy_listen(struct toy *toy)
{
    int fd = socket_listen_tcp("127.0.0.1", 0, 511, false);
    if (fd < 0) {
        return fd;
    }
    toy->port = socket_port(fd);
    TRY(net_listen(toy->net, fd));
    if (toy->listen_unix) {
        fd = TRY(socket_listen_unix(toy->unix_path, 0700, 16));
        TRY(net_listen(toy->net, fd));
    }
    return 0;
}

static int toy_start_shard(struct shard *shard, void *argument)
{
    struct toy *toy = argument;
    struct net_handlers handlers = {
        .on_open = toy_on_open,
        .on_commands = toy_on_commands,
        .on_close = toy_on_close,
        .gate_now = toy_gate_now,
        .gate_open = toy_gate_open,
        .gate_wanted = toy_gate_wanted,
        .is_authenticated = toy_is_authenticated,
        .context = toy,
    };
    toy->shard = shard;
    TRY(net_create(shard, &handlers, &toy->limits, &toy->net));
    net_attach_shared(toy->net, toy->shared);
    return toy_listen(toy);
}

void toy_start(struct toy *toy)
{
    cr_assert_eq(net_shared_create(toy->clients_max, &toy->shared), 0);
    struct shard_options options = shard_options_default();
    options.io.backend = toy->backend;
    (void)big_bytes();
    cr_assert_eq(shard_set_start(1, &options, toy_start_shard, toy, &toy->set), 0);
}

static void toy_stop_shard(struct shard *shard, void *argument)
{
    (void)shard;
    struct toy *toy = argument;
    toy->gate_open_to = UINT64_MAX;
    net_close_all(toy->net, 1000);
    net_destroy(toy->net);
}

void toy_stop(struct toy *toy)
{
    shard_set_stop(toy->set, toy_stop_shard, toy);
    cr_assert_eq(toy->opened, toy->closed);
    cr_assert_eq(net_shared_clients(toy->shared), 0);
    net_shared_destroy(toy->shared);
}

/* ---- asking the shard ---- */

struct toy_question {
    struct toy *toy;
    toy_fn *fn;
    void *argument;
    int64_t answer;
};

static int toy_ask(struct shard *shard, void *argument)
{
    (void)shard;
    struct toy_question *question = argument;
    question->answer = question->fn(question->toy, question->argument);
    return 0;
}

int64_t toy_call(struct toy *toy, toy_fn *fn, void *argument)
{
    struct toy_question question = {.toy = toy, .fn = fn, .argument = argument};
    cr_assert_eq(shard_call_from_outside(toy->shard, toy_ask, &question), 0);
    return question.answer;
}

static int64_t toy_yield(struct toy *toy, void *argument)
{
    (void)toy;
    (void)argument;
    for (int i = 0; i < 4; i++) {
        co_yield ();
    }
    return 0;
}

void toy_settle(struct toy *toy)
{
    for (int i = 0; i < 4; i++) {
        (void)toy_call(toy, toy_yield, NULL);
    }
}

void toy_await(struct toy *toy, toy_fn *fn, void *argument, int64_t expected)
{
    int64_t answer = 0;
    for (int i = 0; i < 1000000; i++) {
        answer = toy_call(toy, fn, argument);
        if (answer == expected) {
            return;
        }
        sched_yield();
    }
    cr_assert(false, "is %lld, expected %lld", (long long)answer, (long long)expected);
}

static int64_t open_gates(struct toy *toy, void *argument)
{
    toy->gate_open_to = *(const uint64_t *)argument;
    return 0;
}

void toy_open_gates(struct toy *toy, uint64_t to)
{
    (void)toy_call(toy, open_gates, &to);
}

static int64_t last_gate(struct toy *toy, void *argument)
{
    (void)argument;
    return (int64_t)toy->gate;
}

uint64_t toy_gate(struct toy *toy)
{
    return (uint64_t)toy_call(toy, last_gate, NULL);
}

static int64_t release_held(struct toy *toy, void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < toy->held_count; i++) {
        struct conn *conn = net_find(toy->net, toy->held[i]);
        ASSERT(conn != NULL); /* held: it must not be freed */
        struct reply reply = {.output = conn_output(conn), .resp = 2};
        reply_status(&reply, "HELD");
        conn_output_ready(conn);
        conn_drop(conn);
    }
    toy->held_count = 0;
    return 0;
}

void toy_release_held(struct toy *toy)
{
    (void)toy_call(toy, release_held, NULL);
}

static int64_t first_id(struct toy *toy, void *argument)
{
    (void)argument;
    struct conn *conn = net_first(toy->net);
    return conn == NULL ? 0 : (int64_t)conn_id(conn);
}

uint64_t toy_first_id(struct toy *toy)
{
    return (uint64_t)toy_call(toy, first_id, NULL);
}

int64_t toy_memory_of(struct toy *toy, void *id)
{
    struct conn *conn = net_find(toy->net, *(const uint64_t *)id);
    if (conn == NULL) {
        return -1;
    }
    struct conn_info info;
    conn_info(conn, &info);
    return (int64_t)info.memory_bytes;
}

int64_t toy_count_closed(struct toy *toy, void *unused)
{
    (void)unused;
    return toy->closed;
}

int64_t toy_count_commands(struct toy *toy, void *unused)
{
    (void)unused;
    return toy->commands;
}

int64_t toy_count_released(struct toy *toy, void *unused)
{
    (void)unused;
    return toy->released;
}

static int64_t read_stats(struct toy *toy, void *argument)
{
    net_stats(toy->net, argument);
    return 0;
}

void toy_stats(struct toy *toy, struct net_stats *ret_stats)
{
    (void)toy_call(toy, read_stats, ret_stats);
}

/* ---- the client ---- */

/* recv and send with a timeout set are interrupted by signals even with SA_RESTART. */
static ssize_t client_recv(int fd, void *to, size_t count, int flags)
{
    ssize_t received;
    do {
        received = recv(fd, to, count, flags);
    } while (received < 0 && errno == EINTR);
    return received;
}

static ssize_t client_send_some(int fd, const void *from, size_t count, int flags)
{
    ssize_t sent;
    do {
        sent = send(fd, from, count, flags | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

int client_open(struct toy *toy)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(toy->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    struct timeval timeout = {.tv_sec = TOY_TIMEOUT_S};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
    int one = 1;
    cr_assert_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    return fd;
}

void client_send_bytes(int fd, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = client_send_some(fd, at, count, 0);
        cr_assert_gt(sent, 0, "send: %s", strerror(errno));
        at += sent;
        count -= (size_t)sent;
    }
}

void client_send(int fd, const char *text)
{
    client_send_bytes(fd, text, strlen(text));
}

void client_expect(int fd, const char *text)
{
    char got[1024];
    size_t count = strlen(text);
    cr_assert_lt(count, sizeof(got));
    size_t have = 0;
    while (have < count) {
        ssize_t received = client_recv(fd, got + have, count - have, 0);
        cr_assert_gt(received, 0, "after \"%.*s\" of \"%s\": %s", (int)have, got, text,
                     received == 0 ? "closed" : strerror(errno));
        have += (size_t)received;
    }
    cr_assert_eq(memcmp(got, text, count), 0, "got \"%.*s\", expected \"%s\"", (int)count, got,
                 text);
}

void client_expect_fill(int fd, char byte, size_t count)
{
    static char piece[64 * 1024];
    while (count > 0) {
        size_t most = count < sizeof(piece) ? count : sizeof(piece);
        ssize_t received = client_recv(fd, piece, most, 0);
        cr_assert_gt(received, 0, "%zu bytes missing", count);
        for (ssize_t i = 0; i < received; i++) {
            cr_assert_eq(piece[i], byte);
        }
        count -= (size_t)received;
    }
}

void client_expect_end(int fd)
{
    char byte;
    ssize_t received = client_recv(fd, &byte, 1, 0);
    bool ended = received == 0 || (received < 0 && (errno == ECONNRESET || errno == EPIPE));
    cr_assert(ended, "got %zd: %s", received, strerror(errno));
}

void client_expect_silence(int fd)
{
    char byte;
    ssize_t received = client_recv(fd, &byte, 1, MSG_DONTWAIT);
    cr_assert(received < 0 && errno == EAGAIN, "got %zd bytes '%c'", received, byte);
}

static bool exchange_send(int fd, struct slice *request)
{
    ssize_t sent = client_send_some(fd, request->data, request->bytes, MSG_DONTWAIT);
    if (sent < 0) {
        cr_assert_eq(errno, EAGAIN);
        return false;
    }
    *request = slice_skip(*request, (size_t)sent);
    return true;
}

static void exchange_receive(int fd, struct slice *expected)
{
    static uint8_t piece[64 * 1024];
    ssize_t received = client_recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (received < 0) {
        cr_assert_eq(errno, EAGAIN);
        return;
    }
    cr_assert_gt(received, 0, "closed with %zu bytes missing", expected->bytes);
    cr_assert_leq((size_t)received, expected->bytes);
    cr_assert_eq(memcmp(piece, expected->data, (size_t)received), 0);
    *expected = slice_skip(*expected, (size_t)received);
}

void client_exchange(int fd, struct slice request, struct slice expected)
{
    while (request.bytes > 0 || expected.bytes > 0) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (request.bytes > 0) {
            poller.events |= POLLOUT;
        }
        int ready = poll(&poller, 1, TOY_TIMEOUT_S * 1000);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        cr_assert_eq(ready, 1, "%zu to send, %zu to come", request.bytes, expected.bytes);
        if (request.bytes > 0) {
            (void)exchange_send(fd, &request);
        }
        exchange_receive(fd, &expected);
    }
}
