/*
 * The connection itself: PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET. CLIENT is in client.c.
 */
#include <string.h>

#include "base/number.h"
#include "cmd/client.h"
#include "cmd/families.h"
#include "cmd/request.h"
#include "cmd/session.h"

int cmd_ping(struct request *request)
{
    if (request->argc > 2) {
        session_reply_arity(request->reply, request->command);
    } else if (request->argc == 2) {
        reply_bulk(request->reply, request->args[1]);
    } else {
        reply_status(request->reply, "PONG");
    }
    return 0;
}

int cmd_echo(struct request *request)
{
    reply_bulk(request->reply, request->args[1]);
    return 0;
}

int cmd_quit(struct request *request)
{
    reply_ok(request->reply);
    conn_close_after_reply(request->session->conn);
    return 0;
}

int cmd_reset(struct request *request)
{
    session_reset(request->session);
    request->reply->resp = 2;
    request->reply->muted = false;
    reply_status(request->reply, "RESET");
    return 0;
}

int cmd_select(struct request *request)
{
    uint32_t database;
    if (arg_database(request, 1, &database) < 0) {
        return 0;
    }
    request->session->database = database;
    reply_ok(request->reply);
    return 0;
}

/* ---- passwords ---- */

/* Takes the same time wherever the first difference is. */
static bool password_fits(const struct cmd_options *options, struct slice given)
{
    size_t bytes = strlen(options->password);
    uint8_t difference = given.bytes != bytes;
    for (size_t i = 0; i < given.bytes; i++) {
        difference |= given.data[i] ^ (uint8_t)options->password[bytes > 0 ? i % bytes : 0];
    }
    return difference == 0;
}

/* Replies the error if the user or the password is wrong. */
static bool authenticate(struct request *request, struct slice user, struct slice password)
{
    const struct cmd_options *options = &request->here->options;
    bool open = options->password[0] == '\0';
    if (!slice_equal(user, slice_cstr("default")) || (!open && !password_fits(options, password))) {
        reply_error(request->reply,
                    "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    request->session->authenticated = true;
    return true;
}

int cmd_auth(struct request *request)
{
    if (request->argc > 3) {
        reply_error(request->reply, REPLY_SYNTAX);
        return 0;
    }
    if (request->argc == 2 && request->here->options.password[0] == '\0') {
        reply_error(request->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
        return 0;
    }
    struct slice user = request->argc == 3 ? request->args[1] : slice_cstr("default");
    if (authenticate(request, user, request->args[request->argc - 1])) {
        reply_ok(request->reply);
    }
    return 0;
}

/* ---- HELLO [protover [AUTH username password] [SETNAME clientname]] ---- */

struct hello_options {
    int64_t protocol;
    bool has_auth;
    uint32_t auth_index;
    uint32_t name_index; /* 0: none */
};

static int hello_parse(struct request *request, struct hello_options *ret_options)
{
    struct hello_options options = {.protocol = request->session->resp};
    if (request->argc > 1) {
        if (number_parse_i64(request->args[1], &options.protocol) < 0) {
            reply_error(request->reply, "ERR Protocol version is not an integer or out of range");
            return ERR_PROTOCOL;
        }
        if (options.protocol < 2 || options.protocol > 3) {
            reply_error(request->reply, "NOPROTO unsupported protocol version");
            return ERR_PROTOCOL;
        }
    }
    for (uint32_t i = 2; i < request->argc; i++) {
        uint32_t more = request->argc - 1 - i;
        if (arg_is(request, i, "auth") && more >= 2) {
            options.has_auth = true;
            options.auth_index = i + 1;
            i += 2;
        } else if (arg_is(request, i, "setname") && more >= 1) {
            options.name_index = ++i;
            TRY(client_check_name(request, request->args[i]));
        } else {
            reply_errorf(request->reply, "ERR Syntax error in HELLO option '%.*s'",
                         (int)request->args[i].bytes, (const char *)request->args[i].data);
            return ERR_PROTOCOL;
        }
    }
    *ret_options = options;
    return 0;
}

static void hello_reply(struct request *request)
{
    struct reply *reply = request->reply;
    reply_map(reply, 7);
    reply_bulk_cstr(reply, "server");
    reply_bulk_cstr(reply, "redis");
    reply_bulk_cstr(reply, "version");
    reply_bulk_cstr(reply, REDIS_VERSION);
    reply_bulk_cstr(reply, "proto");
    reply_i64(reply, reply->resp);
    reply_bulk_cstr(reply, "id");
    reply_i64(reply, (int64_t)conn_id(request->session->conn));
    reply_bulk_cstr(reply, "mode");
    reply_bulk_cstr(reply, "standalone");
    reply_bulk_cstr(reply, "role");
    reply_bulk_cstr(reply, "master");
    reply_bulk_cstr(reply, "modules");
    reply_array(reply, 0);
}

int cmd_hello(struct request *request)
{
    struct hello_options options;
    if (hello_parse(request, &options) < 0) {
        return 0;
    }
    if (options.has_auth && !authenticate(request, request->args[options.auth_index],
                                          request->args[options.auth_index + 1])) {
        return 0;
    }
    if (!request->session->authenticated) {
        reply_error(request->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                    "client and select the RESP protocol version at the same time");
        return 0;
    }
    if (options.name_index > 0 && client_set_name(request, request->args[options.name_index]) < 0) {
        return 0;
    }
    request->session->resp = (uint8_t)options.protocol;
    request->reply->resp = (uint8_t)options.protocol;
    hello_reply(request);
    return 0;
}
