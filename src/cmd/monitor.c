#include "cmd/monitor.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/quote.h"
#include "cmd/families.h"
#include "cmd/redact.h"
#include "cmd/request.h"

enum {
    MONITOR_LINE_BYTES_MAX = 64 << 20,
    MONITOR_BYTES_MAX = MONITOR_LINE_BYTES_MAX, /* on their way to one shard */
};

/* A line on its way to another shard; freed there. */
struct monitor_line {
    struct message message;
    struct buffer text;
};

static void monitor_show(struct cmd_shard *here, struct slice line)
{
    LIST_FOREACH (&here->monitors, node) {
        struct session *session = container_of(node, struct session, monitor_node);
        if (!conn_is_closing(session->conn)) {
            output_append(conn_output(session->conn), line);
            conn_output_ready(session->conn);
        }
    }
}

/* The shard could not keep up, and lines were lost: who shows some of them would lie. As with any
 * client whose output limit is reached. */
static void monitor_close_all(struct cmd_shard *here)
{
    LIST_FOREACH (&here->monitors, node) {
        struct session *session = container_of(node, struct session, monitor_node);
        if (!conn_is_closing(session->conn)) {
            LOGGER_WARNING("Closing client in MONITOR: more than %d MB of lines wait for its "
                           "shard: id=%llu",
                           MONITOR_BYTES_MAX >> 20, (unsigned long long)conn_id(session->conn));
            conn_close(session->conn);
        }
    }
}

static void monitor_arrive(struct shard *receiver, struct message *message)
{
    struct monitor_line *line = container_of(message, struct monitor_line, message);
    struct cmd_shard *here = shard_slot(receiver, SHARD_SLOT_CMD);
    if (here != NULL) {
        atomic_fetch_sub(&here->monitor_bytes, line->text.bytes);
        if (atomic_exchange(&here->monitor_overrun, false)) {
            monitor_close_all(here);
        }
        monitor_show(here, (struct slice){line->text.data, line->text.bytes});
    }
    buffer_deinit(&line->text);
    mem_free(line);
}

/* +1339518083.107412 [0 127.0.0.1:60866] "keys" "*" */
static int monitor_format(struct buffer *text, const struct session *session,
                          const struct slice *args, uint32_t argc)
{
    struct conn_info info;
    conn_info(session->conn, &info);
    int64_t us = clock_real_us();
    TRY(buffer_printf(text, "+%lld.%06lld [%u %s]", (long long)(us / 1000000),
                      (long long)(us % 1000000), session->database, info.peer));
    for (uint32_t i = 0; i < argc; i++) {
        TRY(buffer_append_cstr(text, " "));
        TRY(quote_append(text, redact_arg(args, argc, i)));
    }
    return buffer_append_cstr(text, "\r\n");
}

static void monitor_send(struct cmd_shard *here, uint32_t to, const struct buffer *text)
{
    struct cmd_shard *there = here->server->shard_states[to];
    ASSERT(there != NULL); /* as long as there are connections */
    if (atomic_fetch_add(&there->monitor_bytes, text->bytes) + text->bytes > MONITOR_BYTES_MAX) {
        atomic_fetch_sub(&there->monitor_bytes, text->bytes);
        atomic_store(&there->monitor_overrun, true); /* the next line that arrives finds it */
        return;
    }
    struct monitor_line *line = mem_calloc(1, sizeof(*line));
    if (line == NULL) {
        atomic_fetch_sub(&there->monitor_bytes, text->bytes);
        return; /* a line less */
    }
    buffer_init(&line->text, MONITOR_LINE_BYTES_MAX);
    if (buffer_append(&line->text, text->data, text->bytes) < 0) {
        atomic_fetch_sub(&there->monitor_bytes, text->bytes);
        mem_free(line);
        return;
    }
    line->message.handler = monitor_arrive;
    shard_send(here->shard, to, &line->message);
}

void monitor_feed(struct cmd_shard *here, const struct session *session, const struct slice *args,
                  uint32_t argc)
{
    struct buffer text;
    buffer_init(&text, MONITOR_LINE_BYTES_MAX);
    if (monitor_format(&text, session, args, argc) == 0) {
        monitor_show(here, (struct slice){text.data, text.bytes});
        for (uint32_t i = 0; i < here->server->shards; i++) {
            if (i != shard_id(here->shard)) {
                monitor_send(here, i, &text);
            }
        }
    }
    buffer_deinit(&text);
}

void monitor_join(struct session *session)
{
    if (!session->monitoring) {
        session->monitoring = true;
        list_push_back(&session->here->monitors, &session->monitor_node);
        atomic_fetch_add(&session->here->server->monitors, 1);
    }
}

void monitor_leave(struct session *session)
{
    if (session->monitoring) {
        session->monitoring = false;
        list_remove(&session->monitor_node);
        atomic_fetch_sub(&session->here->server->monitors, 1);
    }
}

int cmd_monitor(struct request *request)
{
    reply_ok(request->reply);
    monitor_join(request->session);
    return 0;
}
