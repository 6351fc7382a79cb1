/*
 * DEBUG: what tests need. Off unless enable-debug-command allows it.
 */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/number.h"
#include "cmd/exclusive.h"
#include "cmd/families.h"
#include "cmd/request.h"
#include "shard/await.h"

/* Replies the refusal. */
static bool debug_refused(struct request *request)
{
    const struct cmd_options *options = &request->here->options;
    struct conn_info info;
    conn_info(request->session->conn, &info);
    if (options->debug_allowed ||
        (options->debug_allowed_local && (info.is_local || info.is_unix))) {
        return false;
    }
    reply_error(request->reply,
                "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                "\"local\", you can run it from a local connection, otherwise you need to set this "
                "option in the configuration file, and then restart the server.");
    return true;
}

static void reply_outcome(struct request *request, int err)
{
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_ok(request->reply);
    }
}

/* DEBUG SLEEP seconds: the whole server rests, as Redis does. */
co_fn int cmd_debug_sleep(struct request *request)
{
    long double seconds;
    if (debug_refused(request)) {
        return 0;
    }
    if (number_parse_ld(request->args[2], &seconds) < 0 || seconds < 0 || seconds > 3600) {
        reply_error(request->reply, REPLY_NOT_FLOAT);
        return 0;
    }
    int err = exclusive_begin(request->here);
    if (err == 0) {
        await_sleep_ns(request->here->shard, (int64_t)(seconds * 1e9L));
        exclusive_end(request->here);
    }
    reply_outcome(request, err);
    return 0;
}

static int debug_set_active_expire(struct shard *there, void *argument)
{
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    keyspace_set_active_expire(here->keyspace, *(const bool *)argument);
    return 0;
}

co_fn int cmd_debug_set_active_expire(struct request *request)
{
    int64_t number;
    if (debug_refused(request) || arg_i64(request, 2, &number) < 0) {
        return 0;
    }
    bool on = number != 0;
    reply_outcome(request, shard_call_all(request->here->shard, debug_set_active_expire, &on, 0));
    return 0;
}

static co_fn int debug_checkpoint(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    return keyspace_checkpoint_all(here->keyspace);
}

/* DEBUG CHECKPOINT, RELOAD, LOADAOF: everything goes to the trees. */
co_fn int cmd_debug_checkpoint(struct request *request)
{
    if (!debug_refused(request)) {
        reply_outcome(request, shard_call_all(request->here->shard, debug_checkpoint, NULL, 0));
    }
    return 0;
}

static co_fn int debug_evict(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    TRY(keyspace_checkpoint_all(here->keyspace));
    keyspace_evict_all(here->keyspace);
    return 0;
}

/* DEBUG EVICT: the same, and out of memory with it. */
co_fn int cmd_debug_evict(struct request *request)
{
    if (!debug_refused(request)) {
        reply_outcome(request, shard_call_all(request->here->shard, debug_evict, NULL, 0));
    }
    return 0;
}

/* ---- DEBUG CHECK: reads and checks every page ---- */

struct debug_check {
    char error[256];
};

static co_fn int debug_check(struct shard *there, void *argument)
{
    struct debug_check *check = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    for (uint32_t i = 0; i < here->server->partitions; i++) {
        struct partition *partition = keyspace_partition(here->keyspace, i);
        struct store_report report;
        if (partition == NULL) {
            continue;
        }
        memset(&report, 0, sizeof(report));
        int err = partition_verify(partition, &report);
        if (err < 0) {
            const char *where = err == ERR_CORRUPT ? "; the log has file and offset" : "";
            snprintf(check->error, sizeof(check->error), "partition %u: %.200s%s", i, report.error,
                     where);
            return err;
        }
    }
    return 0;
}

co_fn int cmd_debug_check(struct request *request)
{
    if (debug_refused(request)) {
        return 0;
    }
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        struct debug_check check = {.error = ""};
        int err = shard_call(request->here->shard, i, debug_check, &check);
        if (err < 0) {
            reply_errorf(request->reply, "ERR %s: %s", error_text(err), check.error);
            return 0;
        }
    }
    reply_ok(request->reply);
    return 0;
}

/* ---- DEBUG COROUTINES ---- */

enum { DEBUG_TEXT_BYTES_MAX = 4 << 20 };

static void debug_coroutine(void *context, const struct coro *coro, bool parked,
                            uint32_t stack_used)
{
    IGNORE(buffer_printf(context, "%s %s stack=%u\n", coro_name(coro), parked ? "parked" : "ready",
                         stack_used),
           "a list that is too long is cut");
}

static int debug_coroutines(struct shard *there, void *argument)
{
    struct buffer *text = argument;
    TRY(buffer_printf(text, "# shard %u\n", shard_id(there)));
    sched_each(shard_sched(there), debug_coroutine, text);
    return 0;
}

co_fn int cmd_debug_coroutines(struct request *request)
{
    if (debug_refused(request)) {
        return 0;
    }
    struct buffer text;
    buffer_init(&text, DEBUG_TEXT_BYTES_MAX);
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        IGNORE(shard_call(request->here->shard, i, debug_coroutines, &text),
               "a list that is too long is cut");
    }
    reply_verbatim(request->reply, "txt", (struct slice){text.data, text.bytes});
    buffer_deinit(&text);
    return 0;
}

/* DEBUG OBJECT key */
int cmd_debug_object(struct request *request)
{
    struct view view;
    request->no_touch = true;
    TRY(view_key(request, 0, &view));
    if (!view.exists) {
        reply_error(request->reply, REPLY_NO_KEY);
        return 0;
    }
    char text[160];
    snprintf(text, sizeof(text),
             "Value at:0x0 refcount:1 encoding:%s serializedlength:%llu lru:0 "
             "lru_seconds_idle:%u",
             object_encoding(&view), (unsigned long long)view.value.bytes, view.idle_s);
    reply_status(request->reply, text);
    return 0;
}

/* DEBUG LOG message, JMAP, CHANGE-REPL-ID and the like: accepted, nothing to do. */
int cmd_debug_ok(struct request *request)
{
    if (!debug_refused(request)) {
        reply_ok(request->reply);
    }
    return 0;
}
