/*
 * CLIENT: what connections are called and how they behave. KILL and LIST, which look at all shards,
 * are in client_all.c.
 */
#include "cmd/client.h"

#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/session.h"

/* ---- names ---- */

/* Printable, without spaces: what stands in CLIENT LIST must not break its lines. */
static bool name_is_plain(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Replaces an owned text; an empty one clears it. */
static int set_text(char **text, struct slice value)
{
    char *copy = NULL;
    if (value.bytes > 0) {
        copy = mem_alloc(value.bytes + 1);
        if (copy == NULL) {
            return ERR_MEMORY;
        }
        memcpy(copy, value.data, value.bytes);
        copy[value.bytes] = '\0';
    }
    mem_free(*text);
    *text = copy;
    return 0;
}

int client_check_name(struct request *request, struct slice name)
{
    if (!name_is_plain(name)) {
        reply_error(request->reply,
                    "ERR Client names cannot contain spaces, newlines or special characters.");
        return ERR_PROTOCOL;
    }
    return 0;
}

int client_set_name(struct request *request, struct slice name)
{
    TRY(client_check_name(request, name));
    int err = set_text(&request->session->name, name);
    if (err < 0) {
        reply_error(request->reply, "OOM out of memory");
    }
    return err;
}

int cmd_client_setname(struct request *request)
{
    if (client_set_name(request, request->args[2]) == 0) {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_client_getname(struct request *request)
{
    const char *name = request->session->name;
    if (name == NULL) {
        reply_null(request->reply);
    } else {
        reply_bulk_cstr(request->reply, name);
    }
    return 0;
}

int cmd_client_setinfo(struct request *request)
{
    char **text = NULL;
    const char *what = "";
    if (arg_is(request, 2, "lib-name")) {
        text = &request->session->lib_name;
        what = "lib-name";
    } else if (arg_is(request, 2, "lib-ver")) {
        text = &request->session->lib_ver;
        what = "lib-ver";
    } else {
        reply_errorf(request->reply, "ERR Unrecognized option '%.*s'", (int)request->args[2].bytes,
                     (const char *)request->args[2].data);
        return 0;
    }
    if (!name_is_plain(request->args[3])) {
        reply_errorf(request->reply,
                     "ERR %s cannot contain spaces, newlines or special characters.", what);
    } else if (set_text(text, request->args[3]) < 0) {
        reply_error(request->reply, "OOM out of memory");
    } else {
        reply_ok(request->reply);
    }
    return 0;
}

/* ---- the connection itself ---- */

int cmd_client_id(struct request *request)
{
    reply_i64(request->reply, (int64_t)conn_id(request->session->conn));
    return 0;
}

static const char *command_shown(const struct session *session)
{
    return session->last_command != NULL ? session->last_command->name : "NULL";
}

int client_describe(struct buffer *text, const struct session *session)
{
    struct conn_info info;
    conn_info(session->conn, &info);
    int64_t now_ms = shard_now_ms(session->here->shard);
    char flags[4];
    size_t used = 0;
    if (session->monitoring) {
        flags[used++] = 'O';
    }
    if (session->no_evict) {
        flags[used++] = 'e';
    }
    if (used == 0) {
        flags[used++] = info.is_unix ? 'U' : 'N';
    }
    flags[used] = '\0';
    return buffer_printf(
        text,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=%u sub=0 psub=0 "
        "ssub=0 multi=-1 qbuf=%llu qbuf-free=%llu argv-mem=0 multi-mem=0 rbs=%llu rbp=0 obl=0 "
        "oll=0 omem=%llu tot-mem=%llu events=r cmd=%s user=default redir=-1 resp=%u lib-name=%s "
        "lib-ver=%s",
        (unsigned long long)conn_id(session->conn), info.peer, info.local, info.fd,
        session->name != NULL ? session->name : "", (long long)((now_ms - info.opened_ms) / 1000),
        (long long)((now_ms - info.active_ms) / 1000), flags, session->database,
        (unsigned long long)info.input_bytes,
        (unsigned long long)(info.input_capacity - info.input_bytes),
        (unsigned long long)info.output_capacity, (unsigned long long)info.output_bytes,
        (unsigned long long)info.memory_bytes, command_shown(session), session->resp,
        session->lib_name != NULL ? session->lib_name : "",
        session->lib_ver != NULL ? session->lib_ver : "");
}

enum { CLIENT_LINE_BYTES_MAX = 64 << 10 };

int cmd_client_info(struct request *request)
{
    struct buffer text;
    buffer_init(&text, CLIENT_LINE_BYTES_MAX);
    if (client_describe(&text, request->session) < 0 || buffer_append_cstr(&text, "\n") < 0) {
        reply_error(request->reply, "OOM out of memory");
    } else {
        reply_verbatim(request->reply, "txt", (struct slice){text.data, text.bytes});
    }
    buffer_deinit(&text);
    return 0;
}

/* ON or OFF; -1 with the syntax error replied. */
static int arg_switch(struct request *request, uint32_t index)
{
    if (arg_is(request, index, "on")) {
        return 1;
    }
    if (arg_is(request, index, "off")) {
        return 0;
    }
    reply_error(request->reply, REPLY_SYNTAX);
    return -1;
}

int cmd_client_no_evict(struct request *request)
{
    int on = arg_switch(request, 2);
    if (on >= 0) {
        request->session->no_evict = on;
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_client_no_touch(struct request *request)
{
    int on = arg_switch(request, 2);
    if (on >= 0) {
        request->session->no_touch = on;
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_client_reply(struct request *request)
{
    struct session *session = request->session;
    if (arg_is(request, 2, "on")) {
        session->reply_off = false;
        request->reply->muted = false;
        reply_ok(request->reply);
    } else if (arg_is(request, 2, "off")) {
        session->reply_off = true;
    } else if (arg_is(request, 2, "skip")) {
        session->reply_skip_next = !session->reply_off;
    } else {
        reply_error(request->reply, REPLY_SYNTAX);
    }
    return 0;
}

/* Nobody blocks yet, so there is nobody to unblock. */
int cmd_client_unblock(struct request *request)
{
    int64_t id;
    if (request->argc > 4) {
        session_reply_usage(request->reply, request->command, request->args[1]);
        return 0;
    }
    if (request->argc == 4 && !arg_is(request, 3, "timeout") && !arg_is(request, 3, "error")) {
        reply_error(request->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return 0;
    }
    if (arg_i64(request, 2, &id) < 0) {
        return 0;
    }
    reply_i64(request->reply, 0);
    return 0;
}

/* ---- pausing all of them ---- */

int cmd_client_pause(struct request *request)
{
    struct cmd_server *server = request->here->server;
    int64_t timeout_ms;
    bool writes_only = false;
    if (request->argc > 4) {
        session_reply_usage(request->reply, request->command, request->args[1]);
        return 0;
    }
    if (request->argc == 4) {
        writes_only = arg_is(request, 3, "write");
        if (!writes_only && !arg_is(request, 3, "all")) {
            reply_error(request->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return 0;
        }
    }
    int64_t now_ms = shard_now_ms(request->here->shard);
    if (number_parse_i64(request->args[2], &timeout_ms) < 0 || timeout_ms > INT64_MAX - now_ms) {
        reply_error(request->reply, "ERR timeout is not an integer or out of range");
        return 0;
    }
    if (timeout_ms < 0) {
        reply_error(request->reply, "ERR timeout is negative");
        return 0;
    }
    int64_t until_ms = now_ms + timeout_ms;
    bool running = atomic_load(&server->pause_until_ms) > now_ms;
    if (!running || !writes_only) {
        atomic_store(&server->pause_writes_only, writes_only);
    }
    if (!running || until_ms > atomic_load(&server->pause_until_ms)) {
        atomic_store(&server->pause_until_ms, until_ms);
    }
    reply_ok(request->reply);
    return 0;
}

/* The waiting ones look again within a millisecond. */
int cmd_client_unpause(struct request *request)
{
    atomic_store(&request->here->server->pause_until_ms, 0);
    reply_ok(request->reply);
    return 0;
}
