/* The life of a connection (the states are drawn in conn_impl.h), and what the rooms above ask
 * about one. */
#include "base/logger.h"
#include "base/mem.h"
#include "net/net_impl.h"

/* ---- beginning ---- */

static void conn_init(struct conn *conn, struct net *net, int fd, bool is_unix)
{
    *conn = (struct conn){.net = net, .fd = fd, .is_unix = is_unix};
    conn->id = net_shared_next_id(net->shared);
    conn->is_local = is_unix || socket_peer_is_local(fd);
    conn->opened_ms = shard_now_ms(net->shard);
    conn->opened_ns = shard_mono_ns(net->shard);
    conn->active_ns = conn->opened_ns;
    output_init(&conn->open, SIZE_MAX);
    buffer_init(&conn->input, SIZE_MAX);
    list_init(&conn->parcels);
}

/* on_open refused, or there is no memory: as if it had never been. */
static void conn_discard(struct conn *conn)
{
    struct net *net = conn->net;
    if (list_node_linked(&conn->node_ready)) {
        list_remove(&conn->node_ready);
    }
    if (list_node_linked(&conn->node_output)) {
        list_remove(&conn->node_output);
    }
    if (list_node_linked(&conn->node_end)) {
        list_remove(&conn->node_end);
    }
    ASSERT(conn->holds == 0);
    conn_drop_outputs(conn);
    conn_table_remove(&net->table, conn);
    list_remove(&conn->node_all);
    socket_close(conn->fd);
    mem_free(conn);
}

struct conn *conn_create(struct net *net, int fd, bool is_unix)
{
    struct conn *conn = mem_alloc(sizeof(*conn));
    if (conn == NULL) {
        socket_close(fd);
        return NULL;
    }
    conn_init(conn, net, fd, is_unix);
    if (net->limits.keepalive_s > 0 && !is_unix) {
        IGNORE(socket_set_keepalive(fd, net->limits.keepalive_s), "the connection works without");
    }
    conn_table_add(&net->table, conn);
    list_push_back(&net->all, &conn->node_all);
    conn->user = net->handlers.on_open(net->handlers.context, conn);
    if (conn->user == NULL) {
        conn_discard(conn);
        return NULL;
    }
    net->unfreed++;
    io_recv_start(net->io, &conn->socket, fd, conn_on_recv);
    if (output_bytes(&conn->open) > 0) {
        conn_mark_output(conn);
    }
    return conn;
}

/* ---- end ---- */

void conn_close(struct conn *conn)
{
    if (conn->closing) {
        return;
    }
    struct net *net = conn->net;
    conn->closing = true;
    if (list_node_linked(&conn->node_ready)) {
        list_remove(&conn->node_ready);
    }
    if (list_node_linked(&conn->node_output)) {
        list_remove(&conn->node_output);
    }
    list_push_back(&net->closing, &conn->node_end);
}

void conn_close_logged(struct conn *conn, const char *what)
{
    if (!conn->closing) {
        char peer[SOCKET_NAME_BYTES];
        socket_peer_name(conn->fd, peer);
        LOGGER_WARNING("%s: id=%llu addr=%s", what, (unsigned long long)conn->id, peer);
    }
    conn_close(conn);
}

void conn_close_after_reply(struct conn *conn)
{
    conn->finishing = true;
    conn_check_end(conn);
}

void conn_check_end(struct conn *conn)
{
    if (conn->finishing || conn->ended) {
        conn_mark_output(conn);
    }
}

void conn_end_if_done(struct conn *conn)
{
    bool unsent = !list_empty(&conn->parcels) || output_bytes(&conn->open) > 0;
    if (conn->closing || conn->holds > 0 || unsent) {
        return;
    }
    /* What a peer that has stopped sending had sent is still carried out, but for half a command.
     */
    bool untaken = conn->waiting || (conn->input.bytes > 0 && conn->parser == NULL);
    if (conn->finishing || (conn->ended && !untaken)) {
        conn_close(conn);
    }
}

static void conn_on_closed(struct io_socket *socket)
{
    struct conn *conn = container_of(socket, struct conn, socket);
    conn->closed = true;
    net_shared_leave(conn->net->shared);
    if (conn->holds == 0) {
        list_push_back(&conn->net->dead, &conn->node_end);
    }
}

static void conn_free(struct conn *conn)
{
    struct net *net = conn->net;
    ASSERT(conn->closed && conn->holds == 0 && !conn->sending);
    net->handlers.on_close(net->handlers.context, conn);
    conn_drop_input(conn);
    conn_drop_outputs(conn);
    ASSERT(!list_node_linked(&conn->node_ready) && !list_node_linked(&conn->node_output));
    conn_table_remove(&net->table, conn);
    list_remove(&conn->node_all);
    mem_free(conn);
    net->unfreed--;
    co_event_signal(&net->freed);
}

void conns_settle(struct net *net)
{
    struct list_node *node;
    while ((node = list_pop_front(&net->closing)) != NULL) {
        struct conn *conn = container_of(node, struct conn, node_end);
        conn_drop_input(conn);
        io_socket_close(net->io, &conn->socket, conn_on_closed);
    }
    while ((node = list_pop_front(&net->dead)) != NULL) {
        conn_free(container_of(node, struct conn, node_end));
    }
}

/* ---- commands under way ---- */

void conn_hold(struct conn *conn)
{
    conn->holds++;
}

void conn_drop(struct conn *conn)
{
    ASSERT(conn->holds > 0);
    conn->holds--;
    if (conn->holds > 0) {
        return;
    }
    if (conn->closed) {
        list_push_back(&conn->net->dead, &conn->node_end);
    } else if (conn->error_waits) {
        conn->error_waits = false;
        conn_make_ready(conn);
    } else {
        conn_check_end(conn);
    }
}

void conn_resume(struct conn *conn)
{
    if (conn->taking) {
        conn->resumed = true;
    } else if (conn->waiting) {
        conn->waiting = false;
        conn_make_ready(conn);
    }
}

/* ---- looking at one ---- */

uint64_t conn_id(const struct conn *conn)
{
    return conn->id;
}

void *conn_user(const struct conn *conn)
{
    return conn->user;
}

struct net *conn_net(const struct conn *conn)
{
    return conn->net;
}

struct shard *conn_shard(const struct conn *conn)
{
    return conn->net->shard;
}

bool conn_is_closing(const struct conn *conn)
{
    return conn->closing || conn->finishing;
}

void conn_info(const struct conn *conn, struct conn_info *ret_info)
{
    struct net *net = conn->net;
    if (conn->closed) {
        net->peer_name[0] = '\0';
        net->local_name[0] = '\0';
    } else {
        socket_peer_name(conn->fd, net->peer_name);
        socket_local_name(conn->fd, net->local_name);
    }
    int64_t idle_ms = (shard_mono_ns(net->shard) - conn->active_ns) / 1000000;
    size_t input_capacity = conn->input.capacity + conn->input.consumed;
    uint64_t output_capacity = conn_output_capacity(conn);
    uint64_t parser = conn->parser == NULL ? 0 : resp_parser_memory_bytes(conn->parser);
    *ret_info = (struct conn_info){
        .peer = net->peer_name,
        .local = net->local_name,
        .fd = conn->fd,
        .opened_ms = conn->opened_ms,
        .active_ms = shard_now_ms(net->shard) - idle_ms,
        .input_bytes = conn->input.bytes,
        .input_capacity = input_capacity,
        .output_bytes = conn_unsent_bytes(conn),
        .output_capacity = output_capacity,
        .memory_bytes = sizeof(*conn) + input_capacity + output_capacity + parser,
        .is_unix = conn->is_unix,
        .is_local = conn->is_local,
    };
}
