#include "net/net.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "toy.h"

Test(conn, delivers_everything_before_it_closes_after_a_reply)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "BIG 8000000\r\nSHARED 4000000\r\nQUIT\r\nPING\r\n");
        client_expect(fd, "$8000000\r\n");
        client_expect_fill(fd, 'b', 8000000);
        client_expect(fd, "\r\n$4000000\r\n");
        client_expect_fill(fd, 'b', 4000000);
        client_expect(fd, "\r\n+OK\r\n");
        client_expect_end(fd);
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_count_commands, NULL), 3);
        toy_stop(&toy);
    }
}

Test(conn, closes_itself_from_within_a_command)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "KILL\r\nPING\r\n");
        client_expect_end(fd);
        close(fd);
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_count_commands, NULL), 1);
        toy_stop(&toy);
    }
}

/* Everybody in every state is closed by another connection. */
Test(conn, closes_another_whatever_it_is_doing)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        static const char *const states[] = {
            "",                             /* idle */
            "*2\r\n$4\r\nECHO\r\n$9\r\nab", /* in the middle of a command */
            "WAIT\r\nPING\r\n",             /* about to go on */
            "HOLD\r\n",                     /* a command under way */
            "SHARED 16000000\r\n",          /* sending */
        };
        enum { STATES = sizeof(states) / sizeof(states[0]) };
        int killer = client_open(&toy);
        client_send(killer, "PING\r\n");
        client_expect(killer, "+PONG\r\n");
        uint64_t id = toy_first_id(&toy);
        for (uint32_t i = 0; i < STATES; i++) {
            int fd = client_open(&toy);
            client_send(fd, "PING\r\n");
            client_expect(fd, "+PONG\r\n");
            client_send(fd, states[i]);
            toy_settle(&toy);
            char command[64];
            id++; /* ids ascend by one for each new connection */
            (void)snprintf(command, sizeof(command), "KILLID %llu\r\n", (unsigned long long)id);
            client_send(killer, command);
            client_expect(killer, "+OK\r\n");
            toy_settle(&toy);
            toy_release_held(&toy);
            toy_await(&toy, toy_count_closed, NULL, i + 1);
            close(fd);
        }
        close(killer);
        toy_stop(&toy);
    }
}

Test(conn, lives_until_its_last_hold_is_dropped)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "HOLD\r\nHOLD\r\nKILL\r\n");
        client_expect_end(fd);
        close(fd);
        toy_settle(&toy);
        uint64_t id = toy_first_id(&toy);
        cr_assert_neq(id, 0);
        cr_assert_eq(toy_call(&toy, toy_count_closed, NULL), 0);
        toy_release_held(&toy);
        toy_await(&toy, toy_count_closed, NULL, 1);
        cr_assert_eq(toy_call(&toy, toy_memory_of, &id), -1);
        toy_stop(&toy);
    }
}

struct seen {
    uint64_t ids[4];
    uint32_t count;
    bool found, local, is_unix;
    int fd;
    char peer[64];
    int64_t now_ms, opened_ms, active_ms;
};

static int64_t look_around(struct toy *toy, void *argument)
{
    struct seen *seen = argument;
    for (struct conn *conn = net_first(toy->net); conn != NULL && seen->count < 4;
         conn = net_next(toy->net, conn)) {
        seen->ids[seen->count++] = conn_id(conn);
        seen->found = net_find(toy->net, conn_id(conn)) == conn;
        struct conn_info info;
        conn_info(conn, &info);
        seen->local = info.is_local;
        seen->is_unix = info.is_unix;
        seen->fd = info.fd;
        seen->opened_ms = info.opened_ms;
        seen->active_ms = info.active_ms;
        (void)snprintf(seen->peer, sizeof(seen->peer), "%s", info.peer);
        ASSERT(conn_net(conn) == toy->net);
        ASSERT(conn_shard(conn) == toy->shard);
    }
    seen->now_ms = shard_now_ms(toy->shard);
    ASSERT(net_find(toy->net, 12345) == NULL);
    return 0;
}

Test(conn, can_be_found_listed_and_described)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fds[3];
        for (int i = 0; i < 3; i++) {
            fds[i] = client_open(&toy);
            client_send(fds[i], "PING\r\n");
            client_expect(fds[i], "+PONG\r\n");
        }
        struct seen seen = {.count = 0};
        (void)toy_call(&toy, look_around, &seen);
        cr_assert_eq(seen.count, 3);
        cr_assert_lt(seen.ids[0], seen.ids[1]);
        cr_assert_lt(seen.ids[1], seen.ids[2]);
        cr_assert(seen.found);
        cr_assert(seen.local);
        cr_assert(!seen.is_unix);
        cr_assert_geq(seen.fd, 0);
        cr_assert_eq(strncmp(seen.peer, "127.0.0.1:", 10), 0);
        cr_assert_leq(seen.opened_ms, seen.now_ms);
        cr_assert_leq(seen.active_ms, seen.now_ms);
        for (int i = 0; i < 3; i++) {
            close(fds[i]);
        }
        toy_await(&toy, toy_count_closed, NULL, 3);
        toy_stop(&toy);
    }
}

static int64_t sum_memory(struct toy *toy, void *argument)
{
    int64_t *most = argument;
    int64_t sum = 0;
    for (struct conn *conn = net_first(toy->net); conn != NULL; conn = net_next(toy->net, conn)) {
        struct conn_info info;
        conn_info(conn, &info);
        int64_t bytes = (int64_t)info.memory_bytes;
        sum += bytes;
        *most = bytes > *most ? bytes : *most;
    }
    return sum;
}

Test(conn, costs_little_while_idle)
{
    enum { COUNT = 2000 };
    struct rlimit files = {0};
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 2 * COUNT + 100) {
        cr_skip_test("only %llu files allowed", (unsigned long long)files.rlim_max);
    }
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        struct mem_stats before, after;
        mem_stats(&before);
        static int fds[COUNT];
        for (int i = 0; i < COUNT; i++) {
            fds[i] = client_open(&toy);
            client_send(fds[i], "*2\r\n$4\r\nECHO\r\n$5\r\nhel");
        }
        for (int i = 0; i < COUNT; i++) {
            client_send(fds[i], "lo\r\n");
            client_expect(fds[i], "$5\r\nhello\r\n");
        }
        mem_stats(&after);
        int64_t most = 0;
        int64_t sum = toy_call(&toy, sum_memory, &most);
        printf("%d idle connections: %lld bytes each by our own count, %lld by the allocator's\n",
               COUNT, (long long)(sum / COUNT),
               (long long)(after.allocated - before.allocated) / COUNT);
        cr_assert_leq(most, 1024);
        for (int i = 0; i < COUNT; i++) {
            close(fds[i]);
        }
        toy_await(&toy, toy_count_closed, NULL, COUNT);
        toy_stop(&toy);
    }
}
