/*
 * From bytes to commands.
 *
 * Bytes are parsed where they lie: in the receive buffer that all connections share, or, when the
 * connection has untaken input already, behind that in a buffer of its own. Only what is not taken
 * is copied. So an idle connection owns neither a buffer nor a parser.
 *
 * Commands are gathered into the net's one batch before any of them runs, so that the callee can
 * look ahead. Their arguments stand in the batch's slots; a command whose arguments can't (too
 * many, or unquoted elsewhere) stays in the parser's own table and ends the batch.
 *
 * conn->parser is set exactly when the bytes at the start of conn->input are half a command that it
 * has seen. What on_commands leaves is only bytes; it is parsed again later.
 */
#include "base/bytes.h"
#include "base/logger.h"
#include "net/net_impl.h"

enum { INPUT_SHRINK_BYTES = 64 * 1024 }; /* a larger buffer is not kept for little */

enum gather_end {
    GATHER_FULL, /* run the batch, then go on */
    GATHER_USED, /* the window is used up */
    GATHER_MORE, /* half a command is left; its state is in the connection's parser or the net's */
    GATHER_BROKEN, /* not the protocol, at `at` */
};

struct gather {
    struct conn *conn;
    struct slice window;
    size_t at; /* up to here bytes are in the batch */
    struct resp_limits limits;
    struct resp_command command; /* of the last resp_parse */
};

/* ---- gathering ---- */

static void batch_add(struct net_batch *batch, struct gather *gather, struct slice *args,
                      uint32_t argc, size_t used_bytes)
{
    batch->starts[batch->count] = gather->at;
    batch->commands[batch->count] =
        (struct net_command){.args = args, .argc = argc, .wire_bytes = used_bytes};
    batch->count++;
    gather->at += used_bytes;
}

/* Takes over a parsed command. Returns false if its arguments had to stay in the parser's table. */
static bool batch_add_parsed(struct net_batch *batch, struct gather *gather)
{
    const struct resp_command *command = &gather->command;
    bool fits = command->argc <= NET_ARG_SLOTS - batch->slots_used;
    struct slice *args = command->args;
    if (fits && command->args_in_window) {
        args = batch->slots + batch->slots_used;
        memcpy(args, command->args, command->argc * sizeof(args[0]));
        batch->slots_used += command->argc;
    }
    batch_add(batch, gather, args, command->argc, command->used_bytes);
    return args != command->args;
}

static bool gather_whole(struct net *net, struct gather *gather)
{
    struct net_batch *batch = net->batch;
    struct slice *args = batch->slots + batch->slots_used;
    uint32_t argc = 0;
    size_t used =
        resp_parse_whole(slice_skip(gather->window, gather->at), gather->limits.bulk_bytes_max,
                         args, NET_ARG_SLOTS - batch->slots_used, &argc);
    if (used == 0) {
        return false;
    }
    batch->slots_used += argc;
    batch_add(batch, gather, args, argc, used);
    return true;
}

static void conn_put_parser(struct conn *conn)
{
    if (conn->parser != NULL) {
        spare_put_parser(&conn->net->spares, conn->parser);
        conn->parser = NULL;
    }
    conn->input_need = 0;
}

/* One step of the incremental parser. GATHER_USED stands for "go on". */
static enum gather_end gather_parsed(struct net *net, struct gather *gather)
{
    struct conn *conn = gather->conn;
    struct resp_parser *parser = conn->parser != NULL ? conn->parser : net->parser;
    enum resp_result result = resp_parse(parser, &gather->limits,
                                         slice_skip(gather->window, gather->at), &gather->command);
    switch (result) {
    case RESP_MORE:
        return GATHER_MORE;
    case RESP_BROKEN:
        return GATHER_BROKEN;
    case RESP_EMPTY:
        gather->at += gather->command.used_bytes;
        conn_put_parser(conn);
        return GATHER_USED;
    case RESP_COMMAND:
        break;
    }
    if (!batch_add_parsed(net->batch, gather)) {
        return GATHER_FULL;
    }
    conn_put_parser(conn);
    return GATHER_USED;
}

static enum gather_end gather_commands(struct net *net, struct gather *gather)
{
    net->batch->count = 0;
    net->batch->slots_used = 0;
    bool whole = gather->limits.authenticated;
    enum gather_end end = GATHER_USED;
    while (end == GATHER_USED && gather->at < gather->window.bytes) {
        if (net->batch->count == NET_BATCH_MAX) {
            return GATHER_FULL;
        }
        if (!whole || gather->conn->parser != NULL || !gather_whole(net, gather)) {
            end = gather_parsed(net, gather);
        }
    }
    return end;
}

/* ---- running ---- */

bool conn_can_take(const struct conn *conn)
{
    return !conn->waiting && !conn->output_full && !conn->error_waits && !conn->finishing &&
           !conn->closing;
}

static void conn_protocol_error(struct conn *conn, const char *text)
{
    if (conn->holds > 0) {
        /* Earlier commands still owe their replies; the bytes stay and are looked at again after
         * them. */
        conn->error_waits = true;
        return;
    }
    struct net *net = conn->net;
    net->stats.protocol_errors++;
    LOGGER_VERBOSE("%s: id=%llu", text, (unsigned long long)conn->id);
    struct reply reply = {.output = conn_output(conn), .tally = net->handlers.errors, .resp = 2};
    reply_errorf(&reply, "ERR %s", text);
    conn_close_after_reply(conn);
}

/* The half command at the end keeps its parser, so that nothing of it is read twice. */
static void conn_adopt_parser(struct conn *conn, size_t need_bytes)
{
    struct net *net = conn->net;
    if (conn->parser == NULL) {
        struct resp_parser *fresh;
        if (spare_get_parser(&net->spares, &fresh) != 0) {
            resp_parser_reset(net->parser);
            conn_close_logged(conn, "Out of memory, closing client");
            return;
        }
        conn->parser = net->parser;
        net->parser = fresh;
    }
    conn->input_need = need_bytes;
}

/* Runs the batch; returns whether all of it was taken, and where the first untaken byte is. */
static bool conn_run_batch(struct conn *conn, size_t *at)
{
    struct net *net = conn->net;
    const struct net_batch *batch = net->batch;
    conn->taking = true;
    conn->resumed = false;
    uint32_t taken =
        net->handlers.on_commands(net->handlers.context, conn, batch->commands, batch->count);
    conn->taking = false;
    ASSERT(taken <= batch->count);
    conn_check_output(conn);
    if (conn->parser != NULL && !resp_parser_in_command(conn->parser)) {
        conn_put_parser(conn);
    }
    if (taken == batch->count) {
        return true;
    }
    *at = batch->starts[taken];
    if (conn->resumed) {
        conn_make_ready(conn);
    } else {
        /* With a full output it is offered again once that has drained, and may be left again. */
        conn->waiting = !conn->output_full;
    }
    return false;
}

/* Gathers and runs one batch from `at` on. Returns whether to go on. */
static bool conn_take_batch(struct conn *conn, struct slice window, size_t *at)
{
    struct net *net = conn->net;
    struct gather gather = {
        .conn = conn,
        .window = window,
        .at = *at,
        .limits = {.bulk_bytes_max = net->limits.bulk_bytes_max,
                   .authenticated = net_is_authenticated(net, conn)},
    };
    enum gather_end end = gather_commands(net, &gather);
    bool all = true;
    if (net->batch->count > 0) {
        size_t untaken = gather.at;
        all = conn_run_batch(conn, &untaken);
        *at = untaken;
    } else {
        *at = gather.at;
    }
    if (end == GATHER_MORE && all && !conn->closing && !conn->finishing) {
        conn_adopt_parser(conn, gather.command.need_bytes);
        return false;
    }
    resp_parser_reset(net->parser);
    if (!all) {
        conn_put_parser(conn);
        return false;
    }
    /* What is broken after a batch is parsed again: the limits may have changed, by AUTH for one.
     */
    if (end == GATHER_BROKEN && net->batch->count == 0) {
        conn_protocol_error(conn, gather.command.error_text);
        conn_put_parser(conn);
        return false;
    }
    return *at < window.bytes && conn_can_take(conn);
}

/* Runs the commands in the window; returns how many of its bytes are done with. */
static size_t conn_take(struct conn *conn, struct slice window)
{
    struct net *net = conn->net;
    ASSERT(!net->in_batch);
    net->in_batch = true;
    size_t at = 0;
    bool more = conn_can_take(conn) && window.bytes > 0;
    for (uint32_t i = 0; more; i++) {
        if (i == CONN_BATCHES_TURN_MAX) {
            conn_make_ready(conn);
            break;
        }
        more = conn_take_batch(conn, window, &at);
    }
    net->in_batch = false;
    conn_settle_output(conn);
    return at;
}

static void conn_take_input(struct conn *conn)
{
    size_t used = conn_take(conn, buffer_slice(&conn->input));
    buffer_consume(&conn->input, used);
}

/* ---- the input buffer ---- */

void conn_drop_input(struct conn *conn)
{
    conn_put_parser(conn);
    buffer_release(&conn->input);
}

/* Keeps what could not be taken. The buffer doubles as bytes arrive, but not beyond what the half
 * command in it needs, so that a large value ends with a buffer of its size. */
static void conn_keep(struct conn *conn, struct slice bytes)
{
    if (bytes.bytes == 0 || conn->closing || conn->finishing) {
        return;
    }
    size_t total = conn->input.bytes + bytes.bytes;
    conn->input.bytes_max = conn->input_need > total ? conn->input_need : SIZE_MAX;
    if (buffer_append_slice(&conn->input, bytes) != 0) {
        conn_close_logged(conn, "Out of memory, closing client");
    }
}

/* Moves little bytes out of a large buffer. */
static void conn_shrink_input(struct conn *conn)
{
    struct buffer *input = &conn->input;
    size_t capacity = input->capacity + input->consumed;
    if (input->bytes == 0) {
        buffer_release(input);
        return;
    }
    if (capacity <= INPUT_SHRINK_BYTES || input->bytes > capacity / 4 ||
        conn->input_need > capacity / 4) {
        return;
    }
    struct buffer small;
    buffer_init(&small, SIZE_MAX);
    if (buffer_append_slice(&small, buffer_slice(input)) == 0) {
        buffer_release(input);
        *input = small;
    }
}

static size_t conn_pending_max(struct conn *conn)
{
    return net_is_authenticated(conn->net, conn) ? CONN_INPUT_PENDING_MAX : CONN_UNAUTH_PENDING_MAX;
}

/* Receiving stops while there is enough to do, and goes on when half of it is done. */
static void conn_pace_recv(struct conn *conn)
{
    if (!conn->recv_paused && conn->input.bytes <= CONN_UNAUTH_PENDING_MAX) {
        return;
    }
    size_t pending_max = conn_pending_max(conn);
    bool commands = !conn_can_take(conn) || conn->parser == NULL;
    bool stop = commands && !conn->finishing && conn->input.bytes > pending_max;
    bool go = !commands || conn->finishing || conn->input.bytes <= pending_max / 2;
    if (stop && !conn->recv_paused) {
        conn->recv_paused = true;
        io_recv_pause(conn->net->io, &conn->socket);
    } else if (go && conn->recv_paused) {
        conn->recv_paused = false;
        io_recv_resume(conn->net->io, &conn->socket);
    }
}

/* After input came or was taken. */
static void conn_settle_input(struct conn *conn)
{
    if (conn->finishing || conn->closing) {
        conn_drop_input(conn);
    }
    if (conn->closing) {
        return;
    }
    conn_shrink_input(conn);
    if (conn->parser != NULL && conn_can_take(conn) &&
        conn->input.bytes > conn->net->limits.query_bytes_max) {
        conn_close_logged(conn, "Closing client that reached max query buffer length");
        return;
    }
    conn_pace_recv(conn);
    conn_check_end(conn);
}

/* ---- events ---- */

void conn_make_ready(struct conn *conn)
{
    if (!conn->closing && !list_node_linked(&conn->node_ready)) {
        list_push_back(&conn->net->ready, &conn->node_ready);
    }
}

void conn_continue(struct conn *conn)
{
    if (conn->closing) {
        return;
    }
    if (conn_can_take(conn) && conn->input.bytes > 0) {
        conn_take_input(conn);
    }
    conn_settle_input(conn);
}

static void conn_note_activity(struct conn *conn)
{
    struct net *net = conn->net;
    conn->active_ns = shard_mono_ns(net->shard);
    if (conn->epoch != net->epoch) {
        conn->epoch = net->epoch;
        net->epoch_active++;
    }
}

static void conn_recv_ended(struct conn *conn, int32_t result)
{
    if (result < 0) {
        LOGGER_VERBOSE("Error reading from client id=%llu: %s", (unsigned long long)conn->id,
                       error_text(result));
        conn_close(conn);
        return;
    }
    conn->ended = true;
    conn_check_end(conn);
}

void conn_on_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    struct conn *conn = container_of(socket, struct conn, socket);
    if (conn->closing) {
        return;
    }
    if (bytes <= 0) {
        conn_recv_ended(conn, bytes);
        return;
    }
    conn->net->stats.input_bytes += (uint32_t)bytes;
    if (conn->finishing) {
        return;
    }
    conn_note_activity(conn);
    struct slice arrived = slice_of(data, (size_t)bytes);
    if (conn->input.bytes == 0 && conn_can_take(conn)) {
        size_t used = conn_take(conn, arrived);
        conn_keep(conn, slice_skip(arrived, used));
    } else {
        conn_keep(conn, arrived);
        if (conn_can_take(conn)) {
            conn_take_input(conn);
        } else {
            conn_check_stranger(conn);
        }
    }
    conn_settle_input(conn);
}
