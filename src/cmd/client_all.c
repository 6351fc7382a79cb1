/*
 * CLIENT LIST and CLIENT KILL: questions to the connections of all shards.
 */
#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "cmd/client.h"
#include "cmd/families.h"
#include "cmd/session.h"

enum { CLIENT_LIST_BYTES_MAX = 256 << 20, CLIENT_IDS_MAX = 4096 };

/* Which connections are meant. Slices are of the request. */
struct client_filter {
    const uint64_t *ids;
    uint32_t ids_count;
    bool has_addr, has_laddr, has_user, has_type;
    struct slice addr, laddr, user;
    bool type_normal; /* the only type that there are connections of */
    uint64_t skip_id; /* 0: none */
};

struct client_question {
    const struct client_filter *filter;
    bool kill;
    struct buffer text;
    uint64_t killed;
    uint64_t own_id; /* of the asker: closes after its reply */
    bool killed_self;
    int error;
};

static bool filter_fits(const struct client_filter *filter, struct session *session)
{
    uint64_t id = conn_id(session->conn);
    bool fits = filter->ids_count == 0;
    for (uint32_t i = 0; i < filter->ids_count && !fits; i++) {
        fits = filter->ids[i] == id;
    }
    if (!fits || (filter->skip_id != 0 && filter->skip_id == id)) {
        return false;
    }
    struct conn_info info;
    conn_info(session->conn, &info);
    if (filter->has_addr && !slice_equal(filter->addr, slice_cstr(info.peer))) {
        return false;
    }
    if (filter->has_laddr && !slice_equal(filter->laddr, slice_cstr(info.local))) {
        return false;
    }
    if (filter->has_user && !slice_equal(filter->user, slice_cstr("default"))) {
        return false;
    }
    return !filter->has_type || filter->type_normal;
}

static void question_ask(struct client_question *question, struct session *session)
{
    if (!question->kill) {
        if (client_describe(&question->text, session) < 0 ||
            buffer_append_cstr(&question->text, "\n") < 0) {
            question->error = ERR_MEMORY;
        }
        return;
    }
    question->killed++;
    if (conn_id(session->conn) == question->own_id) {
        question->killed_self = true;
    } else {
        conn_close(session->conn);
    }
}

/* On one shard. */
static int question_run(struct shard *there, void *argument)
{
    struct client_question *question = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    struct conn *next = here->net != NULL ? net_first(here->net) : NULL;
    while (next != NULL) {
        struct conn *conn = next;
        next = net_next(here->net, conn);
        struct session *session = conn_user(conn);
        if (session != NULL && !conn_is_closing(conn) && filter_fits(question->filter, session)) {
            question_ask(question, session);
        }
    }
    return question->error;
}

/* Asks every shard in turn; `question` gathers. */
static co_fn int question_all(struct request *request, struct client_question *question)
{
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        TRY(shard_call(request->here->shard, i, question_run, question));
    }
    return 0;
}

/* ---- arguments ---- */

static int filter_type(struct request *request, uint32_t index, struct client_filter *filter)
{
    static const char *const others[] = {"master", "replica", "slave", "pubsub"};
    filter->has_type = true;
    filter->type_normal = arg_is(request, index, "normal");
    if (filter->type_normal) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (arg_is(request, index, others[i])) {
            return 0;
        }
    }
    reply_errorf(request->reply, "ERR Unknown client type '%.*s'", (int)request->args[index].bytes,
                 (const char *)request->args[index].data);
    return ERR_PROTOCOL;
}

/* One filter word of CLIENT KILL with its value. */
static int kill_filter(struct request *request, uint32_t index, uint64_t *id,
                       struct client_filter *filter)
{
    struct slice value = request->args[index + 1];
    int64_t number;
    if (arg_is(request, index, "id")) {
        if (number_parse_i64(value, &number) < 0 || number < 1) {
            reply_error(request->reply, "ERR client-id should be greater than 0");
            return ERR_PROTOCOL;
        }
        *id = (uint64_t)number;
        filter->ids = id;
        filter->ids_count = 1;
    } else if (arg_is(request, index, "type")) {
        return filter_type(request, index + 1, filter);
    } else if (arg_is(request, index, "addr")) {
        filter->has_addr = true;
        filter->addr = value;
    } else if (arg_is(request, index, "laddr")) {
        filter->has_laddr = true;
        filter->laddr = value;
    } else if (arg_is(request, index, "user")) {
        if (!slice_equal(value, slice_cstr("default"))) {
            reply_errorf(request->reply, "ERR No such user '%.*s'", (int)value.bytes,
                         (const char *)value.data);
            return ERR_PROTOCOL;
        }
        filter->has_user = true;
        filter->user = value;
    } else if (arg_is(request, index, "skipme") &&
               (arg_is(request, index + 1, "yes") || arg_is(request, index + 1, "no"))) {
        filter->skip_id = arg_is(request, index + 1, "yes") ? conn_id(request->session->conn) : 0;
    } else {
        reply_error(request->reply, REPLY_SYNTAX);
        return ERR_PROTOCOL;
    }
    return 0;
}

/* ---- the commands ---- */

static co_fn void kill_reply_old(struct request *request, struct client_question *question)
{
    if (question->killed == 0) {
        reply_error(request->reply, "ERR No such client");
    } else {
        reply_ok(request->reply);
    }
}

co_fn int cmd_client_kill(struct request *request)
{
    struct client_filter filter = {.ids = NULL};
    uint64_t id = 0;
    bool old_form = request->argc == 3;
    if (old_form) {
        filter.has_addr = true;
        filter.addr = request->args[2];
    } else {
        filter.skip_id = conn_id(request->session->conn);
        for (uint32_t i = 2; i < request->argc; i += 2) {
            if (i + 1 == request->argc) {
                reply_error(request->reply, REPLY_SYNTAX);
                return 0;
            }
            if (kill_filter(request, i, &id, &filter) < 0) {
                return 0;
            }
        }
    }
    struct client_question question = {
        .filter = &filter, .kill = true, .own_id = conn_id(request->session->conn)};
    if (question_all(request, &question) < 0) {
        reply_error(request->reply, "OOM out of memory");
    } else if (old_form) {
        kill_reply_old(request, &question);
    } else {
        reply_i64(request->reply, (int64_t)question.killed);
    }
    if (question.killed_self) {
        conn_close_after_reply(request->session->conn);
    }
    return 0;
}

/* CLIENT LIST [TYPE type] [ID id ...] */
static int list_filter(struct request *request, uint64_t *ids, struct client_filter *filter)
{
    if (request->argc == 2) {
        return 0;
    }
    if (request->argc == 4 && arg_is(request, 2, "type")) {
        return filter_type(request, 3, filter);
    }
    if (request->argc > 3 && arg_is(request, 2, "id")) {
        filter->ids = ids;
        for (uint32_t i = 3; i < request->argc && filter->ids_count < CLIENT_IDS_MAX; i++) {
            int64_t id;
            if (number_parse_i64(request->args[i], &id) < 0) {
                reply_error(request->reply, "ERR Invalid client ID");
                return ERR_PROTOCOL;
            }
            ids[filter->ids_count++] = (uint64_t)id;
        }
        return 0;
    }
    reply_error(request->reply, REPLY_SYNTAX);
    return ERR_PROTOCOL;
}

co_fn int cmd_client_list(struct request *request)
{
    struct client_filter filter = {.ids = NULL};
    uint64_t *ids = mem_alloc(CLIENT_IDS_MAX * sizeof(*ids));
    if (ids == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return 0;
    }
    if (list_filter(request, ids, &filter) == 0) {
        struct client_question question = {.filter = &filter};
        buffer_init(&question.text, CLIENT_LIST_BYTES_MAX);
        if (question_all(request, &question) < 0) {
            reply_error(request->reply, "OOM out of memory");
        } else {
            reply_verbatim(request->reply, "txt",
                           (struct slice){question.text.data, question.text.bytes});
        }
        buffer_deinit(&question.text);
    }
    mem_free(ids);
    return 0;
}
