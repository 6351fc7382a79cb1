/* Many connections at once, random commands cut at random places, gates that open now and then,
 * small limits: every reply comes, whole and in its connection's order. The seed is fixed; what the
 * kernel makes of it is not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/random.h"
#include "toy.h"

enum { CLIENTS = 12, COMMANDS = 400, BUFFER_BYTES_MAX = 256 << 20 };

struct client {
    int fd;
    struct buffer request;
    struct buffer expected;
};

static void add(struct buffer *to, const char *text)
{
    cr_assert_eq(buffer_append_cstr(to, text), 0);
}

static void add_fill(struct buffer *to, char byte, size_t bytes)
{
    cr_assert_eq(buffer_reserve(to, bytes), 0);
    memset(to->data + to->bytes, byte, bytes);
    to->bytes += bytes;
}

/* A length that is small mostly, and sometimes larger than a receive buffer, or than what is
 * copied. */
static size_t random_length(struct random *random)
{
    static const size_t most[] = {10, 10, 100, 1000, 20000, 70000};
    return random_below(random, most[random_below(random, 6)]);
}

static void add_sized(struct client *client, const char *name, size_t bytes)
{
    cr_assert_eq(buffer_printf(&client->request, "%s %zu\r\n", name, bytes), 0);
    cr_assert_eq(buffer_printf(&client->expected, "$%zu\r\n", bytes), 0);
    add_fill(&client->expected, 'b', bytes);
    add(&client->expected, "\r\n");
}

static void add_echo(struct client *client, char byte, size_t bytes)
{
    cr_assert_eq(buffer_printf(&client->request, "*2\r\n$4\r\nECHO\r\n$%zu\r\n", bytes), 0);
    cr_assert_eq(buffer_printf(&client->expected, "$%zu\r\n", bytes), 0);
    add_fill(&client->request, byte, bytes);
    add_fill(&client->expected, byte, bytes);
    add(&client->request, "\r\n");
    add(&client->expected, "\r\n");
}

static void add_nargs(struct client *client, uint32_t count)
{
    cr_assert_eq(buffer_printf(&client->request, "*%u\r\n$5\r\nNARGS\r\n", count + 1), 0);
    for (uint32_t i = 0; i < count; i++) {
        add(&client->request, "$1\r\nx\r\n");
    }
    cr_assert_eq(buffer_printf(&client->expected, ":%u\r\n", count), 0);
}

static void add_random_command(struct client *client, struct random *random)
{
    switch (random_below(random, 9)) {
    case 0:
        add(&client->request, "WAIT\r\n");
        add(&client->expected, "+WAITED\r\n");
        break;
    case 1:
        add(&client->request, "WAITNOW\n");
        add(&client->expected, "+WAITED\r\n");
        break;
    case 2:
        add_sized(client, "BIG", random_length(random));
        break;
    case 3:
        add_sized(client, "SHARED", random_length(random));
        break;
    case 4:
        add_nargs(client, (uint32_t)random_below(random, 700));
        break;
    case 5:
        add(&client->request, "\r\n*0\r\nECHO 'a \\'b'\r\nNONE\r\n");
        add(&client->expected, "$4\r\na 'b\r\n");
        break;
    case 6:
        add(&client->request, "*1\r\n$4\r\nPING\r\n");
        add(&client->expected, "+PONG\r\n");
        break;
    default:
        add_echo(client, (char)('a' + random_below(random, 26)), random_length(random));
        break;
    }
}

static void client_begin(struct client *client, struct toy *toy, struct random *random)
{
    client->fd = client_open(toy);
    buffer_init(&client->request, BUFFER_BYTES_MAX);
    buffer_init(&client->expected, BUFFER_BYTES_MAX);
    for (int i = 0; i < COMMANDS; i++) {
        add_random_command(client, random);
    }
}

static void client_step_send(struct client *client, struct random *random)
{
    size_t bytes = random_length(random) + 1;
    bytes = bytes < client->request.bytes ? bytes : client->request.bytes;
    ssize_t sent = send(client->fd, client->request.data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    cr_assert(sent >= 0 || errno == EAGAIN || errno == EINTR, "%s", strerror(errno));
    if (sent > 0) {
        buffer_consume(&client->request, (size_t)sent);
    }
}

static void client_step_receive(struct client *client, struct random *random)
{
    static uint8_t piece[128 * 1024];
    size_t most = random_length(random) + 1;
    ssize_t received = recv(client->fd, piece, most, MSG_DONTWAIT);
    cr_assert(received > 0 || (received < 0 && (errno == EAGAIN || errno == EINTR)),
              "%zd, %zu to come", received, client->expected.bytes);
    if (received > 0) {
        cr_assert_leq((size_t)received, client->expected.bytes);
        cr_assert_eq(memcmp(piece, client->expected.data, (size_t)received), 0);
        buffer_consume(&client->expected, (size_t)received);
    }
}

static bool client_is_done(const struct client *client)
{
    return client->request.bytes == 0 && client->expected.bytes == 0;
}

/* Everybody once, in a fashion of its own. Returns how many are not done. */
static uint32_t round_of_all(struct client *clients, struct random *random)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        if (client_is_done(client)) {
            continue;
        }
        busy++;
        if (client->request.bytes > 0 && random_below(random, 4) > 0) {
            client_step_send(client, random);
        }
        if (random_below(random, 4) > 0) {
            client_step_receive(client, random);
        }
    }
    return busy;
}

static void soak(enum io_backend backend, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    struct toy toy;
    toy_init(&toy, backend);
    toy.gated = seed % 2 == 1;
    toy.limits.output_pause_bytes = 40000;
    toy_start(&toy);
    static struct client clients[CLIENTS];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        client_begin(&clients[i], &toy, &random);
    }
    while (round_of_all(clients, &random) > 0) {
        if (toy.gated && random_below(&random, 8) == 0) {
            uint64_t last = toy_gate(&toy);
            toy_open_gates(&toy, last > 0 ? last - random_below(&random, 2) : 0);
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        client_expect_silence(clients[i].fd);
        close(clients[i].fd);
        buffer_deinit(&clients[i].request);
        buffer_deinit(&clients[i].expected);
    }
    toy_stop(&toy);
}

Test(conn_soak, every_reply_comes_whole_and_in_order)
{
    TOY_EACH(backend)
    {
        for (uint64_t seed = 1; seed <= 4; seed++) {
            soak(backend, seed);
        }
    }
}

/* The same traffic, cut off anywhere: nothing is left behind. */
Test(conn_soak, clients_may_go_away_at_any_time)
{
    TOY_EACH(backend)
    {
        struct random random;
        random_seed(&random, 99);
        struct toy toy;
        toy_init(&toy, backend);
        toy.limits.output_pause_bytes = 40000;
        toy_start(&toy);
        for (int64_t round = 1; round <= 60; round++) {
            struct client client;
            client_begin(&client, &toy, &random);
            for (uint64_t steps = random_below(&random, 40); steps > 0; steps--) {
                client_step_send(&client, &random);
                client_step_receive(&client, &random);
            }
            close(client.fd);
            buffer_deinit(&client.request);
            buffer_deinit(&client.expected);
        }
        toy_await(&toy, toy_count_closed, NULL, 60);
        toy_stop(&toy);
    }
}
