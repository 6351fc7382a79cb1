#include "cmd/slowlog.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/redact.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "io/socket.h"

enum {
    SLOWLOG_ARGS_MAX = 32,
    SLOWLOG_ARG_BYTES_MAX = 128,
    SLOWLOG_NAME_BYTES = SOCKET_NAME_BYTES,
    SLOWLOG_GET_DEFAULT = 10,
};

struct slowlog_entry {
    struct list_node node;
    uint64_t id;
    int64_t time_s;
    int64_t us;
    char peer[SLOWLOG_NAME_BYTES];
    char *name; /* owned, NULL if unset */
    uint32_t argc;
    struct slice args[SLOWLOG_ARGS_MAX]; /* owned */
};

/* ---- entries ---- */

static void entry_destroy(struct slowlog_entry *entry)
{
    for (uint32_t i = 0; i < entry->argc; i++) {
        mem_free((void *)entry->args[i].data);
    }
    mem_free(entry->name);
    mem_free(entry);
}

/* Shortened as Redis does it: "... (N more bytes)". */
static int entry_add_arg(struct slowlog_entry *entry, struct slice arg)
{
    uint8_t *copy = mem_alloc(SLOWLOG_ARG_BYTES_MAX + 40);
    if (copy == NULL) {
        return ERR_MEMORY;
    }
    size_t bytes = arg.bytes < SLOWLOG_ARG_BYTES_MAX ? arg.bytes : SLOWLOG_ARG_BYTES_MAX;
    memcpy(copy, arg.data, bytes);
    if (arg.bytes > SLOWLOG_ARG_BYTES_MAX) {
        bytes += (size_t)snprintf((char *)copy + bytes, 40, "... (%zu more bytes)",
                                  arg.bytes - SLOWLOG_ARG_BYTES_MAX);
    }
    entry->args[entry->argc++] = (struct slice){copy, bytes};
    return 0;
}

static int entry_add_args(struct slowlog_entry *entry, const struct slice *args, uint32_t argc)
{
    uint32_t shown = argc > SLOWLOG_ARGS_MAX ? SLOWLOG_ARGS_MAX - 1 : argc;
    for (uint32_t i = 0; i < shown; i++) {
        TRY(entry_add_arg(entry, redact_arg(args, argc, i)));
    }
    if (shown < argc) {
        char more[48];
        int bytes = snprintf(more, sizeof(more), "... (%u more arguments)", argc - shown);
        TRY(entry_add_arg(entry, (struct slice){(uint8_t *)more, (size_t)bytes}));
    }
    return 0;
}

void slowlog_note(struct cmd_shard *here, const struct session *session, const struct slice *args,
                  uint32_t argc, int64_t us)
{
    struct slowlog_entry *entry = mem_calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return;
    }
    entry->id = atomic_fetch_add(&here->server->slowlog_next_id, 1);
    entry->time_s = shard_now_ms(here->shard) / 1000;
    entry->us = us;
    if (session != NULL) {
        struct conn_info info;
        conn_info(session->conn, &info);
        snprintf(entry->peer, sizeof(entry->peer), "%s", info.peer);
        entry->name = session->name != NULL ? mem_dup_cstr(session->name) : NULL;
    }
    if (entry_add_args(entry, args, argc) < 0) {
        entry_destroy(entry);
        return;
    }
    list_push_front(&here->slowlog, &entry->node);
    here->slowlog_entries++;
    slowlog_trim(here);
}

void slowlog_trim(struct cmd_shard *here)
{
    while (here->slowlog_entries > here->options.slowlog_entries_max) {
        struct list_node *oldest = list_pop_back(&here->slowlog);
        here->slowlog_entries--;
        entry_destroy(container_of(oldest, struct slowlog_entry, node));
    }
}

void slowlog_clear(struct cmd_shard *here)
{
    struct list_node *node;
    while ((node = list_pop_front(&here->slowlog)) != NULL) {
        entry_destroy(container_of(node, struct slowlog_entry, node));
    }
    here->slowlog_entries = 0;
}

/* ---- SLOWLOG ---- */

/* What one shard has: entries written as reply bytes, with their ids, so that the asker can merge
 * them. */
struct slowlog_part {
    struct output output;
    uint8_t resp;
    uint64_t *ids;
    size_t *ends; /* where each entry ends in the output */
    uint32_t count;
    uint32_t next; /* the asker's: entries taken */
};

static void entry_reply(struct reply *reply, const struct slowlog_entry *entry)
{
    reply_array(reply, 6);
    reply_i64(reply, (int64_t)entry->id);
    reply_i64(reply, entry->time_s);
    reply_i64(reply, entry->us);
    reply_array(reply, entry->argc);
    for (uint32_t i = 0; i < entry->argc; i++) {
        reply_bulk(reply, entry->args[i]);
    }
    reply_bulk_cstr(reply, entry->peer);
    reply_bulk_cstr(reply, entry->name != NULL ? entry->name : "");
}

static int slowlog_read(struct shard *there, void *argument)
{
    struct slowlog_part *part = argument;
    const struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    if (here->slowlog_entries == 0) {
        return 0;
    }
    part->ids = mem_calloc(here->slowlog_entries, sizeof(*part->ids));
    part->ends = mem_calloc(here->slowlog_entries, sizeof(*part->ends));
    if (part->ids == NULL || part->ends == NULL) {
        return ERR_MEMORY;
    }
    struct reply reply = {.output = &part->output, .resp = part->resp};
    LIST_FOREACH (&here->slowlog, node) {
        const struct slowlog_entry *entry = container_of(node, struct slowlog_entry, node);
        entry_reply(&reply, entry);
        part->ids[part->count] = entry->id;
        part->ends[part->count++] = output_bytes(&part->output);
    }
    return 0;
}

/* The part whose next entry is the newest; NULL: none is left. */
static struct slowlog_part *slowlog_newest(struct slowlog_part *parts, uint32_t count)
{
    struct slowlog_part *newest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct slowlog_part *part = &parts[i];
        if (part->next < part->count &&
            (newest == NULL || part->ids[part->next] > newest->ids[newest->next])) {
            newest = part;
        }
    }
    return newest;
}

static void slowlog_merge(struct request *request, struct slowlog_part *parts, uint64_t wanted)
{
    uint32_t shards = request->here->server->shards;
    uint64_t total = 0;
    for (uint32_t i = 0; i < shards; i++) {
        total += parts[i].count;
    }
    total = total < wanted ? total : wanted;
    reply_array(request->reply, total);
    for (uint64_t i = 0; i < total; i++) {
        struct slowlog_part *part = slowlog_newest(parts, shards);
        size_t from = part->next > 0 ? part->ends[part->next - 1] : 0;
        size_t to = part->ends[part->next++];
        output_append(request->reply->output,
                      (struct slice){part->output.bytes.data + from, to - from});
    }
}

co_fn int cmd_slowlog_get(struct request *request)
{
    int64_t wanted = SLOWLOG_GET_DEFAULT;
    if (request->argc > 3) {
        session_reply_usage(request->reply, request->command, request->args[1]);
        return 0;
    }
    if (request->argc == 3 && (number_parse_i64(request->args[2], &wanted) < 0 || wanted < -1)) {
        reply_error(request->reply, "ERR count should be greater than or equal to -1");
        return 0;
    }
    uint32_t shards = request->here->server->shards;
    struct slowlog_part *parts = mem_calloc(shards, sizeof(*parts));
    if (parts == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return 0;
    }
    for (uint32_t i = 0; i < shards; i++) {
        output_init(&parts[i].output, SIZE_MAX);
        parts[i].resp = request->reply->resp;
    }
    int err = shard_call_all(request->here->shard, slowlog_read, parts, sizeof(parts[0]));
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        slowlog_merge(request, parts, wanted < 0 ? UINT64_MAX : (uint64_t)wanted);
    }
    for (uint32_t i = 0; i < shards; i++) {
        output_deinit(&parts[i].output);
        mem_free(parts[i].ids);
        mem_free(parts[i].ends);
    }
    mem_free(parts);
    return 0;
}

static int slowlog_count(struct shard *there, void *argument)
{
    const struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    *(uint64_t *)argument = here->slowlog_entries;
    return 0;
}

co_fn int cmd_slowlog_len(struct request *request)
{
    uint64_t counts[SHARDS_MAX] = {0};
    int err = shard_call_all(request->here->shard, slowlog_count, counts, sizeof(counts[0]));
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
        return 0;
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        total += counts[i];
    }
    reply_i64(request->reply, (int64_t)total);
    return 0;
}

static int slowlog_reset(struct shard *there, void *argument)
{
    (void)argument;
    slowlog_clear(shard_slot(there, SHARD_SLOT_CMD));
    return 0;
}

co_fn int cmd_slowlog_reset(struct request *request)
{
    int err = shard_call_all(request->here->shard, slowlog_reset, NULL, 0);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_ok(request->reply);
    }
    return 0;
}
