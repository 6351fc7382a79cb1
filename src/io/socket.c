#include "io/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    ASK_TIMEOUT_MS = 5000,
    KEEPALIVE_PROBES = 3,
    NS_PER_MS = 1000000,
};

/* Any address this file deals with. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* ---- addresses ---- */

static int address_parse(const char *text, uint16_t port, union address *ret_address,
                         socklen_t *ret_bytes)
{
    union address address = {0};
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        *ret_bytes = sizeof(address.v4);
    } else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        *ret_bytes = sizeof(address.v6);
    } else {
        return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

static void address_format(const union address *address, char name[SOCKET_NAME_BYTES])
{
    char text[INET6_ADDRSTRLEN] = "?";
    switch (address->any.sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof(text));
        (void)snprintf(name, SOCKET_NAME_BYTES, "%s:%u", text, ntohs(address->v4.sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof(text));
        (void)snprintf(name, SOCKET_NAME_BYTES, "[%s]:%u", text, ntohs(address->v6.sin6_port));
        break;
    case AF_UNIX:
        (void)snprintf(name, SOCKET_NAME_BYTES, "%.*s:0", (int)sizeof(address->local.sun_path),
                       address->local.sun_path);
        break;
    default:
        (void)snprintf(name, SOCKET_NAME_BYTES, "?:0");
        break;
    }
}

static int local_address(int fd, union address *ret_address)
{
    socklen_t bytes = sizeof(*ret_address);
    *ret_address = (union address){0};
    return getsockname(fd, &ret_address->any, &bytes) < 0 ? -errno : 0;
}

static int peer_address(int fd, union address *ret_address)
{
    socklen_t bytes = sizeof(*ret_address);
    *ret_address = (union address){0};
    return getpeername(fd, &ret_address->any, &bytes) < 0 ? -errno : 0;
}

/* ---- listening ---- */

static int option_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int listen_options(int fd, int family, bool shared)
{
    TRY(option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    TRY(option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1));
    if (family == AF_INET6) {
        /* "::" and "0.0.0.0" may then be listened on side by side. */
        TRY(option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    }
    return shared ? option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1) : 0;
}

static int bind_and_listen(int fd, const union address *address, socklen_t bytes, int backlog)
{
    if (bind(fd, &address->any, bytes) < 0 || listen(fd, backlog) < 0) {
        return -errno;
    }
    return 0;
}

int socket_listen_tcp(const char *address, uint16_t port, int backlog, bool shared)
{
    union address parsed;
    socklen_t bytes;
    TRY(address_parse(address, port, &parsed, &bytes));
    int family = parsed.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int err = listen_options(fd, family, shared);
    if (err == 0) {
        err = bind_and_listen(fd, &parsed, bytes, backlog);
    }
    if (err < 0) {
        (void)close(fd);
        return err;
    }
    return fd;
}

/* Makes the socket file with its permissions before anybody can connect. */
static int bind_unix(int fd, const union address *address, uint32_t mode, int backlog)
{
    const char *path = address->local.sun_path;
    if (unlink(path) < 0 && errno != ENOENT) {
        return -errno;
    }
    if (bind(fd, &address->any, sizeof(address->local)) < 0 || chmod(path, (mode_t)mode) < 0 ||
        listen(fd, backlog) < 0) {
        return -errno;
    }
    return 0;
}

int socket_listen_unix(const char *path, uint32_t mode, int backlog)
{
    union address address = {.local = {.sun_family = AF_UNIX}};
    if (strlen(path) == 0 || strlen(path) >= sizeof(address.local.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.local.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int err = bind_unix(fd, &address, mode, backlog);
    if (err < 0) {
        (void)close(fd);
        return err;
    }
    return fd;
}

/* Tried by binding without SO_REUSEPORT, which fails beside any listener. */
bool socket_port_busy(const char *address, uint16_t port)
{
    if (port == 0) {
        return false;
    }
    int fd = socket_listen_tcp(address, port, 1, false);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd == -EADDRINUSE;
}

/* ---- what a socket is ---- */

uint16_t socket_port(int fd)
{
    union address address;
    if (local_address(fd, &address) < 0) {
        return 0;
    }
    switch (address.any.sa_family) {
    case AF_INET:
        return ntohs(address.v4.sin_port);
    case AF_INET6:
        return ntohs(address.v6.sin6_port);
    default:
        return 0;
    }
}

int socket_set_keepalive(int fd, uint32_t seconds)
{
    if (seconds == 0) {
        return option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    }
    /* The first probe after `seconds` of silence; dead after as long again without an answer. */
    int interval = seconds >= KEEPALIVE_PROBES ? (int)(seconds / KEEPALIVE_PROBES) : 1;
    TRY(option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
    TRY(option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)seconds));
    TRY(option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval));
    return option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* A client's end of a unix socket has no name; the path is the listener's. */
void socket_peer_name(int fd, char name[SOCKET_NAME_BYTES])
{
    union address address;
    if (peer_address(fd, &address) < 0 || address.any.sa_family == AF_UNIX) {
        (void)local_address(fd, &address);
    }
    address_format(&address, name);
}

void socket_local_name(int fd, char name[SOCKET_NAME_BYTES])
{
    union address address;
    (void)local_address(fd, &address);
    address_format(&address, name);
}

static bool v6_is_local(const struct in6_addr *address)
{
    bool mapped_loopback = IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(address) || mapped_loopback;
}

bool socket_peer_is_local(int fd)
{
    union address address;
    if (peer_address(fd, &address) < 0) {
        return false;
    }
    switch (address.any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return v6_is_local(&address.v6.sin6_addr);
    default:
        return false;
    }
}

bool socket_is_unix(int fd)
{
    union address address;
    return local_address(fd, &address) == 0 && address.any.sa_family == AF_UNIX;
}

void socket_close(int fd)
{
    (void)close(fd);
}

/* ---- asking ---- */

/* Waits until the socket is ready for `events` or the time is up. */
static int ask_wait(int fd, short events, int64_t end_ns)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int64_t rest_ms = (end_ns - clock_mono_ns()) / NS_PER_MS;
    int ready = rest_ms > 0 ? poll(&entry, 1, (int)rest_ms) : 0;
    if (ready < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    return ready == 0 ? -ETIMEDOUT : 0;
}

static int ask_connect(int fd, const union address *address, socklen_t bytes, int64_t end_ns)
{
    if (connect(fd, &address->any, bytes) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return -errno;
    }
    TRY(ask_wait(fd, POLLOUT, end_ns));
    int err = 0;
    socklen_t err_bytes = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_bytes) < 0) {
        return -errno;
    }
    return -err;
}

static int ask_send(int fd, const char *request, int64_t end_ns)
{
    size_t bytes = strlen(request);
    size_t sent = 0;
    while (sent < bytes) {
        TRY(ask_wait(fd, POLLOUT, end_ns));
        ssize_t result = send(fd, request + sent, bytes - sent, MSG_NOSIGNAL);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        sent += result > 0 ? (size_t)result : 0;
    }
    return 0;
}

/* Up to the first line end, which is cut off, or to what fits in `reply`. */
static int ask_receive(int fd, char *reply, size_t reply_bytes, int64_t end_ns)
{
    size_t filled = 0;
    char *line_end = NULL;
    while (filled + 1 < reply_bytes && line_end == NULL) {
        TRY(ask_wait(fd, POLLIN, end_ns));
        ssize_t result = recv(fd, reply + filled, reply_bytes - 1 - filled, 0);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        if (result == 0) {
            return -ECONNRESET;
        }
        filled += result > 0 ? (size_t)result : 0;
        reply[filled] = '\0';
        line_end = strpbrk(reply, "\r\n");
    }
    if (line_end != NULL) {
        *line_end = '\0';
    }
    return 0;
}

int socket_ask(const char *address, uint16_t port, const char *request, char *reply,
               size_t reply_bytes)
{
    ASSERT(reply_bytes > 0);
    reply[0] = '\0';
    union address parsed;
    socklen_t bytes;
    TRY(address_parse(address, port, &parsed, &bytes));
    int fd = socket(parsed.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int64_t end_ns = clock_mono_ns() + (int64_t)ASK_TIMEOUT_MS * NS_PER_MS;
    int err = ask_connect(fd, &parsed, bytes, end_ns);
    if (err == 0) {
        err = ask_send(fd, request, end_ns);
    }
    if (err == 0) {
        err = ask_receive(fd, reply, reply_bytes, end_ns);
    }
    (void)close(fd);
    return err;
}

/* ---- telling ---- */

int socket_notify(const char *path, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    /* The length tells where an abstract name ends. */
    socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    int err =
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, address_bytes) < 0
            ? -errno
            : 0;
    (void)close(fd);
    return err;
}
