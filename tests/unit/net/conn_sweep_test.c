#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "toy.h"

/* Time stands still unless a test moves it. */
static _Atomic int64_t now_ns = INT64_C(1000000000000);

static int64_t test_mono_ns(void *arg)
{
    (void)arg;
    return atomic_load(&now_ns);
}

static int64_t test_real_us(void *arg)
{
    (void)arg;
    return atomic_load(&now_ns) / 1000;
}

static const struct clock_source source = {.mono_ns = test_mono_ns, .real_us = test_real_us};

static void start(struct toy *toy, enum io_backend backend)
{
    clock_set_source(&source);
    toy_init(toy, backend);
}

static void stop(struct toy *toy)
{
    toy_stop(toy);
    clock_set_source(NULL);
}

/* Seconds pass one by one, as a sweep sees them, and each is noticed. */
static void pass_seconds(struct toy *toy, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        atomic_fetch_add(&now_ns, INT64_C(1000000000));
        toy_settle(toy);
    }
}

static void ping(int fd)
{
    client_send(fd, "PING\r\n");
    client_expect(fd, "+PONG\r\n");
}

Test(conn_sweep, closes_idle_connections_when_their_time_is_up_and_not_before)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        start(&toy, backend);
        toy.limits.idle_timeout_s = 10;
        toy_start(&toy);
        int idle = client_open(&toy);
        int busy = client_open(&toy);
        int held = client_open(&toy);
        ping(idle);
        ping(busy);
        client_send(held, "HOLD\r\n");
        toy_await(&toy, toy_count_commands, NULL, 3);
        pass_seconds(&toy, 8);
        ping(busy);
        client_expect_silence(idle);
        pass_seconds(&toy, 3);
        client_expect_end(idle);
        ping(busy);
        toy_release_held(&toy);
        client_expect(held, "+HELD\r\n");
        close(idle);
        close(busy);
        close(held);
        stop(&toy);
    }
}

Test(conn_sweep, never_closes_idle_connections_without_a_timeout)
{
    struct toy toy;
    start(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    ping(fd);
    atomic_fetch_add(&now_ns, INT64_C(1000000000) * 86400);
    pass_seconds(&toy, 3);
    ping(fd);
    close(fd);
    stop(&toy);
}

Test(conn_sweep, closes_a_request_that_stops_in_the_middle)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        start(&toy, backend);
        toy.limits.request_timeout_s = 10;
        toy_start(&toy);
        int stuck = client_open(&toy);
        int slow = client_open(&toy);
        int idle = client_open(&toy);
        ping(idle);
        client_send(stuck, "*2\r\n$4\r\nECHO\r\n");
        client_send(slow, "*2\r\n$4\r\nECHO\r\n$5\r\n");
        toy_settle(&toy);
        for (const char *at = "hello"; *at != '\0'; at++) {
            pass_seconds(&toy, 8);
            client_send_bytes(slow, at, 1);
            toy_settle(&toy);
        }
        client_expect_end(stuck);
        client_send(slow, "\r\n");
        client_expect(slow, "$5\r\nhello\r\n");
        ping(idle);
        close(stuck);
        close(slow);
        close(idle);
        stop(&toy);
    }
}

Test(conn_sweep, closes_who_does_not_authenticate_in_time)
{
    struct toy toy;
    start(&toy, IO_BACKEND_AUTO);
    toy.password = true;
    toy.limits.auth_timeout_s = 10;
    toy_start(&toy);
    int known = client_open(&toy);
    int stranger = client_open(&toy);
    client_send(known, "AUTH\r\n");
    client_expect(known, "+OK\r\n");
    ping(stranger);
    pass_seconds(&toy, 8);
    ping(stranger);
    pass_seconds(&toy, 4);
    client_expect_end(stranger);
    ping(known);
    close(known);
    close(stranger);
    stop(&toy);
}

Test(conn_sweep, closes_a_stranger_that_is_stuck_with_unread_replies)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        start(&toy, backend);
        toy.password = true;
        toy.limits.auth_timeout_s = 0;
        toy_start(&toy);
        int idle = client_open(&toy);
        int stuck = client_open(&toy);
        ping(idle);
        client_send(stuck, "BIG 16000000\r\n");
        toy_await(&toy, toy_count_commands, NULL, 2);
        toy_settle(&toy);
        cr_assert_eq(toy_call(&toy, toy_count_closed, NULL), 0);
        pass_seconds(&toy, 4);
        toy_await(&toy, toy_count_closed, NULL, 1);
        ping(idle);
        struct net_stats stats;
        toy_stats(&toy, &stats);
        cr_assert_eq(stats.output_limit_closes, 1);
        close(idle);
        close(stuck);
        stop(&toy);
    }
}

Test(conn_sweep, closes_who_stays_above_the_soft_limit)
{
    struct toy toy;
    start(&toy, IO_BACKEND_AUTO);
    toy.limits.output_soft_bytes = 1024 * 1024;
    toy.limits.output_soft_seconds = 10;
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "BIG 16000000\r\n");
    toy_await(&toy, toy_count_commands, NULL, 1);
    pass_seconds(&toy, 8);
    cr_assert_eq(toy_call(&toy, toy_count_closed, NULL), 0);
    pass_seconds(&toy, 5);
    toy_await(&toy, toy_count_closed, NULL, 1);
    struct net_stats stats;
    toy_stats(&toy, &stats);
    cr_assert_eq(stats.output_limit_closes, 1);
    close(fd);
    stop(&toy);
}

Test(conn_sweep, closes_who_is_to_end_and_does_not_read)
{
    struct toy toy;
    start(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "BIG 16000000\r\nQUIT\r\n");
    toy_await(&toy, toy_count_commands, NULL, 2);
    pass_seconds(&toy, 5);
    cr_assert_eq(toy_call(&toy, toy_count_closed, NULL), 0);
    pass_seconds(&toy, 10);
    toy_await(&toy, toy_count_closed, NULL, 1);
    close(fd);
    stop(&toy);
}

/* More connections than one step of the sweep looks at. */
Test(conn_sweep, reaches_every_connection)
{
    enum { COUNT = 400 };
    struct toy toy;
    start(&toy, IO_BACKEND_AUTO);
    toy.limits.idle_timeout_s = 5;
    toy_start(&toy);
    static int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = client_open(&toy);
        ping(fds[i]);
    }
    pass_seconds(&toy, 20);
    for (int i = 0; i < COUNT; i++) {
        client_expect_end(fds[i]);
        close(fds[i]);
    }
    stop(&toy);
}
