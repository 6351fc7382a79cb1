/*
 * socket: making and shaping sockets; synchronous and cheap, for any thread. Data flows through
 * io.h.
 */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SOCKET_NAME_BYTES = 128 };

/* A listening TCP socket on a numeric address (IPv4 or IPv6) with SO_REUSEADDR, TCP_NODELAY
 * (inherited by what it accepts) and, if `shared`, SO_REUSEPORT, so that each shard listens on its
 * own. Port 0 picks one. Returns the fd. */
NODISCARD int socket_listen_tcp(const char *address, uint16_t port, int backlog, bool shared);

/* A listening unix socket; an old socket file is replaced; permissions are set before listen. */
NODISCARD int socket_listen_unix(const char *path, uint32_t mode, int backlog);

/* Whether somebody listens on the port already (SO_REUSEPORT would otherwise let us join silently).
 */
bool socket_port_busy(const char *address, uint16_t port);

uint16_t socket_port(int fd);
NODISCARD int socket_set_keepalive(int fd, uint32_t seconds);

/* "127.0.0.1:1234", "[::1]:1234" or "/path:0", always terminated. */
void socket_peer_name(int fd, char name[SOCKET_NAME_BYTES]);
void socket_local_name(int fd, char name[SOCKET_NAME_BYTES]);

/* Loopback address or unix socket: what protected-mode lets in. */
bool socket_peer_is_local(int fd);
bool socket_is_unix(int fd);

void socket_close(int fd);

/* A blocking client for --healthcheck and tests: connects within timeout_ms, sends, reads one line.
 */
NODISCARD int socket_ask(const char *address, uint16_t port, const char *request, char *reply,
                         size_t reply_bytes);

/* Sends one datagram to the unix socket `path` (@ in front: an abstract name), as systemd wants to
 * be told of a service's state. Never waits. */
NODISCARD int socket_notify(const char *path, const char *text);

#endif
