#include "server/listen.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logger.h"
#include "io/socket.h"

static struct config *config;
static struct listen_sockets sockets;

static void setup(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    config = config_create();
    cr_assert_not_null(config);
}

static void teardown(void)
{
    config_destroy(config);
}

TestSuite(listen, .init = setup, .fini = teardown);

static void set(const char *text)
{
    struct config_failure failure;
    cr_assert_eq(config_read_text(config, slice_cstr(text), "", &failure), 0, "%s", failure.reason);
}

Test(listen, addresses)
{
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    cr_assert_eq(listen_addresses("* -::* localhost  10.0.0.1", addresses), 4);
    cr_expect_str_eq(addresses[0].text, "0.0.0.0");
    cr_expect(!addresses[0].optional);
    cr_expect_str_eq(addresses[1].text, "::");
    cr_expect(addresses[1].optional);
    cr_expect_str_eq(addresses[2].text, "127.0.0.1");
    cr_expect_str_eq(addresses[3].text, "10.0.0.1");
    cr_expect_eq(listen_addresses("", addresses), 0);
}

Test(listen, so_many_addresses_and_no_more)
{
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    char text[256] = "";
    for (int i = 0; i < LISTEN_ADDRESSES_MAX; i++) {
        strcat(text, "::1 ");
    }
    cr_expect_eq(listen_addresses(text, addresses), LISTEN_ADDRESSES_MAX);
    strcat(text, "::1");
    cr_expect_eq(listen_addresses(text, addresses), ERR_CONFIG);
    memset(text, 'a', LISTEN_ADDRESS_BYTES);
    text[LISTEN_ADDRESS_BYTES] = '\0';
    cr_expect_eq(listen_addresses(text, addresses), ERR_CONFIG);
}

/* A port that nobody uses: one that the kernel has chosen and that was given back. */
static uint16_t free_port(void)
{
    int fd = socket_listen_tcp("127.0.0.1", 0, 1, false);
    cr_assert_geq(fd, 0);
    uint16_t port = socket_port(fd);
    socket_close(fd);
    return port;
}

static void set_port(uint16_t port)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "bind 127.0.0.1\nport %u\n", port);
    set(text);
}

Test(listen, each_shard_has_a_socket_on_the_same_port)
{
    set_port(free_port());
    cr_assert_eq(listen_open(config, 3, &sockets), 0);
    cr_expect_eq(sockets.count, 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(socket_port(sockets.fds[i][0]), config_number(config, DIRECTIVE_PORT));
    }
    cr_expect_eq(listen_check(config), -EADDRINUSE);
    cr_expect(listen_is_busy(config));
    listen_close(&sockets);
    cr_expect_eq(listen_check(config), 0);
    cr_expect(!listen_is_busy(config));
}

Test(listen, a_port_in_use_is_an_error)
{
    set_port(free_port());
    cr_assert_eq(listen_open(config, 1, &sockets), 0);
    struct listen_sockets others;
    cr_expect_eq(listen_open(config, 1, &others), -EADDRINUSE);
    listen_close(&sockets);
}

Test(listen, an_optional_address_may_be_missing)
{
    /* 192.0.2.0/24 is for documentation: no machine has it. */
    set_port(free_port());
    set("bind 127.0.0.1 -192.0.2.1\n");
    cr_assert_eq(listen_open(config, 2, &sockets), 0);
    cr_expect_eq(sockets.count, 1);
    listen_close(&sockets);
    set("bind 127.0.0.1 192.0.2.1\n");
    cr_expect_eq(listen_open(config, 2, &sockets), -EADDRNOTAVAIL);
    set("bind -192.0.2.1\n");
    cr_expect_eq(listen_open(config, 2, &sockets), -EADDRNOTAVAIL);
}

Test(listen, a_name_is_no_address)
{
    set_port(free_port());
    set("bind example\n");
    cr_expect_eq(listen_open(config, 1, &sockets), -EINVAL);
}

Test(listen, port_zero_is_no_tcp)
{
    set("port 0\n");
    cr_expect_eq(listen_check(config), 0);
    cr_assert_eq(listen_open(config, 2, &sockets), 0);
    cr_expect_eq(sockets.count, 0);
    cr_expect_eq(sockets.unix_fd, -1);
}

Test(listen, unix_socket)
{
    char folder[] = "/tmp/listen-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    char text[128];
    (void)snprintf(text, sizeof(text), "port 0\nunixsocket %s/socket\n", folder);
    set(text);
    cr_assert_eq(listen_open(config, 2, &sockets), 0);
    cr_expect(socket_is_unix(sockets.unix_fd));
    listen_close(&sockets);
    cr_expect_eq(unlink(config_text(config, DIRECTIVE_UNIXSOCKET)), 0);
    set("unixsocket /no/such/folder/socket\n");
    cr_expect_eq(listen_open(config, 2, &sockets), -ENOENT);
    (void)rmdir(folder);
}
