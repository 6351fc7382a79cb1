#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "toy.h"

#define MB (1024 * 1024)

/* One command in a pass of its own. */
static void send_alone(struct toy *toy, int fd, const char *command)
{
    int64_t before = toy_call(toy, toy_count_commands, NULL);
    client_send(fd, command);
    toy_await(toy, toy_count_commands, NULL, before + 1);
    toy_settle(toy);
}

Test(conn_output, holds_replies_back_until_their_gate_opens)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.gated = true;
        toy_start(&toy);
        int fds[5]; /* more than are sent to without an operation */
        for (int i = 0; i < 5; i++) {
            fds[i] = client_open(&toy);
            send_alone(&toy, fds[i], "PING\r\n");
        }
        cr_assert_eq(toy_gate(&toy), 5);
        for (int i = 0; i < 5; i++) {
            client_expect_silence(fds[i]);
        }
        toy_open_gates(&toy, 4);
        for (int i = 0; i < 4; i++) {
            client_expect(fds[i], "+PONG\r\n");
        }
        toy_settle(&toy);
        client_expect_silence(fds[4]);
        toy_open_gates(&toy, 5);
        client_expect(fds[4], "+PONG\r\n");
        for (int i = 0; i < 5; i++) {
            close(fds[i]);
        }
        toy_stop(&toy);
    }
}

static int64_t wanted_gate(struct toy *toy, void *unused)
{
    (void)unused;
    return (int64_t)toy->gate_wanted;
}

Test(conn_output, says_which_gate_is_waited_for)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy.gated = true;
    toy_start(&toy);
    int a = client_open(&toy);
    int b = client_open(&toy);
    cr_assert_eq(toy_call(&toy, wanted_gate, NULL), 0);
    send_alone(&toy, a, "PING\r\n");
    cr_assert_eq(toy_call(&toy, wanted_gate, NULL), 1);
    send_alone(&toy, b, "PING\r\n");
    send_alone(&toy, a, "PING\r\n");
    cr_assert_eq(toy_call(&toy, wanted_gate, NULL), 3);
    toy_open_gates(&toy, 3);
    client_expect(a, "+PONG\r\n+PONG\r\n");
    client_expect(b, "+PONG\r\n");
    close(a);
    close(b);
    toy_stop(&toy);
}

/* Every reply of one connection behind a gate of its own, more than wait apart. */
Test(conn_output, lets_replies_out_gate_by_gate_in_order)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.gated = true;
        toy_start(&toy);
        int fd = client_open(&toy);
        enum { REPLIES = 20, APART = 7 };
        for (int i = 0; i < REPLIES; i++) {
            char command[32];
            (void)snprintf(command, sizeof(command), "ECHO %02d\r\n", i);
            send_alone(&toy, fd, command);
        }
        cr_assert_eq(toy_gate(&toy), REPLIES);
        for (int i = 0; i < REPLIES; i++) {
            client_expect_silence(fd);
            toy_open_gates(&toy, (uint64_t)i + 1);
            if (i < APART || i == REPLIES - 1) {
                int last = i < APART ? i : REPLIES - 1;
                for (int j = i < APART ? i : APART; j <= last; j++) {
                    char reply[32];
                    (void)snprintf(reply, sizeof(reply), "$2\r\n%02d\r\n", j);
                    client_expect(fd, reply);
                }
            }
            toy_settle(&toy);
        }
        client_expect_silence(fd);
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_output, raises_the_gate_of_what_is_being_written_only)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy.gated = true;
    toy_start(&toy);
    int fd = client_open(&toy);
    toy_open_gates(&toy, 50);
    send_alone(&toy, fd, "PING\r\n");
    client_expect(fd, "+PONG\r\n");
    send_alone(&toy, fd, "RAISE 100\r\n");
    send_alone(&toy, fd, "PING\r\n");
    toy_open_gates(&toy, 99);
    toy_settle(&toy);
    client_expect_silence(fd);
    toy_open_gates(&toy, 100);
    client_expect(fd, "+RAISED\r\n+PONG\r\n");
    toy_open_gates(&toy, 50);
    send_alone(&toy, fd, "PING\r\n");
    client_expect(fd, "+PONG\r\n");
    close(fd);
    toy_stop(&toy);
}

Test(conn_output, closes_a_connection_whose_replies_are_gated)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.gated = true;
        toy_start(&toy);
        int fd = client_open(&toy);
        send_alone(&toy, fd, "SHARED 1000000\r\n");
        send_alone(&toy, fd, "PING\r\n");
        cr_assert_eq(toy_call(&toy, toy_count_released, NULL), 0);
        send_alone(&toy, fd, "KILL\r\n");
        client_expect_end(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_count_released, NULL), 1);
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_output, sends_large_values_copied_and_from_where_they_are)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "SHARED 16000000\r\nPING\r\nSHARED 20000\r\nSHARED 3\r\nBIG 5000000\r\n"
                        "SHARED 1048576\r\nPING\r\n");
        client_expect(fd, "$16000000\r\n");
        client_expect_fill(fd, 'b', 16000000);
        client_expect(fd, "\r\n+PONG\r\n$20000\r\n");
        client_expect_fill(fd, 'b', 20000);
        client_expect(fd, "\r\n$3\r\nbbb\r\n$5000000\r\n");
        client_expect_fill(fd, 'b', 5000000);
        client_expect(fd, "\r\n$1048576\r\n");
        client_expect_fill(fd, 'b', 1048576);
        client_expect(fd, "\r\n+PONG\r\n");
        toy_await(&toy, toy_count_released, NULL, 4);
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_output, closes_a_connection_in_the_middle_of_a_send)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        uint64_t id = toy_first_id(&toy);
        /* More than the kernel takes from somebody whose peer does not read. */
        send_alone(&toy, fd, "SHARED 16000000\r\n");
        cr_assert_eq(toy_call(&toy, toy_count_released, NULL), 0);
        int other = client_open(&toy);
        char command[64];
        (void)snprintf(command, sizeof(command), "KILLID %llu\r\n", (unsigned long long)id);
        client_send(other, command);
        client_expect(other, "+OK\r\n");
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_count_released, NULL), 1);
        close(fd);
        close(other);
        toy_stop(&toy);
    }
}

Test(conn_output, notices_a_reader_that_goes_away_in_the_middle)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        send_alone(&toy, fd, "SHARED 16000000\r\n");
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_count_released, NULL), 1);
        toy_stop(&toy);
    }
}

/* A client that writes all its requests before it reads one reply. */
Test(conn_output, stops_working_for_who_does_not_read_and_goes_on_when_it_does)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_pause_bytes = 256 * 1024;
        toy_start(&toy);
        int fd = client_open(&toy);
        enum { COUNT = 500, EACH_BYTES = 100000 };
        for (int i = 0; i < COUNT; i++) {
            client_send(fd, "BIG 100000\r\n");
        }
        toy_settle(&toy);
        /* What the kernel's buffers take, and the pause on top; not all 50 MB. */
        int64_t done = toy_call(&toy, toy_count_commands, NULL);
        cr_assert_lt(done, COUNT / 2, "%lld done", (long long)done);
        uint64_t id = toy_first_id(&toy);
        cr_assert_lt(toy_call(&toy, toy_memory_of, &id), 2 * MB);
        for (int i = 0; i < COUNT; i++) {
            client_expect(fd, "$100000\r\n");
            client_expect_fill(fd, 'b', EACH_BYTES);
            client_expect(fd, "\r\n");
        }
        close(fd);
        toy_stop(&toy);
    }
}

/* Writes n bytes to the first connection, as a published message would come. */
static int64_t push(struct toy *toy, void *argument)
{
    static uint8_t bytes[64 * 1024];
    struct conn *conn = net_first(toy->net);
    if (conn == NULL || conn_is_closing(conn)) {
        return -1;
    }
    struct reply reply = {.output = conn_output(conn), .resp = 2};
    reply_bulk(&reply, slice_of(bytes, *(const size_t *)argument));
    conn_output_ready(conn);
    struct conn_info info;
    conn_info(conn, &info);
    return (int64_t)info.memory_bytes;
}

Test(conn_output, closes_at_the_hard_limit_and_holds_no_more_until_then)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_hard_bytes = MB;
        toy_start(&toy);
        int fd = client_open(&toy);
        send_alone(&toy, fd, "PING\r\n");
        size_t bytes = 50000;
        int64_t memory = 0;
        int64_t most = 0;
        int pushes = 0;
        while (memory >= 0) {
            cr_assert_lt(pushes++, 100000);
            memory = toy_call(&toy, push, &bytes);
            most = memory > most ? memory : most;
        }
        cr_assert_gt(most, MB / 2);
        cr_assert_lt(most, 5 * MB);
        toy_await(&toy, toy_count_closed, NULL, 1);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.output_limit_closes, 1);
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_output, closes_for_one_reply_above_the_hard_limit_and_not_at_it)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy.limits.output_hard_bytes = 100000;
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "BIG 99900\r\n");
    client_expect(fd, "$99900\r\n");
    client_expect_fill(fd, 'b', 99900);
    client_expect(fd, "\r\n");
    /* What is sent from where it is takes no memory of the connection's. */
    client_send(fd, "SHARED 1000000\r\n");
    client_expect(fd, "$1000000\r\n");
    client_expect_fill(fd, 'b', 1000000);
    client_expect(fd, "\r\n");
    client_send(fd, "BIG 100001\r\n");
    client_expect_end(fd);
    close(fd);
    toy_await(&toy, toy_count_closed, NULL, 1);
    toy_stop(&toy);
}

/* Fills up what the first connection has unsent to that many bytes; returns what it had. */
static int64_t fill_up_to(struct toy *toy, void *argument)
{
    uint64_t target = *(const uint64_t *)argument;
    struct conn *conn = net_first(toy->net);
    if (conn == NULL || conn_is_closing(conn)) {
        return -1;
    }
    struct conn_info info;
    conn_info(conn, &info);
    struct output *output = conn_output(conn);
    static uint8_t bytes[64 * 1024];
    for (uint64_t left = target - info.output_bytes; left > 0;) {
        size_t part = left < sizeof(bytes) ? left : sizeof(bytes);
        output_append(output, slice_of(bytes, part));
        left -= part;
    }
    conn_output_ready(conn);
    return (int64_t)info.output_bytes;
}

Test(conn_output, counts_only_what_is_unsent_against_the_hard_limit)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_hard_bytes = 16 * MB;
        toy_start(&toy);
        int fd = client_open(&toy);
        send_alone(&toy, fd, "PING\r\n");
        uint64_t target = 12 * MB;
        cr_assert_eq(toy_call(&toy, fill_up_to, &target), 0);
        toy_settle(&toy);
        uint64_t limit = 16 * MB;
        int64_t unsent = toy_call(&toy, fill_up_to, &limit);
        cr_assert(unsent > 0 && unsent < 12 * MB, "%lld", (long long)unsent);
        toy_settle(&toy);
        cr_assert_eq(toy_call(&toy, toy_count_closed, NULL), 0);
        uint64_t above = limit + 1;
        cr_assert_geq(toy_call(&toy, fill_up_to, &above), 0);
        toy_await(&toy, toy_count_closed, NULL, 1);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.output_limit_closes, 1);
        close(fd);
        toy_stop(&toy);
    }
}

/* Asking for much at once is no reason: the work stops before the limit is reached. */
Test(conn_output, stops_working_well_below_the_hard_limit)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_hard_bytes = 4 * MB;
        toy_start(&toy);
        int fd = client_open(&toy);
        enum { COUNT = 500, EACH_BYTES = 100000 };
        for (int i = 0; i < COUNT; i++) {
            client_send(fd, "BIG 100000\r\n");
        }
        toy_settle(&toy);
        for (int i = 0; i < COUNT; i++) {
            client_expect(fd, "$100000\r\n");
            client_expect_fill(fd, 'b', EACH_BYTES);
            client_expect(fd, "\r\n");
        }
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_output, closes_strangers_that_do_not_read)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.password = true;
        toy.limits.auth_timeout_s = 0;
        toy_start(&toy);
        /* Who reads may send as much as it likes. */
        int good = client_open(&toy);
        struct buffer request, expected;
        buffer_init(&request, MB);
        buffer_init(&expected, MB);
        for (int i = 0; i < 5000; i++) {
            cr_assert_eq(buffer_append_cstr(&request, "PING\r\n"), 0);
            cr_assert_eq(buffer_append_cstr(&expected, "+PONG\r\n"), 0);
        }
        client_exchange(good, buffer_slice(&request), buffer_slice(&expected));
        close(good);
        toy_await(&toy, toy_count_closed, NULL, 1);
        int bad = client_open(&toy);
        for (int i = 0; i < 30; i++) {
            if (send(bad, "BIG 1000000\r\n", 13, MSG_NOSIGNAL) < 0) {
                break;
            }
            toy_settle(&toy);
        }
        toy_await(&toy, toy_count_closed, NULL, 2);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.output_limit_closes, 1);
        close(bad);
        buffer_deinit(&request);
        buffer_deinit(&expected);
        toy_stop(&toy);
    }
}

Test(conn_output, counts_what_it_sends_and_receives)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "PING\r\nSHARED 20000\r\nNONE\r\n");
        client_expect(fd, "+PONG\r\n$20000\r\n");
        client_expect_fill(fd, 'b', 20000);
        client_expect(fd, "\r\n");
        toy_await(&toy, toy_count_released, NULL, 1);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.input_bytes, 6 + 14 + 6);
        cr_assert_eq(stats.output_bytes, 7 + 8 + 20000 + 2);
        cr_assert_eq(stats.connections, 1);
        cr_assert_eq(stats.connections_received, 1);
        close(fd);
        toy_stop(&toy);
    }
}
