/*
 * server: an open engine with commands and connections on top of it: what clients talk to.
 *
 * server_start opens the engine and puts the command room and the net room on each shard;
 * server_listen comes when everything is ready: a client that can connect is served. server_stop
 * takes them down in the opposite order: no new connections; commands under way end and their
 * replies leave; then the engine is closed, with a checkpoint of everything unless asked otherwise.
 *
 * Threads: start, listen and stop belong to the main thread and block. From server_listen on the
 * configuration belongs to shard 0 (door.h).
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cmd/context.h"
#include "net/net.h"
#include "server/config.h"
#include "server/engine.h"
#include "server/listen.h"
#include "server/meter.h"
#include "shard/sync.h"

/* What the server keeps for a shard; on its thread. */
struct server_shard {
    struct server *server;
    struct net *net;
    struct shard_timer timer;
    struct meter ops, input, output;
};

struct server {
    struct config *config; /* owned */
    char executable[CONFIG_PATH_BYTES];
    struct engine *engine;
    struct net_shared *net_shared;
    struct cmd_server cmd;
    const char *io_name;           /* of the body that was chosen */
    struct listen_sockets sockets; /* until the nets have taken them over */
    struct co_mutex config_mutex;  /* shard 0's: one CONFIG SET or REWRITE at a time */
    char dir[CONFIG_PATH_BYTES];   /* the engine borrows it; `config` is replaced by CONFIG SET */
    struct server_shard shards[SHARDS_MAX];
    _Atomic uint64_t memory_peak_bytes; /* highest that was seen so far */
    /* What a client has asked for; the main thread looks when it is woken. */
    _Atomic bool shutdown_asked;
    _Atomic bool shutdown_save;
};

/* Opens the engine and puts the rooms above on each shard; nobody can connect yet. Takes over
 * `config`, also on an error. Errors have been logged with file and reason. */
NODISCARD int server_start(struct config *config, const char *executable,
                           struct server **ret_server);
/* Lets clients in. From here on the configuration belongs to shard 0. On an error, which has been
 * logged, the server is to be stopped. */
NODISCARD int server_listen(struct server *server);
/* save: checkpoint everything first. */
void server_stop(struct server *server, bool save);

struct shard_set *server_shards(const struct server *server);

#endif
