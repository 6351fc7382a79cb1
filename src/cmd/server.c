/*
 * The server: INFO, TIME, LASTSAVE, SAVE, BGSAVE, SHUTDOWN, and short answers to what clients ask
 * on connecting.
 */
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/request.h"
#include "cmd/session.h"

enum { INFO_BYTES_MAX = 1 << 20 };

int cmd_info(struct request *request)
{
    const struct server_door *door = &request->here->server->door;
    struct buffer text;
    buffer_init(&text, INFO_BYTES_MAX);
    int err = door->info(door->context, request->here->shard, request->args + 1, request->argc - 1,
                         &text);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_verbatim(request->reply, "txt", (struct slice){text.data, text.bytes});
    }
    buffer_deinit(&text);
    return 0;
}

int cmd_time(struct request *request)
{
    int64_t us = clock_real_us();
    char number[NUMBER_I64_BYTES_MAX];
    reply_array(request->reply, 2);
    size_t bytes = number_format_i64(number, us / 1000000);
    reply_bulk(request->reply, (struct slice){(uint8_t *)number, bytes});
    bytes = number_format_i64(number, us % 1000000);
    reply_bulk(request->reply, (struct slice){(uint8_t *)number, bytes});
    return 0;
}

/* ---- checkpoints by hand ---- */

static co_fn int checkpoint_shard(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    return keyspace_checkpoint_all(here->keyspace);
}

static co_fn int checkpoint_everything(struct cmd_shard *here)
{
    int64_t now_s = shard_now_ms(here->shard) / 1000;
    TRY(shard_call_all(here->shard, checkpoint_shard, NULL, 0));
    atomic_store(&here->server->lastsave_s, now_s);
    return 0;
}

co_fn int cmd_save(struct request *request)
{
    int err = checkpoint_everything(request->here);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_ok(request->reply);
    }
    return 0;
}

static co_fn void bgsave_main(void *argument)
{
    struct cmd_shard *here = argument;
    IGNORE(checkpoint_everything(here), "keyspace keeps the error for INFO");
    here->saving--;
    co_event_signal(&here->saved);
}

int cmd_bgsave(struct request *request)
{
    struct cmd_shard *here = request->here;
    bool fits = request->argc == 1 || (request->argc == 2 && arg_is(request, 1, "schedule"));
    if (!fits) {
        reply_error(request->reply, REPLY_SYNTAX);
    } else if (here->saving > 0) {
        reply_error(request->reply, "ERR Background save already in progress");
    } else if (coro_start(shard_sched(here->shard), "bgsave", CORO_LOW, bgsave_main, here) < 0) {
        reply_error(request->reply, "ERR too many commands in progress");
    } else {
        here->saving++;
        reply_status(request->reply, "Background saving started");
    }
    return 0;
}

int cmd_lastsave(struct request *request)
{
    reply_i64(request->reply, atomic_load(&request->here->server->lastsave_s));
    return 0;
}

/* ---- SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT] ---- */

int cmd_shutdown(struct request *request)
{
    bool save = false;
    bool nosave = false;
    bool abort_it = false;
    for (uint32_t i = 1; i < request->argc; i++) {
        if (arg_is(request, i, "nosave")) {
            nosave = true;
        } else if (arg_is(request, i, "save")) {
            save = true;
        } else if (arg_is(request, i, "abort")) {
            abort_it = true;
        } else if (!arg_is(request, i, "now") && !arg_is(request, i, "force")) {
            reply_error(request->reply, REPLY_SYNTAX);
            return 0;
        }
    }
    if ((save && nosave) || (abort_it && request->argc > 2)) {
        reply_error(request->reply, REPLY_SYNTAX);
        return 0;
    }
    if (abort_it) {
        reply_error(request->reply, "ERR No shutdown in progress.");
        return 0;
    }
    const struct server_door *door = &request->here->server->door;
    door->shutdown(door->context, !nosave);
    conn_close(request->session->conn);
    return 0;
}

/* ---- what there is none of ---- */

int cmd_empty_array(struct request *request)
{
    reply_array(request->reply, 0);
    return 0;
}

int cmd_no_cluster(struct request *request)
{
    reply_error(request->reply, "ERR This instance has cluster support disabled");
    return 0;
}

int cmd_wait(struct request *request)
{
    int64_t number;
    if (arg_i64(request, 1, &number) < 0) {
        return 0;
    }
    if (number_parse_i64(request->args[2], &number) < 0) {
        reply_error(request->reply, "ERR timeout is not an integer or out of range");
    } else if (number < 0) {
        reply_error(request->reply, "ERR timeout is negative");
    } else {
        reply_i64(request->reply, 0);
    }
    return 0;
}

int cmd_zero(struct request *request)
{
    reply_i64(request->reply, 0);
    return 0;
}

/* FUNCTION FLUSH and SCRIPT FLUSH [ASYNC | SYNC]: there is nothing to flush. */
static int flush_nothing(struct request *request, const char *error)
{
    if (request->argc == 2 ||
        (request->argc == 3 && (arg_is(request, 2, "async") || arg_is(request, 2, "sync")))) {
        reply_ok(request->reply);
    } else {
        reply_error(request->reply, error);
    }
    return 0;
}

int cmd_function_flush(struct request *request)
{
    if (request->argc > 3) {
        session_reply_usage(request->reply, request->command, request->args[1]);
        return 0;
    }
    return flush_nothing(request, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
}

int cmd_script_flush(struct request *request)
{
    return flush_nothing(request, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
}

int cmd_acl_whoami(struct request *request)
{
    reply_bulk_cstr(request->reply, "default");
    return 0;
}
