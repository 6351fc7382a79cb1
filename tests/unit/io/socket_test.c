#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/thread.h"
#include "fixture.h"

TestSuite(socket, .timeout = 60);

static int option_get(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof(value);
    cr_assert_eq(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

static int listen_any(void)
{
    int fd = socket_listen_tcp("127.0.0.1", 0, 16, false);
    cr_assert_geq(fd, 0);
    return fd;
}

static int connect_to(int listener)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, bytes), 0);
    return fd;
}

/* ---- listening ---- */

Test(socket, tcp_listener_is_set_up)
{
    int fd = listen_any();
    cr_assert_gt(socket_port(fd), 0);
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    cr_assert_eq(option_get(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    cr_assert_eq(option_get(fd, SOL_SOCKET, SO_REUSEPORT), 0);
    int client = connect_to(fd);
    int server = accept(fd, NULL, NULL);
    cr_assert_eq(option_get(server, IPPROTO_TCP, TCP_NODELAY), 1);
    socket_close(server);
    socket_close(client);
    socket_close(fd);
}

Test(socket, port_is_shared_only_if_asked)
{
    int first = socket_listen_tcp("127.0.0.1", 0, 16, true);
    uint16_t port = socket_port(first);
    int second = socket_listen_tcp("127.0.0.1", port, 16, true);
    cr_assert_geq(second, 0);
    cr_assert_eq(socket_port(second), port);
    cr_assert_eq(socket_listen_tcp("127.0.0.1", port, 16, false), -EADDRINUSE);
    cr_assert(socket_port_busy("127.0.0.1", port));
    socket_close(first);
    cr_assert(socket_port_busy("127.0.0.1", port));
    socket_close(second);
    cr_assert(!socket_port_busy("127.0.0.1", port));
    cr_assert(!socket_port_busy("127.0.0.1", 0));
}

Test(socket, bad_address_is_refused)
{
    cr_assert_eq(socket_listen_tcp("localhost", 0, 16, false), -EINVAL);
    cr_assert_eq(socket_listen_tcp("", 0, 16, false), -EINVAL);
    cr_assert_eq(socket_listen_tcp("127.0.0.256", 0, 16, false), -EINVAL);
    cr_assert_eq(socket_listen_tcp("192.0.2.1", 0, 16, false), -EADDRNOTAVAIL);
}

Test(socket, unix_listener_replaces_an_old_socket_file)
{
    struct stat status;
    fixture_dir_make();
    int old = socket_listen_unix(fixture_path("s"), 0700, 16);
    cr_assert_geq(old, 0);
    socket_close(old);
    int fd = socket_listen_unix(fixture_path("s"), 0640, 16);
    cr_assert_geq(fd, 0);
    cr_assert_eq(stat(fixture_path("s"), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0640);
    cr_assert(socket_is_unix(fd));
    cr_assert_eq(socket_port(fd), 0);
    socket_close(fd);
    fixture_dir_remove();
}

/* sun_path holds 107 characters and the NUL. */
Test(socket, unix_path_has_a_longest_length)
{
    char path[200];
    fixture_dir_make();
    size_t prefix = (size_t)snprintf(path, sizeof(path), "%s/", fixture_dir);
    memset(path + prefix, 'x', sizeof(path) - prefix);
    path[108] = '\0';
    cr_assert_eq(socket_listen_unix(path, 0700, 16), -ENAMETOOLONG);
    path[107] = '\0';
    int fd = socket_listen_unix(path, 0700, 16);
    cr_assert_geq(fd, 0);
    cr_assert_eq(socket_listen_unix("", 0700, 16), -ENAMETOOLONG);
    socket_close(fd);
    fixture_dir_remove();
}

/* ---- names ---- */

Test(socket, tcp_ends_have_names_and_are_local)
{
    char expected[SOCKET_NAME_BYTES];
    char name[SOCKET_NAME_BYTES];
    int fd = listen_any();
    int client = connect_to(fd);
    int server = accept(fd, NULL, NULL);
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u", socket_port(client));
    socket_peer_name(server, name);
    cr_assert_str_eq(name, expected);
    socket_local_name(client, name);
    cr_assert_str_eq(name, expected);
    cr_assert(socket_peer_is_local(server));
    cr_assert(!socket_is_unix(server));
    socket_close(server);
    socket_close(client);
    socket_close(fd);
}

Test(socket, v6_ends_have_names_and_are_local)
{
    char expected[SOCKET_NAME_BYTES];
    char name[SOCKET_NAME_BYTES];
    int fd = socket_listen_tcp("::1", 0, 16, false);
    if (fd < 0) {
        cr_skip_test("no IPv6 here");
    }
    int client = connect_to(fd);
    int server = accept(fd, NULL, NULL);
    (void)snprintf(expected, sizeof(expected), "[::1]:%u", socket_port(client));
    socket_peer_name(server, name);
    cr_assert_str_eq(name, expected);
    cr_assert(socket_peer_is_local(server));
    socket_close(server);
    socket_close(client);
    socket_close(fd);
}

Test(socket, unix_ends_have_the_listeners_name_and_are_local)
{
    char expected[SOCKET_NAME_BYTES];
    char name[SOCKET_NAME_BYTES];
    fixture_dir_make();
    int fd = socket_listen_unix(fixture_path("s"), 0700, 16);
    int client = connect_to(fd);
    int server = accept(fd, NULL, NULL);
    (void)snprintf(expected, sizeof(expected), "%.100s:0", fixture_path("s"));
    socket_peer_name(server, name);
    cr_assert_str_eq(name, expected);
    socket_local_name(server, name);
    cr_assert_str_eq(name, expected);
    cr_assert(socket_peer_is_local(server));
    cr_assert(socket_is_unix(server));
    socket_close(server);
    socket_close(client);
    socket_close(fd);
    fixture_dir_remove();
}

Test(socket, what_is_no_socket_has_a_name_too)
{
    char name[SOCKET_NAME_BYTES];
    socket_peer_name(-1, name);
    cr_assert_str_eq(name, "?:0");
    socket_local_name(-1, name);
    cr_assert_str_eq(name, "?:0");
    cr_assert_eq(socket_port(-1), 0);
    cr_assert(!socket_peer_is_local(-1));
    cr_assert(!socket_is_unix(-1));
}

Test(socket, keepalive_is_set_and_unset)
{
    int fd = listen_any();
    cr_assert_eq(socket_set_keepalive(fd, 300), 0);
    cr_assert_eq(option_get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    cr_assert_eq(option_get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 300);
    cr_assert_eq(option_get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 100);
    cr_assert_eq(option_get(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    cr_assert_eq(socket_set_keepalive(fd, 1), 0);
    cr_assert_eq(option_get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    cr_assert_eq(socket_set_keepalive(fd, 0), 0);
    cr_assert_eq(option_get(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    cr_assert_eq(socket_set_keepalive(-1, 300), -EBADF);
    socket_close(fd);
}

/* ---- asking ---- */

struct answerer {
    int listener;
    const char *pieces[3]; /* sent one by one; NULL ends */
    char request[32];      /* what came */
};

static void answerer_run(void *arg)
{
    struct answerer *answerer = arg;
    int fd = accept(answerer->listener, NULL, NULL);
    ssize_t got = recv(fd, answerer->request, sizeof(answerer->request) - 1, 0);
    if (got > 0) {
        for (size_t i = 0; i < 3 && answerer->pieces[i] != NULL; i++) {
            (void)send(fd, answerer->pieces[i], strlen(answerer->pieces[i]), MSG_NOSIGNAL);
        }
    }
    close(fd);
}

static int ask(struct answerer *answerer, char *reply, size_t reply_bytes)
{
    struct thread thread;
    answerer->listener = listen_any();
    /* The answerer may block. */
    cr_assert_eq(fcntl(answerer->listener, F_SETFL, 0), 0);
    cr_assert_eq(thread_start(&thread, "answerer", answerer_run, answerer), 0);
    int err =
        socket_ask("127.0.0.1", socket_port(answerer->listener), "PING\r\n", reply, reply_bytes);
    thread_join(&thread);
    socket_close(answerer->listener);
    return err;
}

Test(socket, ask_returns_the_first_line)
{
    char reply[64];
    struct answerer answerer = {.pieces = {"+PO", "NG\r", "\nmore"}};
    cr_assert_eq(ask(&answerer, reply, sizeof(reply)), 0);
    cr_assert_str_eq(reply, "+PONG");
    cr_assert_str_eq(answerer.request, "PING\r\n");
}

Test(socket, ask_cuts_a_line_that_is_too_long)
{
    char reply[4];
    struct answerer answerer = {.pieces = {"+PONG\r\n"}};
    cr_assert_eq(ask(&answerer, reply, sizeof(reply)), 0);
    cr_assert_str_eq(reply, "+PO");
}

Test(socket, ask_of_somebody_who_hangs_up_is_an_error)
{
    char reply[64];
    struct answerer answerer = {.pieces = {"+PO"}};
    cr_assert_eq(ask(&answerer, reply, sizeof(reply)), -ECONNRESET);
}

Test(socket, ask_of_nobody_is_an_error)
{
    char reply[64] = "old";
    int fd = listen_any();
    uint16_t port = socket_port(fd);
    socket_close(fd);
    cr_assert_eq(socket_ask("127.0.0.1", port, "PING\r\n", reply, sizeof(reply)), -ECONNREFUSED);
    cr_assert_str_eq(reply, "");
    cr_assert_eq(socket_ask("nowhere", port, "PING\r\n", reply, sizeof(reply)), -EINVAL);
}

/* ---- telling ---- */

Test(socket, notify_sends_one_datagram)
{
    char path[] = "/tmp/socket_test-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", path);
    cr_expect_eq(socket_notify(address.sun_path, "READY=1"), -ENOENT);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_expect_eq(socket_notify(address.sun_path, "READY=1"), 0);
    char text[16];
    cr_assert_eq(recv(fd, text, sizeof(text), 0), 7);
    cr_expect_arr_eq(text, "READY=1", 7);
    (void)close(fd);
    (void)unlink(address.sun_path);
    (void)rmdir(path);
}

Test(socket, notify_knows_abstract_names)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[32];
    int bytes = snprintf(name, sizeof(name), "@socket_test-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, (size_t)bytes - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)bytes)),
                 0);
    cr_expect_eq(socket_notify(name, "READY=1"), 0);
    char text[16];
    cr_expect_eq(recv(fd, text, sizeof(text), 0), 7);
    (void)close(fd);
}

Test(socket, notify_refuses_what_is_no_path)
{
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    cr_expect_eq(socket_notify("", "READY=1"), -ENAMETOOLONG);
    cr_expect_eq(socket_notify(path, "READY=1"), -ENAMETOOLONG);
}
