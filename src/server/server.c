#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/random.h"
#include "cmd/dispatch.h"
#include "server/door.h"
#include "server/options.h"

enum { CLOSE_TIMEOUT_MS = 5000, PREDECESSOR_TIMEOUT_MS = 5000 };

struct shard_set *server_shards(const struct server *server)
{
    return engine_shards(server->engine);
}

/* ---- on each shard ---- */

static struct server *server_of(const struct cmd_shard *here)
{
    return container_of(here->server, struct server, cmd);
}

static void shard_sample(struct shard *shard, struct shard_timer *timer)
{
    struct server_shard *own = container_of(timer, struct server_shard, timer);
    const struct cmd_shard *here = shard_slot(shard, SHARD_SLOT_CMD);
    int64_t now_ns = shard_mono_ns(shard);
    struct net_stats stats;
    net_stats(own->net, &stats);
    meter_add(&own->ops, here->commands_processed, now_ns);
    meter_add(&own->input, stats.input_bytes, now_ns);
    meter_add(&own->output, stats.output_bytes, now_ns);
    shard_timer_arm(shard, timer, METER_PERIOD_NS, shard_sample);
}

static int shard_open(struct shard *shard, void *argument)
{
    struct server *server = argument;
    struct engine_shard *below = engine_shard_of(shard);
    struct cmd_options options = options_cmd(server->config);
    struct net_limits limits = options_net(server->config);
    struct cmd_shard *here;
    struct cmd_below cmd_below = {
        .keyspace = below->keyspace, .log = engine_log(server->engine), .writer = below->writer};
    TRY(cmd_shard_create(&server->cmd, shard, &cmd_below, &options, &here));
    struct net_handlers handlers = dispatch_net_handlers(here);
    struct net *net;
    int err = net_create(shard, &handlers, &limits, &net);
    if (err < 0) {
        cmd_shard_destroy(here);
        return err;
    }
    cmd_shard_set_net(here, net);
    net_attach_shared(net, server->net_shared);
    server->io_name = io_name(shard_io(shard));
    server->shards[shard_id(shard)].net = net;
    shard_sample(shard, &server->shards[shard_id(shard)].timer);
    return 0;
}

static int shard_listen(struct shard *shard, void *argument)
{
    struct server *server = argument;
    uint32_t id = shard_id(shard);
    for (uint32_t i = 0; i < server->sockets.count; i++) {
        TRY(net_listen(server->shards[id].net, server->sockets.fds[id][i]));
    }
    if (id == 0 && server->sockets.unix_fd >= 0) {
        return net_listen(server->shards[0].net, server->sockets.unix_fd);
    }
    return 0;
}

/* Replies that are ready leave, commands under way end. Suspends. */
static co_fn int shard_hang_up(struct shard *shard, void *argument)
{
    struct server *server = argument;
    struct net *net = server->shards[shard_id(shard)].net;
    if (net != NULL) {
        net_close_all(net, CLOSE_TIMEOUT_MS);
        cmd_shard_finish(shard_slot(shard, SHARD_SLOT_CMD));
    }
    return 0;
}

/* All shards at once: each may take as long as it is allowed to. */
static co_fn int hang_up(struct shard *shard, void *argument)
{
    return shard_call_all(shard, shard_hang_up, argument, 0);
}

static void shard_close(struct shard *shard, void *argument)
{
    struct server *server = argument;
    uint32_t id = shard_id(shard);
    struct cmd_shard *here = shard_slot(shard, SHARD_SLOT_CMD);
    if (here != NULL) {
        ASSERT(server_of(here) == server);
        shard_timer_disarm(shard, &server->shards[id].timer);
        net_destroy(server->shards[id].net);
        server->shards[id].net = NULL;
        cmd_shard_destroy(here);
    }
}

/* All shards one after the other; the first error ends it. */
static int each_shard(struct server *server, shard_call_fn *fn)
{
    struct shard_set *shards = server_shards(server);
    for (uint32_t i = 0; i < shard_set_count(shards); i++) {
        TRY(shard_call_from_outside(shard_set_get(shards, i), fn, server));
    }
    return 0;
}

/* ---- starting ---- */

static void make_run_id(char run_id[41])
{
    uint8_t bytes[20];
    random_from_os(bytes, sizeof(bytes));
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(run_id + i * 2, 3, "%02x", bytes[i]);
    }
}

static void describe(struct server *server)
{
    struct cmd_server *cmd = &server->cmd;
    cmd->door = door_of(server);
    cmd->partitions = engine_partitions(server->engine);
    cmd->shards = shard_set_count(server_shards(server));
    cmd->databases = engine_options(server->engine)->databases;
    cmd->start_ms = clock_real_ms();
    cmd->port = (uint16_t)config_number(server->config, DIRECTIVE_PORT);
    make_run_id(cmd->run_id);
    atomic_store(&cmd->lastsave_s, cmd->start_ms / 1000);
    config_note(server->config, DIRECTIVE_PARTITIONS, cmd->partitions);
    config_note(server->config, DIRECTIVE_SHARDS, cmd->shards);
}

static int prepare(struct server *server)
{
    describe(server);
    TRY(net_shared_create((uint32_t)config_number(server->config, DIRECTIVE_MAXCLIENTS),
                          &server->net_shared));
    int err = each_shard(server, shard_open);
    if (err < 0) {
        LOGGER_WARNING("can't make a shard ready for connections: %s", error_text(err));
        return err;
    }
    return 0;
}

int server_listen(struct server *server)
{
    /* Asked again: somebody may have come while the store was opened. */
    TRY(listen_check(server->config));
    TRY(listen_open(server->config, server->cmd.shards, &server->sockets));
    int err = each_shard(server, shard_listen);
    if (err < 0) {
        LOGGER_WARNING("can't listen: %s", error_text(err));
    }
    return err;
}

/*
 * Asked before the store is touched. The ports of a process that was killed are held by its
 * io_uring rings until the kernel has taken these down, a moment after the process is gone, and so
 * is its lock. So if our own store is locked, the port may become free together with it.
 */
static int check_ports(const struct server *server)
{
    if (listen_is_busy(server->config) && !engine_is_free(server->dir, PREDECESSOR_TIMEOUT_MS)) {
        LOGGER_NOTICE("%s is in use by a process that does not end", server->dir);
    }
    return listen_check(server->config);
}

static void server_free(struct server *server)
{
    net_shared_destroy(server->net_shared);
    config_destroy(server->config);
    mem_free(server);
}

/* Whatever the reason was called where it was met, the last line says that this is the end. */
static int start_failed(int err)
{
    LOGGER_WARNING("the server can't start: %s", error_text(err));
    return err;
}

int server_start(struct config *config, const char *executable, struct server **ret_server)
{
    struct server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        config_destroy(config);
        return start_failed(ERR_MEMORY);
    }
    server->config = config;
    co_mutex_init(&server->config_mutex);
    (void)snprintf(server->executable, sizeof(server->executable), "%s", executable);
    (void)snprintf(server->dir, sizeof(server->dir), "%s", config_text(config, DIRECTIVE_DIR));
    struct engine_options options = options_engine(config);
    options.dir = server->dir;
    int err = check_ports(server);
    if (err == 0) {
        err = engine_open(&options, &server->engine);
    }
    if (err < 0) {
        server_free(server);
        return start_failed(err);
    }
    err = prepare(server);
    if (err < 0) {
        server_stop(server, false);
        return start_failed(err);
    }
    *ret_server = server;
    return 0;
}

/* ---- stopping ---- */

void server_stop(struct server *server, bool save)
{
    atomic_store(&server->cmd.stopping, true);
    struct shard *first = shard_set_get(server_shards(server), 0);
    while (shard_call_from_outside(first, hang_up, server) < 0) {
        /* No memory at the moment; but connections must be gone before what they use. */
    }
    engine_close(server->engine, save, shard_close, server);
    server_free(server);
}
