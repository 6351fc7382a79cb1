#include "cmd/session.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/logger.h"
#include "base/mem.h"
#include "cmd/monitor.h"

/* What Redis says to a stranger while no password is set. */
static const char PROTECTED_MODE_REPLY[] =
    "DENIED Redis is running in protected mode because protected mode is enabled and no password "
    "is set for the default user. In this mode connections are only accepted from the loopback "
    "interface. If you want to connect from external computers to Redis you may adopt one of the "
    "following solutions: 1) Just disable protected mode sending the command 'CONFIG SET "
    "protected-mode no' from the loopback interface by connecting to Redis from the same host the "
    "server is running, however MAKE SURE Redis is not publicly accessible from internet if you "
    "do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just "
    "disable the protected mode by editing the Redis configuration file, and setting the protected "
    "mode option to 'no', and then restarting the server. 3) If you started the server manually "
    "just for testing, restart it with the '--protected-mode no' option. 4) Setup an "
    "authentication password for the default user. NOTE: You only need to do one of the above "
    "things in order for the server to start accepting connections from the outside.";

static bool session_is_stranger(const struct cmd_shard *here, const struct conn *conn)
{
    if (!here->options.protected_mode || here->options.password[0] != '\0') {
        return false;
    }
    struct conn_info info;
    conn_info(conn, &info);
    return !info.is_local && !info.is_unix;
}

struct session *session_create(struct cmd_shard *here, struct conn *conn)
{
    struct session *session = mem_calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    session->conn = conn;
    session->here = here;
    session->resp = 2;
    session->reply.tally = &here->errors;
    session->authenticated = here->options.password[0] == '\0';
    list_init(&session->slots);
    if (session_is_stranger(here, conn)) {
        struct reply reply = {.output = conn_output(conn), .resp = 2};
        reply_error(&reply, PROTECTED_MODE_REPLY);
        conn_close_after_reply(conn);
    }
    return session;
}

static void session_forget(struct session *session)
{
    mem_free(session->name);
    mem_free(session->lib_name);
    mem_free(session->lib_ver);
    session->name = NULL;
    session->lib_name = NULL;
    session->lib_ver = NULL;
}

void session_destroy(struct session *session)
{
    if (session == NULL) {
        return;
    }
    ASSERT(session->slots_count == 0);
    if (list_node_linked(&session->waiting_node)) {
        list_remove(&session->waiting_node);
    }
    monitor_leave(session);
    session_forget(session);
    mem_free(session);
}

void session_reset(struct session *session)
{
    monitor_leave(session);
    mem_free(session->name);
    session->name = NULL;
    session->database = 0;
    session->resp = 2;
    session->reply_off = false;
    session->reply_skip_next = false;
    session->no_evict = false;
    session->no_touch = false;
    session->authenticated = session->here->options.password[0] == '\0';
}

void session_wait(struct session *session)
{
    if (!list_node_linked(&session->waiting_node)) {
        list_push_back(&session->here->waiting, &session->waiting_node);
    }
    cmd_shard_wait(session->here);
}

/* ---- browsers ---- */

bool session_is_http(struct slice word)
{
    return slice_equal_nocase_cstr(word, "post") || slice_equal_nocase_cstr(word, "host:");
}

void session_refuse_http(struct session *session)
{
    struct conn_info info;
    conn_info(session->conn, &info);
    LOGGER_WARNING("possible attack: %s sent an HTTP request, as a browser does that somebody else "
                   "controls; connection closed",
                   info.peer);
    conn_close(session->conn);
}

/* ---- replies that precede any command's own ---- */

enum { UNKNOWN_ARGS_BYTES_MAX = 128 };

static int shown_bytes(struct slice text, size_t room)
{
    size_t bytes = text.bytes < room ? text.bytes : room;
    const uint8_t *nul = memchr(text.data, '\0', bytes);
    return (int)(nul != NULL ? (size_t)(nul - text.data) : bytes);
}

/* "ERR <what> 'name'. Try PARENT HELP." */
static void reply_try_help(struct reply *reply, const struct command *command, const char *what,
                           struct slice name)
{
    char parent[32];
    size_t i = 0;
    for (; strchr("|", command->name[i]) == NULL && i < sizeof(parent) - 1; i++) {
        char c = command->name[i];
        parent[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    parent[i] = '\0';
    reply_errorf(reply, "ERR %s '%.*s'. Try %s HELP.", what, shown_bytes(name, 128),
                 (const char *)name.data, parent);
}

void session_reply_usage(struct reply *reply, const struct command *command, struct slice name)
{
    reply_try_help(reply, command, "unknown subcommand or wrong number of arguments for", name);
}

void session_reply_unknown(struct reply *reply, const struct command *container,
                           const struct slice *args, uint32_t argc)
{
    if (container != NULL) {
        reply_try_help(reply, container, "unknown subcommand", args[1]);
        return;
    }
    char shown[UNKNOWN_ARGS_BYTES_MAX * 2];
    size_t used = 0;
    shown[0] = '\0';
    for (uint32_t i = 1; i < argc && used < UNKNOWN_ARGS_BYTES_MAX; i++) {
        int bytes = shown_bytes(args[i], UNKNOWN_ARGS_BYTES_MAX - used);
        int written = snprintf(shown + used, sizeof(shown) - used, "'%.*s' ", bytes,
                               (const char *)args[i].data);
        used += (size_t)written;
    }
    reply_errorf(reply, "ERR unknown command '%.*s', with args beginning with: %s",
                 shown_bytes(args[0], 128), (const char *)args[0].data, shown);
}

void session_reply_arity(struct reply *reply, const struct command *command)
{
    reply_errorf(reply, "ERR wrong number of arguments for '%s' command", command->name);
}

void session_reply_disk_error(struct reply *reply, int error)
{
    reply_errorf(reply,
                 "MISCONF Errors writing to the log file: %s. Commands that may modify the data "
                 "set are disabled until there is room again.",
                 error_text(error));
}
