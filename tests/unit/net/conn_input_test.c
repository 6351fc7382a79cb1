#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "toy.h"

#define MB (1024 * 1024)

static void add_command(struct buffer *to, const char *name, struct slice argument)
{
    struct slice args[2] = {slice_cstr(name), argument};
    cr_assert_eq(resp_encode_command(to, args, argument.data == NULL ? 1 : 2), 0);
}

static void add_text(struct buffer *to, const char *text)
{
    cr_assert_eq(buffer_append_cstr(to, text), 0);
}

Test(conn_input, answers_pipelines_in_order)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        struct buffer request, expected;
        buffer_init(&request, 64 * MB);
        buffer_init(&expected, 64 * MB);
        for (int i = 0; i < 20000; i++) {
            char value[32];
            int bytes = snprintf(value, sizeof(value), "value-%d", i);
            add_command(&request, "ECHO", slice_of(value, (size_t)bytes));
            cr_assert_eq(buffer_printf(&expected, "$%d\r\n%s\r\n", bytes, value), 0);
            if (i % 7 == 0) {
                add_text(&request, "PING\r\n\r\n*0\r\nECHO 'a b'\r\n");
                add_text(&expected, "+PONG\r\n$3\r\na b\r\n");
            }
        }
        int fd = client_open(&toy);
        client_exchange(fd, buffer_slice(&request), buffer_slice(&expected));
        client_expect_silence(fd);
        close(fd);
        buffer_deinit(&request);
        buffer_deinit(&expected);
        toy_stop(&toy);
    }
}

static int64_t count_calls(struct toy *toy, void *unused)
{
    (void)unused;
    return toy->calls;
}

Test(conn_input, gives_commands_that_came_together_in_batches)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    struct buffer request;
    buffer_init(&request, MB);
    for (int i = 0; i < 2 * NET_BATCH_MAX; i++) {
        add_command(&request, "PING", slice_of(NULL, 0));
    }
    client_send_bytes(fd, request.data, request.bytes);
    for (int i = 0; i < 2 * NET_BATCH_MAX; i++) {
        client_expect(fd, "+PONG\r\n");
    }
    cr_assert_eq(toy_call(&toy, count_calls, NULL), 2);
    buffer_deinit(&request);
    close(fd);
    toy_stop(&toy);
}

Test(conn_input, puts_large_values_together_from_what_arrives)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        static uint8_t value[5 * MB];
        memset(value, 'v', sizeof(value));
        struct buffer request, expected;
        buffer_init(&request, 64 * MB);
        buffer_init(&expected, 64 * MB);
        add_command(&request, "ECHO", slice_of(value, sizeof(value)));
        add_command(&request, "PING", slice_of(NULL, 0));
        cr_assert_eq(buffer_printf(&expected, "$%zu\r\n", sizeof(value)), 0);
        cr_assert_eq(buffer_append(&expected, value, sizeof(value)), 0);
        add_text(&expected, "\r\n+PONG\r\n");
        int fd = client_open(&toy);
        client_exchange(fd, buffer_slice(&request), buffer_slice(&expected));
        uint64_t id = toy_first_id(&toy);
        toy_await(&toy, toy_memory_of, &id, toy_call(&toy, toy_memory_of, &id));
        cr_assert_leq(toy_call(&toy, toy_memory_of, &id), 1024); /* and gives all of it back */
        close(fd);
        buffer_deinit(&request);
        buffer_deinit(&expected);
        toy_stop(&toy);
    }
}

Test(conn_input, allocates_nothing_for_a_declared_length)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "PING\r\n*2\r\n$4\r\nECHO\r\n$536870912\r\nabc");
    client_expect(fd, "+PONG\r\n");
    toy_settle(&toy);
    uint64_t id = toy_first_id(&toy);
    cr_assert_leq(toy_call(&toy, toy_memory_of, &id), 1024);
    close(fd);
    toy_stop(&toy);
}

Test(conn_input, serves_others_while_one_sends_byte_by_byte)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int slow = client_open(&toy);
        int other = client_open(&toy);
        const char *request = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nECHO \"x y\"\r\n";
        for (const char *at = request; *at != '\0'; at++) {
            client_send_bytes(slow, at, 1);
            client_send(other, "PING\r\n");
            client_expect(other, "+PONG\r\n");
        }
        client_expect(slow, "$5\r\nhello\r\n$3\r\nx y\r\n");
        close(slow);
        close(other);
        toy_stop(&toy);
    }
}

Test(conn_input, goes_on_in_order_after_commands_were_left)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        struct buffer request, expected;
        buffer_init(&request, MB);
        buffer_init(&expected, MB);
        for (int i = 0; i < 500; i++) {
            static const char *const commands[] = {"WAIT\r\n", "WAITNOW\r\n", "PING\r\n"};
            static const char *const replies[] = {"+WAITED\r\n", "+WAITED\r\n", "+PONG\r\n"};
            add_text(&request, commands[i % 3]);
            add_text(&expected, replies[i % 3]);
            cr_assert_eq(buffer_printf(&request, "*2\r\n$4\r\nECHO\r\n$3\r\n%03d\r\n", i), 0);
            cr_assert_eq(buffer_printf(&expected, "$3\r\n%03d\r\n", i), 0);
        }
        int fd = client_open(&toy);
        client_exchange(fd, buffer_slice(&request), buffer_slice(&expected));
        close(fd);
        buffer_deinit(&request);
        buffer_deinit(&expected);
        toy_stop(&toy);
    }
}

static int64_t input_bytes(struct toy *toy, void *unused)
{
    (void)unused;
    struct conn_info info;
    conn_info(net_first(toy->net), &info);
    return (int64_t)info.input_bytes;
}

static int64_t input_capacity(struct toy *toy, void *unused)
{
    (void)unused;
    struct conn_info info;
    conn_info(net_first(toy->net), &info);
    return (int64_t)info.input_capacity;
}

Test(conn_input, sizes_the_buffer_of_a_large_value_by_what_is_there_and_what_it_needs)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    static uint8_t value[5 * MB];
    int fd = client_open(&toy);
    const char *header = "*2\r\n$4\r\nECHO\r\n$5242880\r\n";
    int64_t header_bytes = (int64_t)strlen(header);
    client_send(fd, header);
    client_send_bytes(fd, value, MB);
    toy_await(&toy, input_bytes, NULL, header_bytes + MB);
    cr_assert_leq(toy_call(&toy, input_capacity, NULL), 2 * MB + 64 * 1024);
    client_send_bytes(fd, value, 7 * MB / 2);
    toy_await(&toy, input_bytes, NULL, header_bytes + MB + 7 * MB / 2);
    cr_assert_leq(toy_call(&toy, input_capacity, NULL), header_bytes + 5 * MB + 2);
    close(fd);
    toy_stop(&toy);
}

/* Sends until the kernel takes no more and the server has had time to receive more of it. */
static void send_what_fits(struct toy *toy, int fd, struct slice *request)
{
    for (int stuck = 0; stuck < 20;) {
        ssize_t sent = send(fd, request->data, request->bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            *request = slice_skip(*request, (size_t)sent);
            stuck = 0;
        } else {
            stuck++;
            toy_settle(toy);
        }
        cr_assert_gt(request->bytes, 0);
    }
}

Test(conn_input, stops_receiving_from_who_sends_while_waiting)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_pause_bytes = 64 * 1024;
        toy_start(&toy);
        int fd = client_open(&toy);
        /* Replies that nobody reads fill the output, so that commands are left. */
        client_send(fd, "BIG 16000000\r\n");
        struct buffer request;
        buffer_init(&request, 128 * MB);
        while (request.bytes < 64 * MB) {
            add_text(&request, "*2\r\n$4\r\nECHO\r\n$7\r\nabcdefg\r\n");
        }
        size_t count = request.bytes / strlen("*2\r\n$4\r\nECHO\r\n$7\r\nabcdefg\r\n");
        struct buffer expected;
        buffer_init(&expected, 128 * MB);
        add_text(&expected, "$16000000\r\n");
        cr_assert_eq(buffer_reserve(&expected, 16000000), 0);
        memset(expected.data + expected.bytes, 'b', 16000000);
        expected.bytes += 16000000;
        add_text(&expected, "\r\n");
        for (size_t i = 0; i < count; i++) {
            add_text(&expected, "$7\r\nabcdefg\r\n");
        }
        struct slice rest = buffer_slice(&request);
        send_what_fits(&toy, fd, &rest);
        /* Above a megabyte receiving pauses; what was received by then still comes. */
        cr_assert_gt(toy_call(&toy, input_bytes, NULL), MB);
        cr_assert_lt(toy_call(&toy, input_bytes, NULL), 6 * MB);
        client_exchange(fd, rest, buffer_slice(&expected));
        close(fd);
        buffer_deinit(&request);
        buffer_deinit(&expected);
        toy_stop(&toy);
    }
}

Test(conn_input, takes_more_arguments_than_a_batch_has_room_for)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    struct buffer request, expected;
    buffer_init(&request, 64 * MB);
    buffer_init(&expected, MB);
    const uint32_t counts[] = {1, 200, 511, 512, 513, 3, 300, 300, 300, 70000, 0, 511, 511};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        cr_assert_eq(buffer_printf(&request, "*%u\r\n$5\r\nNARGS\r\n", counts[i] + 1), 0);
        for (uint32_t j = 0; j < counts[i]; j++) {
            add_text(&request, "$1\r\na\r\n");
        }
        cr_assert_eq(buffer_printf(&expected, ":%u\r\n", counts[i]), 0);
    }
    int fd = client_open(&toy);
    client_exchange(fd, buffer_slice(&request), buffer_slice(&expected));
    close(fd);
    buffer_deinit(&request);
    buffer_deinit(&expected);
    toy_stop(&toy);
}

Test(conn_input, names_a_protocol_error_after_the_replies_before_it_and_closes)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n!4\r\nPING\r\n");
        client_expect(fd, "+PONG\r\n+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
        client_expect_end(fd);
        close(fd);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.protocol_errors, 1);
        cr_assert_eq(toy_call(&toy, toy_count_commands, NULL), 2);
        toy_stop(&toy);
    }
}

Test(conn_input, names_a_protocol_error_after_the_replies_that_are_under_way)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "HOLD\r\n*x\r\n");
    toy_await(&toy, toy_count_commands, NULL, 1);
    toy_settle(&toy);
    client_expect_silence(fd);
    toy_release_held(&toy);
    client_expect(fd, "+HELD\r\n-ERR Protocol error: invalid multibulk length\r\n");
    client_expect_end(fd);
    close(fd);
    toy_stop(&toy);
}

Test(conn_input, closes_at_the_query_buffer_limit_and_not_before)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.query_bytes_max = 100000;
        toy_start(&toy);
        static uint8_t value[200000];
        memset(value, 'v', sizeof(value));
        int fd = client_open(&toy);
        client_send(fd, "*2\r\n$4\r\nECHO\r\n$90000\r\n");
        client_send_bytes(fd, value, 90000);
        client_send(fd, "\r\n");
        client_expect(fd, "$90000\r\n");
        client_expect_fill(fd, 'v', 90000);
        client_expect(fd, "\r\n");
        client_send(fd, "*2\r\n$4\r\nECHO\r\n$200000\r\n");
        client_send_bytes(fd, value, 110000);
        client_expect_end(fd);
        close(fd);
        toy_stop(&toy);
    }
}

Test(conn_input, applies_the_tight_limits_until_authenticated)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy.password = true;
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "*11\r\n");
    client_expect(fd, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    client_expect_end(fd);
    close(fd);
    fd = client_open(&toy);
    client_send(fd, "PING\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n");
    client_expect(fd, "+PONG\r\n-ERR Protocol error: unauthenticated bulk length\r\n");
    client_expect_end(fd);
    close(fd);
    /* AUTH counts for what follows it in the same packet. */
    fd = client_open(&toy);
    client_send(fd, "AUTH\r\n*2\r\n$4\r\nECHO\r\n$20000\r\n");
    static uint8_t value[20000];
    memset(value, 'v', sizeof(value));
    client_send_bytes(fd, value, sizeof(value));
    client_send(fd, "\r\n");
    client_expect(fd, "+OK\r\n$20000\r\n");
    client_expect_fill(fd, 'v', sizeof(value));
    client_expect(fd, "\r\n");
    close(fd);
    toy_stop(&toy);
}

Test(conn_input, carries_out_what_came_before_the_end_of_the_stream)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "PING\r\nWAIT\r\nECHO a\r\nHOLD\r\n*1\r\n$4\r\nPI");
        cr_assert_eq(shutdown(fd, SHUT_WR), 0);
        client_expect(fd, "+PONG\r\n+WAITED\r\n$1\r\na\r\n");
        toy_await(&toy, toy_count_commands, NULL, 4);
        toy_settle(&toy);
        client_expect_silence(fd);
        toy_release_held(&toy);
        client_expect(fd, "+HELD\r\n");
        client_expect_end(fd);
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        toy_stop(&toy);
    }
}
