/*
 * From replies to the wire.
 *
 * Replies are written into conn->open. In the REPLY hook it is sealed: it becomes a parcel with a
 * gate, behind those of earlier passes. The first parcel of a connection whose gate is open is
 * sent, in pieces of CONN_SEND_BYTES_MAX, one at a time; a parcel whose gate is closed keeps those
 * behind it waiting. So replies leave in order, and none before its gate opens.
 *
 * A gate is a number, and gates open in ascending order: what is known about two numbers in a pass
 * (the highest that is open, the lowest that is closed) answers for nearly all others.
 *
 * Memory of an open output comes from the net's spare buffers and goes back as soon as it is empty.
 */
#include <errno.h>

#include "base/bytes.h"
#include "base/logger.h"
#include "net/net_impl.h"

/* ---- the open output ---- */

struct output *conn_output(struct conn *conn)
{
    if (conn->open.bytes.data == NULL) {
        uint64_t hard_bytes = conn->net->limits.output_hard_bytes;
        conn->open.bytes.bytes_max =
            hard_bytes > 0 ? max_u64(hard_bytes, SPARE_BUFFER_BYTES_MIN) : SIZE_MAX;
        spare_get_buffer(&conn->net->spares, &conn->open.bytes);
    }
    return &conn->open;
}

void conn_mark_output(struct conn *conn)
{
    if (!conn->closing && !list_node_linked(&conn->node_output)) {
        list_push_back(&conn->net->outputs, &conn->node_output);
    }
}

void conn_output_ready(struct conn *conn)
{
    conn_check_output(conn);
    conn_settle_output(conn);
}

void conn_raise_gate(struct conn *conn, uint64_t gate)
{
    conn->open_gate = max_u64(conn->open_gate, gate);
}

void conn_settle_output(struct conn *conn)
{
    if (output_bytes(&conn->open) > 0) {
        conn_mark_output(conn);
    } else if (conn->open.bytes.data != NULL) {
        spare_put_buffer(&conn->net->spares, &conn->open.bytes);
    }
}

uint64_t conn_unsent_bytes(const struct conn *conn)
{
    return conn->sealed_bytes + output_bytes(&conn->open);
}

uint64_t conn_output_capacity(const struct conn *conn)
{
    uint64_t bytes = conn->open.bytes.capacity;
    LIST_FOREACH (&conn->parcels, node) {
        const struct parcel *parcel = container_of(node, struct parcel, node);
        bytes += sizeof(*parcel) + parcel->output.bytes.capacity;
    }
    return bytes;
}

void conn_drop_outputs(struct conn *conn)
{
    struct list_node *node;
    while ((node = list_pop_front(&conn->parcels)) != NULL) {
        spare_put_parcel(&conn->net->spares, container_of(node, struct parcel, node));
    }
    output_deinit(&conn->open);
}

/* ---- limits ---- */

/* The unsent bytes in memory of the connection's own: values that are sent from where they are
 * belong to others, and a single one may be larger than any sensible limit. What is sent doesn't
 * count, though a parcel's memory goes only with its last byte. */
static uint64_t conn_copied_bytes(const struct conn *conn)
{
    return conn->sealed_copied + conn->open.bytes.bytes;
}

/* Well below the hard limit, since the replies of commands that other shards still have under way
 * come on top: who reads what it gets must not be closed for having asked for much at once. */
static uint64_t conn_pause_bytes(struct conn *conn)
{
    const struct net_limits *limits = &conn->net->limits;
    if (!net_is_authenticated(conn->net, conn)) {
        return CONN_UNAUTH_PAUSE_BYTES;
    }
    return limits->output_hard_bytes > 0
               ? min_u64(limits->output_pause_bytes, limits->output_hard_bytes / 4)
               : limits->output_pause_bytes;
}

static void conn_close_for_output(struct conn *conn)
{
    conn->net->stats.output_limit_closes++;
    conn_close_logged(conn, "Closing client that reached output buffer limits");
}

void conn_check_output(struct conn *conn)
{
    if (conn->open.broken && !conn->closing) {
        conn_close_for_output(conn);
    } else if (conn_unsent_bytes(conn) > CONN_UNAUTH_PAUSE_BYTES &&
               conn_unsent_bytes(conn) > conn_pause_bytes(conn)) {
        conn->output_full = true;
    }
}

bool conn_output_is_full(struct conn *conn)
{
    conn_check_output(conn);
    return conn->output_full || conn->closing;
}

/* After something was sent. */
static void conn_check_drained(struct conn *conn)
{
    if (conn->output_full && conn_unsent_bytes(conn) <= conn_pause_bytes(conn) / 2) {
        conn->output_full = false;
        conn_make_ready(conn);
    }
}

void conn_check_soft_limit(struct conn *conn)
{
    const struct net_limits *limits = &conn->net->limits;
    if (conn->closing) {
        return;
    }
    if (limits->output_soft_bytes == 0 || conn_copied_bytes(conn) <= limits->output_soft_bytes) {
        conn->soft_since_ns = 0;
        return;
    }
    int64_t now_ns = shard_mono_ns(conn->net->shard);
    if (conn->soft_since_ns == 0) {
        conn->soft_since_ns = now_ns;
    } else if (now_ns - conn->soft_since_ns >= limits->output_soft_seconds * INT64_C(1000000000)) {
        conn->net->stats.output_limit_closes++;
        conn_close_logged(conn, "Closing client that stayed above the soft output buffer limit");
    }
}

void conn_check_stranger(struct conn *conn)
{
    bool above = conn->sealed_bytes > 0 && conn_unsent_bytes(conn) > CONN_UNAUTH_OUTPUT_MAX;
    if (above && !conn->closing && !net_is_authenticated(conn->net, conn)) {
        conn_close_for_output(conn);
    }
}

/* Before new output is sealed behind what is still unsent. */
static void conn_check_hard_limits(struct conn *conn)
{
    uint64_t hard_bytes = conn->net->limits.output_hard_bytes;
    if (conn->open.broken || (hard_bytes > 0 && conn_copied_bytes(conn) > hard_bytes)) {
        conn_close_for_output(conn);
        return;
    }
    conn_check_stranger(conn);
    conn_check_soft_limit(conn);
}

/* ---- gates ---- */

static uint64_t net_gate_now(struct net *net)
{
    if (!net->gate_known) {
        net->gate_known = true;
        net->gate_now =
            net->handlers.gate_now == NULL ? 0 : net->handlers.gate_now(net->handlers.context);
    }
    return net->gate_now;
}

static bool net_gate_is_open(struct net *net, uint64_t gate)
{
    if (net->handlers.gate_open == NULL || gate <= net->gate_open_to) {
        return true;
    }
    if (gate >= net->gate_closed_from) {
        return false;
    }
    if (net->handlers.gate_open(net->handlers.context, gate)) {
        net->gate_open_to = gate;
        return true;
    }
    net->gate_closed_from = gate;
    return false;
}

/* ---- sealing ---- */

/* The parcel that takes `gate`'s replies too, if there is one: the last, unless a part of it is out
 * or with the kernel. A parcel gives its memory back as a whole: one that went on growing while it
 * is sent would never do so. */
static struct parcel *conn_parcel_to_join(struct conn *conn, uint64_t gate)
{
    struct list_node *node = list_last(&conn->parcels);
    if (node == NULL || (conn->sending && node == list_first(&conn->parcels))) {
        return NULL;
    }
    struct parcel *last = container_of(node, struct parcel, node);
    if (last->sent_bytes > 0) {
        return NULL;
    }
    if (last->gate == gate ||
        (net_gate_is_open(conn->net, last->gate) && net_gate_is_open(conn->net, gate))) {
        return output_bytes(&last->output) < CONN_SEND_BYTES_MAX ? last : NULL;
    }
    /* With many waiting, the newest share a gate: those before them keep going out. */
    return conn->parcels_count >= CONN_PARCELS_MAX ? last : NULL;
}

static void conn_seal(struct conn *conn)
{
    struct net *net = conn->net;
    uint64_t gate = max_u64(net_gate_now(net), conn->open_gate);
    struct parcel *parcel = conn_parcel_to_join(conn, gate);
    if (parcel == NULL) {
        parcel = spare_get_parcel(&net->spares);
        if (parcel == NULL) {
            conn_close_logged(conn, "Out of memory, closing client");
            return;
        }
        parcel->conn = conn;
        parcel->gate = gate;
        parcel->sent_bytes = 0;
        list_push_back(&conn->parcels, &parcel->node);
        conn->parcels_count++;
    }
    conn->sealed_bytes += output_bytes(&conn->open);
    conn->sealed_copied += conn->open.bytes.bytes;
    parcel->gate = max_u64(parcel->gate, gate);
    output_move(&parcel->output, &conn->open);
    conn->open_gate = 0;
    conn_settle_output(conn);
    if (parcel->output.broken) {
        conn_close_logged(conn, "Out of memory, closing client");
    }
}

/* ---- sending ---- */

static struct parcel *conn_first_parcel(const struct conn *conn)
{
    struct list_node *node = list_first(&conn->parcels);
    return node == NULL ? NULL : container_of(node, struct parcel, node);
}

/* `bytes` more of the first parcel are with the kernel. */
static void parcel_sent(struct conn *conn, struct parcel *parcel, uint64_t bytes)
{
    struct net *net = conn->net;
    uint64_t copied_before = output_copied(&parcel->output, parcel->sent_bytes);
    parcel->sent_bytes += bytes;
    conn->sealed_bytes -= bytes;
    conn->sealed_copied -= output_copied(&parcel->output, parcel->sent_bytes) - copied_before;
    conn->active_ns = shard_mono_ns(net->shard);
    net->stats.output_bytes += bytes;
    if (parcel->sent_bytes == output_bytes(&parcel->output)) {
        conn->parcels_count--;
        list_remove(&parcel->node);
        spare_put_parcel(&net->spares, parcel);
    }
    conn_check_drained(conn);
    if (!list_empty(&conn->parcels)) {
        conn_mark_output(conn);
    }
    conn_check_end(conn);
}

static void parcel_on_sent(struct io_op *op)
{
    struct parcel *parcel = container_of(op, struct parcel, op);
    struct conn *conn = parcel->conn;
    conn->sending = false;
    if (op->result < 0) {
        if (!conn->closing) {
            LOGGER_VERBOSE("Error writing to client id=%llu: %s", (unsigned long long)conn->id,
                           error_text(op->result));
        }
        conn_close(conn);
        return;
    }
    parcel_sent(conn, parcel, op->bytes);
}

/* The next piece to send. Returns the count of iovecs. */
static uint32_t parcel_piece(struct parcel *parcel)
{
    uint32_t count = output_iov(&parcel->output, parcel->sent_bytes, parcel->iov, CONN_SEND_PARTS);
    uint64_t room = CONN_SEND_BYTES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (parcel->iov[i].iov_len >= room) {
            parcel->iov[i].iov_len = room;
            return i + 1;
        }
        room -= parcel->iov[i].iov_len;
    }
    return count;
}

/* Sends what the kernel takes at once. Returns whether an operation is needed for the rest. */
static bool conn_send_now(struct conn *conn, struct parcel *parcel)
{
    struct iovec *piece = &parcel->iov[0];
    int64_t sent = io_send_now(conn->net->io, conn->fd, piece->iov_base, piece->iov_len);
    if (sent == -EAGAIN) {
        return true;
    }
    if (sent < 0) {
        conn_close(conn);
        return false;
    }
    size_t rest = piece->iov_len - (size_t)sent;
    piece->iov_base = (uint8_t *)piece->iov_base + sent;
    piece->iov_len = rest;
    parcel_sent(conn, parcel, (uint64_t)sent); /* the parcel is gone if that was all of it */
    return rest > 0;
}

static void conn_send(struct conn *conn, bool now)
{
    struct parcel *parcel = conn_first_parcel(conn);
    uint32_t count = parcel_piece(parcel);
    ASSERT(count > 0);
    if (now && count == 1 && !conn_send_now(conn, parcel)) {
        return;
    }
    io_prep(&parcel->op, IO_SEND, conn->fd, parcel_on_sent);
    parcel->op.iov = parcel->iov;
    parcel->op.iov_count = count;
    conn->sending = true;
    io_submit(conn->net->io, &parcel->op);
}

/* ---- the pass ---- */

/* Seals what is open and finds out what is to be done with the first parcel. */
static void conn_output_pass(struct conn *conn)
{
    struct net *net = conn->net;
    if (output_bytes(&conn->open) > 0) {
        conn_check_hard_limits(conn);
        if (!conn->closing) {
            conn_seal(conn);
        }
    }
    struct parcel *first = conn_first_parcel(conn);
    if (first == NULL) {
        conn_end_if_done(conn);
        return;
    }
    if (conn->closing || conn->sending) {
        return;
    }
    if (net_gate_is_open(net, first->gate)) {
        list_push_back(&net->sends, &conn->node_output);
        net->sends_count++;
    } else {
        const struct parcel *last = container_of(list_last(&conn->parcels), struct parcel, node);
        net->gate_wanted = max_u64(net->gate_wanted, max_u64(first->gate, last->gate));
        list_push_back(&net->gated, &conn->node_output);
    }
}

static void net_forget_gates(struct net *net)
{
    net->gate_known = false;
    net->gate_open_to = 0;
    net->gate_closed_from = UINT64_MAX;
    net->gate_wanted = 0;
}

void outputs_pass(struct net *net)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &net->gated);
    list_splice_back(&due, &net->outputs);
    net_forget_gates(net);
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        conn_output_pass(container_of(node, struct conn, node_output));
    }
    bool now = net->sends_count <= NET_SENDS_NOW_MAX;
    net->sends_count = 0;
    while ((node = list_pop_front(&net->sends)) != NULL) {
        conn_send(container_of(node, struct conn, node_output), now);
    }
    if (net->gate_wanted > 0 && net->handlers.gate_wanted != NULL) {
        net->handlers.gate_wanted(net->handlers.context, net->gate_wanted);
    }
}
