/*
 * listen: the addresses that `bind`, `port` and `unixsocket` ask for, as listening sockets.
 *
 * With several shards each has a socket of its own on every address (SO_REUSEPORT), and the kernel
 * divides new connections among them. Since such sockets would also be shared with a stranger's, it
 * is asked first whether somebody listens already. Connections of the unix socket all come to shard
 * 0.
 *
 * Threads: the main thread, before anything is served.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "server/config.h"
#include "shard/shard.h"

enum {
    LISTEN_ADDRESSES_MAX = 15, /* and the unix socket: net takes 16 */
    LISTEN_ADDRESS_BYTES = 64,
};

struct listen_address {
    char text[LISTEN_ADDRESS_BYTES]; /* numeric */
    bool optional;                   /* not an error if the machine has no such address */
};

/* What `bind` names: * is all of IPv4, ::* all of IPv6, localhost 127.0.0.1. Returns how many, or
 * ERR_CONFIG, logged. */
NODISCARD int listen_addresses(const char *bind,
                               struct listen_address ret_addresses[LISTEN_ADDRESSES_MAX]);

struct listen_sockets {
    uint32_t shards;
    uint32_t count; /* for each shard */
    int fds[SHARDS_MAX][LISTEN_ADDRESSES_MAX];
    int unix_fd; /* -1: none */
};

/* Whether somebody listens on one of the addresses; a bad address is left to listen_check. */
bool listen_is_busy(const struct config *config);
/* -EADDRINUSE, logged, if somebody listens on one of the addresses. */
NODISCARD int listen_check(const struct config *config);
/* Errors are logged. The caller owns the sockets. */
NODISCARD int listen_open(const struct config *config, uint32_t shards,
                          struct listen_sockets *ret_sockets);
/* Of an opening that did not get to use them. */
void listen_close(struct listen_sockets *sockets);

#endif
