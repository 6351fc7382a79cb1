#include "server/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/logger.h"
#include "io/socket.h"

enum { UNIX_MODE_DEFAULT = 0700 };

static void address_set(struct listen_address *address, const char *text, size_t bytes)
{
    address->optional = bytes > 0 && text[0] == '-';
    text += address->optional;
    bytes -= address->optional;
    struct slice word = slice_of(text, bytes);
    if (slice_equal(word, slice_cstr("*"))) {
        word = slice_cstr("0.0.0.0");
    } else if (slice_equal(word, slice_cstr("::*"))) {
        word = slice_cstr("::");
    } else if (slice_equal_nocase_cstr(word, "localhost")) {
        word = slice_cstr("127.0.0.1");
    }
    (void)snprintf(address->text, sizeof(address->text), "%.*s", (int)word.bytes,
                   (const char *)word.data);
}

int listen_addresses(const char *bind, struct listen_address ret_addresses[LISTEN_ADDRESSES_MAX])
{
    int count = 0;
    bind += strspn(bind, " ");
    while (*bind != '\0') {
        size_t bytes = strcspn(bind, " ");
        if (count == LISTEN_ADDRESSES_MAX || bytes >= LISTEN_ADDRESS_BYTES) {
            LOGGER_WARNING("bind: at most %d addresses of at most %d characters",
                           LISTEN_ADDRESSES_MAX, LISTEN_ADDRESS_BYTES - 1);
            return ERR_CONFIG;
        }
        address_set(&ret_addresses[count++], bind, bytes);
        bind += bytes;
        bind += strspn(bind, " ");
    }
    return count;
}

static void complain(const char *address, uint16_t port, int err)
{
    LOGGER_WARNING("Could not create server TCP listening socket %s:%u: bind: %s", address, port,
                   err == -EINVAL ? "not a numeric address" : error_text(err));
}

/* The configured addresses; none if there is no port. */
static int addresses_of(const struct config *config,
                        struct listen_address ret_addresses[LISTEN_ADDRESSES_MAX])
{
    if (config_number(config, DIRECTIVE_PORT) == 0) {
        return 0;
    }
    return listen_addresses(config_text(config, DIRECTIVE_BIND), ret_addresses);
}

/* The first of the addresses on which somebody listens; NULL: none. */
static const struct listen_address *find_busy(const struct listen_address *addresses, int count,
                                              uint16_t port)
{
    for (int i = 0; i < count; i++) {
        if (socket_port_busy(addresses[i].text, port)) {
            return &addresses[i];
        }
    }
    return NULL;
}

bool listen_is_busy(const struct config *config)
{
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    int count = addresses_of(config, addresses);
    return find_busy(addresses, count, (uint16_t)config_number(config, DIRECTIVE_PORT)) != NULL;
}

int listen_check(const struct config *config)
{
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    uint16_t port = (uint16_t)config_number(config, DIRECTIVE_PORT);
    int count = TRY(addresses_of(config, addresses));
    const struct listen_address *busy = find_busy(addresses, count, port);
    if (busy == NULL) {
        return 0;
    }
    complain(busy->text, port, -EADDRINUSE);
    LOGGER_WARNING("Failed listening on port %u (tcp), aborting.", port);
    return -EADDRINUSE;
}

/* ---- opening ---- */

static bool is_missing(int err)
{
    return err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT ||
           err == -ENOPROTOOPT || err == -EPFNOSUPPORT || err == -ESOCKTNOSUPPORT;
}

/* The same address for every shard. Returns 1, or 0 if it may be left out. */
static int open_address(const struct config *config, const struct listen_address *address,
                        struct listen_sockets *sockets)
{
    uint16_t port = (uint16_t)config_number(config, DIRECTIVE_PORT);
    int backlog = (int)config_number(config, DIRECTIVE_TCP_BACKLOG);
    for (uint32_t i = 0; i < sockets->shards; i++) {
        int fd = socket_listen_tcp(address->text, port, backlog, sockets->shards > 1);
        if (fd < 0) {
            while (i-- > 0) {
                socket_close(sockets->fds[i][sockets->count]);
            }
            if (address->optional && is_missing(fd)) {
                return 0;
            }
            complain(address->text, port, fd);
            return fd;
        }
        sockets->fds[i][sockets->count] = fd;
    }
    sockets->count++;
    return 1;
}

static int open_addresses(const struct config *config, struct listen_sockets *sockets)
{
    struct listen_address addresses[LISTEN_ADDRESSES_MAX];
    int count = TRY(addresses_of(config, addresses));
    for (int i = 0; i < count; i++) {
        TRY(open_address(config, &addresses[i], sockets));
    }
    if (count > 0 && sockets->count == 0) {
        LOGGER_WARNING("Failed listening on port %lld (tcp), aborting.",
                       (long long)config_number(config, DIRECTIVE_PORT));
        return -EADDRNOTAVAIL;
    }
    return 0;
}

static int open_unix(const struct config *config, struct listen_sockets *sockets)
{
    const char *path = config_text(config, DIRECTIVE_UNIXSOCKET);
    if (path[0] == '\0') {
        return 0;
    }
    int64_t mode = config_number(config, DIRECTIVE_UNIXSOCKETPERM);
    int fd = socket_listen_unix(path, mode != 0 ? (uint32_t)mode : UNIX_MODE_DEFAULT,
                                (int)config_number(config, DIRECTIVE_TCP_BACKLOG));
    if (fd < 0) {
        LOGGER_WARNING("Failed opening Unix socket: bind: %s: %s", path, error_text(fd));
        return fd;
    }
    sockets->unix_fd = fd;
    return 0;
}

int listen_open(const struct config *config, uint32_t shards, struct listen_sockets *ret_sockets)
{
    ret_sockets->shards = shards;
    ret_sockets->count = 0;
    ret_sockets->unix_fd = -1;
    int err = open_addresses(config, ret_sockets);
    if (err == 0) {
        err = open_unix(config, ret_sockets);
    }
    if (err < 0) {
        listen_close(ret_sockets);
    }
    return err;
}

void listen_close(struct listen_sockets *sockets)
{
    for (uint32_t i = 0; i < sockets->shards; i++) {
        for (uint32_t j = 0; j < sockets->count; j++) {
            socket_close(sockets->fds[i][j]);
        }
    }
    if (sockets->unix_fd >= 0) {
        socket_close(sockets->unix_fd);
    }
    sockets->count = 0;
    sockets->unix_fd = -1;
}
