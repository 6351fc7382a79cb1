/*
 * CONFIG: the configuration lives in the server room; this is its wire.
 */
#include <string.h>

#include "base/mem.h"
#include "cmd/families.h"
#include "cmd/request.h"

enum { CONFIG_ERROR_BYTES = 256 };

/* ---- CONFIG GET pattern [pattern ...] ---- */

struct config_found {
    struct reply *reply;
    struct slice pattern;
    uint64_t count;
    struct slice *seen; /* names already replied, for overlapping patterns */
    uint32_t seen_count;
};

enum { CONFIG_NAMES_MAX = 1024 };

static void config_each(void *context, struct slice name, struct slice value)
{
    struct config_found *found = context;
    for (uint32_t i = 0; i < found->seen_count; i++) {
        if (slice_equal(found->seen[i], name)) {
            return;
        }
    }
    if (found->seen_count < CONFIG_NAMES_MAX) {
        found->seen[found->seen_count++] = name;
    }
    /* Like Redis: a whole name comes back in the capitals it was asked for with. */
    reply_bulk(found->reply, slice_equal_nocase(found->pattern, name) ? found->pattern : name);
    reply_bulk(found->reply, value);
    found->count++;
}

int cmd_config_get(struct request *request)
{
    const struct server_door *door = &request->here->server->door;
    struct config_found found = {.reply = request->reply};
    found.seen = mem_alloc(CONFIG_NAMES_MAX * sizeof(*found.seen));
    if (found.seen == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return 0;
    }
    size_t mark = reply_deferred_open(request->reply);
    for (uint32_t i = 2; i < request->argc; i++) {
        found.pattern = request->args[i];
        IGNORE(door->config_get(door->context, request->args[i], config_each, &found),
               "what can't be shown is left out");
    }
    bool map = request->reply->resp == 3;
    reply_deferred_close(request->reply, mark, map ? '%' : '*',
                         map ? found.count : found.count * 2);
    mem_free(found.seen);
    return 0;
}

/* ---- CONFIG SET name value [name value ...] ---- */

int cmd_config_set(struct request *request)
{
    const struct server_door *door = &request->here->server->door;
    if (request->argc % 2 != 0) {
        reply_error(request->reply, REPLY_SYNTAX);
        return 0;
    }
    char error[CONFIG_ERROR_BYTES] = "";
    int err = door->config_set(door->context, request->here->shard, request->args + 2,
                               (request->argc - 2) / 2, error);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error);
    } else {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_config_rewrite(struct request *request)
{
    const struct server_door *door = &request->here->server->door;
    char error[CONFIG_ERROR_BYTES] = "";
    if (door->config_rewrite(door->context, request->here->shard, error) < 0) {
        reply_errorf(request->reply, "ERR %s", error);
    } else {
        reply_ok(request->reply);
    }
    return 0;
}

/* ---- CONFIG RESETSTAT ---- */

static int stats_reset(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    memset(here->stats, 0, command_count() * sizeof(*here->stats));
    here->commands_processed = 0;
    here->errors = (struct error_tally){0};
    here->unknown_commands = 0;
    keyspace_reset_stats(here->keyspace);
    return 0;
}

co_fn int cmd_config_resetstat(struct request *request)
{
    int err = shard_call_all(request->here->shard, stats_reset, NULL, 0);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_ok(request->reply);
    }
    return 0;
}
