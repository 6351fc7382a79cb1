#include "net/net.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "base/mem.h"
#include "toy.h"

Test(net, sends_what_is_ready_when_all_are_closed)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy.gated = true;
        toy_start(&toy);
        int idle = client_open(&toy);
        int gated = client_open(&toy);
        int half = client_open(&toy);
        client_send(gated, "PING\r\n");
        client_send(half, "*1\r\n$4\r\nPI");
        toy_await(&toy, toy_count_commands, NULL, 1);
        toy_settle(&toy);
        client_expect_silence(gated);
        toy_stop(&toy); /* opens the gates first */
        client_expect(gated, "+PONG\r\n");
        client_expect_end(gated);
        client_expect_end(half);
        client_expect_end(idle);
        close(idle);
        close(gated);
        close(half);
    }
}

Test(net, does_not_wait_forever_for_who_does_not_read)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int fd = client_open(&toy);
        client_send(fd, "SHARED 16000000\r\n");
        toy_await(&toy, toy_count_commands, NULL, 1);
        toy_stop(&toy);
        cr_assert_eq(toy.released, 1);
        close(fd);
    }
}

static void *refuse_open(void *context, struct conn *conn)
{
    (void)context;
    (void)conn;
    return NULL;
}

/* Fails the n-th allocation of net_create, for every n, until it succeeds. */
static int create_without_memory(struct shard *shard, void *argument)
{
    const struct net_handlers handlers = {.on_open = refuse_open};
    struct net_limits limits = net_limits_default();
    uint32_t *failures = argument;
    struct net *net = NULL;
    TRY(net_create(shard, &handlers, &limits, &net)); /* the shard has its memory for timers then */
    net_destroy(net);
    for (uint64_t n = 1;; n++) {
        net = NULL;
        mem_fail_after(n, false);
        int err = net_create(shard, &handlers, &limits, &net);
        mem_fail_after(0, false);
        if (err == 0) {
            net_destroy(net);
            return 0;
        }
        ASSERT(err == ERR_MEMORY);
        ASSERT(net == NULL);
        (*failures)++;
    }
}

static void stop_nothing(struct shard *shard, void *argument)
{
    (void)shard;
    (void)argument;
}

Test(net, is_created_whole_or_not_at_all)
{
    struct shard_options options = shard_options_default();
    struct shard_set *set = NULL;
    uint32_t failures = 0;
    cr_assert_eq(shard_set_start(1, &options, create_without_memory, &failures, &set), 0);
    shard_set_stop(set, stop_nothing, NULL);
    cr_assert_geq(failures, 4);
}

static int64_t lower_limits(struct toy *toy, void *unused)
{
    (void)unused;
    struct net_limits limits = net_limits_default();
    limits.bulk_bytes_max = 4;
    net_set_limits(toy->net, &limits);
    return 0;
}

Test(net, takes_new_limits_while_it_runs)
{
    struct toy toy;
    toy_init(&toy, IO_BACKEND_AUTO);
    toy_start(&toy);
    int fd = client_open(&toy);
    client_send(fd, "*2\r\n$4\r\nECHO\r\n$5\r\nabcde\r\n");
    client_expect(fd, "$5\r\nabcde\r\n");
    (void)toy_call(&toy, lower_limits, NULL);
    client_send(fd, "*2\r\n$4\r\nECHO\r\n$4\r\nabcd\r\n*2\r\n$4\r\nECHO\r\n$5\r\nabcde\r\n");
    client_expect(fd, "$4\r\nabcd\r\n-ERR Protocol error: invalid bulk length\r\n");
    client_expect_end(fd);
    close(fd);
    toy_stop(&toy);
}

/* The n-th allocation while a connection is served fails: it may be closed, and others live on. */
Test(net, outlives_lack_of_memory)
{
    TOY_EACH(backend)
    {
        struct toy toy;
        toy_init(&toy, backend);
        toy_start(&toy);
        int other = client_open(&toy);
        client_send(other, "PING\r\n");
        client_expect(other, "+PONG\r\n");
        for (uint64_t n = 1; n <= 8; n++) {
            int fd = client_open(&toy);
            client_send(fd, "PING\r\n");
            client_expect(fd, "+PONG\r\n");
            mem_fail_after(n, false);
            client_send(fd, "*2\r\n$4\r\nECHO\r\n$20000\r\nab");
            toy_settle(&toy);
            client_send(fd, "c");
            toy_settle(&toy);
            mem_fail_after(0, false);
            client_send(other, "PING\r\n");
            client_expect(other, "+PONG\r\n");
            close(fd);
            toy_await(&toy, toy_count_closed, NULL, (int64_t)n);
        }
        close(other);
        toy_stop(&toy);
    }
}
