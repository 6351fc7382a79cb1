#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/socket.h"
#include "toy.h"

static void ping(int fd)
{
    client_send(fd, "PING\r\n");
    client_expect(fd, "+PONG\r\n");
}

Test(listener, refuses_the_client_above_the_limit_and_says_why)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.clients_max = 3;
        toy_start(&toy);
        int fds[3];
        for (int i = 0; i < 3; i++) {
            fds[i] = client_open(&toy);
            ping(fds[i]);
        }
        cr_assert_eq(net_shared_clients(toy.shared), 3);
        int extra = client_open(&toy);
        client_expect(extra, "-ERR max number of clients reached\r\n");
        client_expect_end(extra);
        close(extra);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.connections_rejected, 1);
        cr_assert_eq(stats.connections_received, 4);
        cr_assert_eq(stats.connections, 3);
        /* A place that becomes free is taken again; and the limit can be raised. */
        close(fds[0]);
        toy_await(&toy, toy_count_closed, NULL, 1);
        fds[0] = client_open(&toy);
        ping(fds[0]);
        net_shared_set_clients_max(toy.shared, 4);
        extra = client_open(&toy);
        ping(extra);
        close(extra);
        for (int i = 0; i < 3; i++) {
            close(fds[i]);
        }
        toy_stop(&toy);
    }
}

Test(listener, closes_whom_the_caller_refuses)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.refuse = true;
        toy_start(&toy);
        int fd = client_open(&toy);
        client_expect_end(fd);
        close(fd);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.connections_rejected, 1);
        cr_assert_eq(stats.connections, 0);
        cr_assert_eq(net_shared_clients(toy.shared), 0);
        toy_stop(&toy);
    }
}

Test(listener, delivers_what_the_caller_says_before_it_closes)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.protect = true;
        toy_start(&toy);
        int fd = client_open(&toy);
        client_expect(fd, "-DENIED not from there\r\n");
        client_expect_end(fd);
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        toy_stop(&toy);
    }
}

Test(listener, opens_more_connections_than_one_pass_takes)
{
    enum { COUNT = 200 };
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        static int fds[COUNT];
        for (int i = 0; i < COUNT; i++) {
            fds[i] = client_open(&toy);
        }
        for (int i = 0; i < COUNT; i++) {
            ping(fds[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            close(fds[i]);
        }
        toy_await(&toy, toy_count_closed, NULL, COUNT);
        toy_stop(&toy);
    }
}

static int64_t all_are_unix(struct toy *toy, void *unused)
{
    (void)unused;
    struct conn_info info;
    conn_info(net_first(toy->net), &info);
    return info.is_unix && info.is_local;
}

Test(listener, serves_unix_sockets)
{
    TOY_EACH(backend)
    {
        char dir[] = "/tmp/listener-test-XXXXXX";
        cr_assert_not_null(mkdtemp(dir));
        struct toy toy;
        toy_init(&toy, backend);
        toy.listen_unix = true;
        (void)snprintf(toy.unix_path, sizeof(toy.unix_path), "%s/sock", dir);
        toy_start(&toy);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, toy.unix_path, sizeof(address.sun_path));
        cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ping(fd);
        cr_assert_eq(toy_call(&toy, all_are_unix, NULL), 1);
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        toy_stop(&toy);
        (void)unlink(toy.unix_path);
        cr_assert_eq(rmdir(dir), 0);
    }
}

/* Takes the listeners up to their limit, and one more. */
static int64_t fill_listeners(struct toy *toy, void *argument)
{
    int *last_err = argument;
    int64_t listening = 1;
    for (;;) {
        int fd = socket_listen_tcp("127.0.0.1", 0, 1, false);
        ASSERT(fd >= 0);
        *last_err = net_listen(toy->net, fd);
        if (*last_err != 0) {
            socket_close(fd);
            return listening;
        }
        listening++;
    }
}

Test(listener, listens_on_sixteen_sockets_at_most)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int err = 0;
    cr_assert_eq(toy_call(&toy, fill_listeners, &err), 16);
    cr_assert_eq(err, ERR_LIMIT);
    toy_stop(&toy);
}

Test(listener, leaves_the_upper_descriptors_to_files)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        /* The toy's threads and the test share the table: what is free now, is taken in turn. */
        int first = dup(0);
        close(first);
        toy.limits.descriptors_max = first + 40;
        toy_start(&toy);
        int fds[40];
        int served = 0;
        for (; served < 40; served++) {
            char text[64];
            fds[served] = client_open(&toy);
            client_send(fds[served], "PING\r\n");
            if (recv(fds[served], text, sizeof(text), 0) < 7 || text[0] != '+') {
                break;
            }
        }
        cr_assert_gt(served, 0);
        cr_assert_lt(served, 40);
        ping(fds[0]);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.connections_rejected, 1);
        cr_assert_eq(stats.accept_errors, 0);
        for (int i = 0; i <= served; i++) {
            close(fds[i]);
        }
        toy_stop(&toy);
    }
}

/* Listens once more, so that the limit of this moment holds for the accept. */
static int64_t listen_within(struct toy *toy, void *argument)
{
    const struct rlimit *limit = argument;
    int fd = socket_listen_tcp("127.0.0.1", 0, 16, false);
    cr_assert_geq(fd, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, limit), 0);
    cr_assert_eq(net_listen(toy->net, fd), 0);
    return socket_port(fd);
}

Test(listener, serves_the_others_while_there_is_no_descriptor_and_then_goes_on)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int other = client_open(&toy);
        ping(other);
        struct rlimit usual;
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        struct rlimit none = {.rlim_cur = 0, .rlim_max = usual.rlim_max};
        struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
            .sin_port = htons((uint16_t)toy_call(&toy, listen_within, &none)),
        };
        cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
        ping(other);
        /* At a limit of 0 not even the spare descriptor helps: the client waits (tests/unit/io has
         * the refusal). Then there are some again. */
        none.rlim_cur = usual.rlim_cur;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        client_send(client, "PING\r\n");
        client_expect(client, "+PONG\r\n");
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_gt(stats.accept_errors, 0);
        close(client);
        close(other);
        toy_stop(&toy);
    }
}

static int64_t stop_listening(struct toy *toy, void *unused)
{
    (void)unused;
    net_stop_listening(toy->net);
    return 0;
}

Test(listener, keeps_its_connections_when_it_stops)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        ping(fd);
        (void)toy_call(&toy, stop_listening, NULL);
        ping(fd);
        close(fd);
        toy_stop(&toy);
    }
}
