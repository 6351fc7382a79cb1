#include "cmd/call.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cmd/session.h"
#include "cmd/slowlog.h"

/* ---- requests ---- */

void request_init(struct request *request, struct session *session, const struct command *command,
                  const struct slice *args, uint32_t argc)
{
    struct cmd_shard *here = session->here;
    *request = (struct request){
        .command = command,
        .args = args,
        .argc = argc,
        .reply = &session->reply,
        .here = here,
        .session = session,
        .database = session->database,
        .space = keyspace_space(here->keyspace, session->database),
        .no_touch = session->no_touch,
    };
}

struct key request_derive_key(const struct request *request, uint32_t index)
{
    const struct command *command = request->command;
    struct keyspace *keyspace = request->here->keyspace;
    uint32_t database = request->database;
    if (UNLIKELY(command->key_database != NULL)) {
        int other = command->key_database(request->args, request->argc, index);
        bool exists = other >= 0 && (uint32_t)other < request->here->server->databases;
        database = exists ? (uint32_t)other : database; /* if not, the handler refuses */
    }
    uint32_t position = (uint32_t)command->first_key + index * (uint32_t)command->key_step;
    ASSERT(position < request->argc);
    return keyspace_key(keyspace, keyspace_space(keyspace, database), request->args[position]);
}

bool key_equal(const struct key *one, const struct key *other)
{
    return one->hash == other->hash && one->space == other->space &&
           slice_equal(one->name, other->name);
}

int keys_find_same(const struct key *keys, uint32_t count, uint32_t *ret_first)
{
    uint32_t slots = 4;
    while (slots < 2 * count) {
        slots *= 2;
    }
    uint32_t *taken = mem_calloc(slots, sizeof(*taken)); /* index + 1, open addressing */
    if (taken == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)keys[i].hash & (slots - 1);
        while (taken[slot] != 0 && !key_equal(&keys[taken[slot] - 1], &keys[i])) {
            slot = (slot + 1) & (slots - 1);
        }
        if (taken[slot] == 0) {
            taken[slot] = i + 1;
        }
        ret_first[i] = taken[slot] - 1;
    }
    mem_free(taken);
    return 0;
}

int request_run(struct request *request)
{
    struct cmd_shard *here = request->here;
    uint32_t errors = request->reply->errors;
    uint64_t start = clock_ticks();
    int err = request->command->handler(request);
    if (UNLIKELY(err == ERR_AGAIN)) {
        return err;
    }
    uint64_t ns = clock_ticks_to_ns(clock_ticks() - start);
    struct command_stats *stats = &here->stats[request->command->index];
    stats->calls++;
    stats->ns += ns;
    if (UNLIKELY(request->reply->errors != errors)) {
        stats->failed++;
    }
    int64_t limit_us = here->options.slowlog_us;
    if (UNLIKELY(limit_us >= 0 && ns / 1000 >= (uint64_t)limit_us) &&
        (request->command->flags & CMD_SKIP_SLOWLOG) == 0) {
        slowlog_note(here, request->session, request->args, request->argc, (int64_t)(ns / 1000));
    }
    return err;
}

/* ---- calls ---- */

struct call_layout {
    size_t keys, loads, args, bytes, total;
};

static struct call_layout call_layout_of(const struct slice *args, uint32_t argc, uint32_t keys)
{
    struct call_layout layout;
    layout.keys = align_up(sizeof(struct call), 16);
    layout.loads = align_up(layout.keys + keys * sizeof(struct key), 16);
    layout.args = align_up(layout.loads + keys * sizeof(struct call_load), 16);
    layout.bytes = layout.args + argc * sizeof(struct slice);
    layout.total = layout.bytes;
    for (uint32_t i = 0; i < argc; i++) {
        layout.total += args[i].bytes;
    }
    return layout;
}

static void call_copy_args(struct slice *to, uint8_t *bytes, const struct slice *args,
                           uint32_t argc)
{
    for (uint32_t i = 0; i < argc; i++) {
        memcpy(bytes, args[i].data, args[i].bytes);
        to[i] = (struct slice){bytes, args[i].bytes};
        bytes += args[i].bytes;
    }
}

struct call *call_create(struct cmd_shard *here, struct session *session,
                         const struct command *command, const struct slice *args, uint32_t argc)
{
    uint32_t keys = (command->flags & CMD_KEYS) != 0 ? command_key_count(command, argc) : 0;
    struct call_layout layout = call_layout_of(args, argc, keys);
    uint8_t *memory = mem_alloc(layout.total);
    if (memory == NULL) {
        return NULL;
    }
    struct call *call = (struct call *)memory;
    memset(memory, 0, layout.args);
    struct slice *copies = (struct slice *)(memory + layout.args);
    call_copy_args(copies, memory + layout.bytes, args, argc);
    request_init(&call->request, session, command, copies, argc);
    call->reply = (struct reply){
        .tally = &here->errors, .resp = session->resp, .muted = session->reply.muted};
    call->loads = (struct call_load *)(memory + layout.loads);
    call->request.here = here;
    call->request.reply = &call->reply;
    call->request.key_count = keys;
    call->request.keys = (struct key *)(memory + layout.keys);
    return call;
}

void call_destroy(struct call *call)
{
    mem_free(call);
}

/* ---- getting ready ----
 *
 * First all keys are fetched and pinned (call_fetch), then, just before the command runs, it queues
 * for latches if others hold any of its keys (call_latch). In this order, because a call that holds
 * latches must not wait for anything but the disk: several calls of a batch that latched early
 * would wait for each other.
 */

static bool call_needs_values(const struct call *call)
{
    const struct request *request = &call->request;
    return request->command->is_blind == NULL ||
           !request->command->is_blind(request->args, request->argc);
}

bool request_is_latched(const struct request *request)
{
    const struct keyspace *keyspace = request->here->keyspace;
    if (LIKELY(!latch_any(keyspace))) {
        return false;
    }
    bool write = (request->command->flags & CMD_WRITE) != 0;
    for (uint32_t i = 0; i < request->key_count; i++) {
        if (latch_blocks(keyspace, &request->keys[i], write)) {
            return true;
        }
    }
    return false;
}

static void call_loaded(struct key_load *load, int result)
{
    struct call_load *mine = container_of(load, struct call_load, load);
    struct call *call = mine->call;
    if (result < 0) {
        call->error = result;
    } else {
        mine->pinned = true;
    }
    ASSERT(call->loading > 0);
    call->loading--;
    if (call->loading == 0) {
        call->ready(call);
    }
}

bool call_fetch(struct call *call, struct cmd_shard *here, call_ready_fn *ready)
{
    struct request *request = &call->request;
    struct keyspace *keyspace = here->keyspace;
    request->here = here;
    request->space = keyspace_space(keyspace, request->database);
    for (uint32_t i = 0; i < request->key_count; i++) {
        request->keys[i] = request_derive_key(request, i);
    }
    call->ready = ready;
    for (uint32_t i = 0; i < request->key_count && call_needs_values(call); i++) {
        struct call_load *load = &call->loads[i];
        load->call = call;
        load->pinned = keyspace_pin(keyspace, &request->keys[i]);
        if (!load->pinned) {
            load->load = (struct key_load){
                .done = call_loaded, .keyspace = keyspace, .key = request->keys[i]};
            call->loading++;
            keyspace_load(keyspace, &load->load);
        }
    }
    return call->loading == 0;
}

/* One latch for each distinct key; NULL: no memory. */
static struct latch_key *call_latch_keys(const struct call *call, uint32_t *ret_count)
{
    const struct request *request = &call->request;
    bool write = (request->command->flags & CMD_WRITE) != 0;
    struct latch_key *keys = mem_alloc(request->key_count * sizeof(*keys));
    uint32_t *first = mem_alloc(request->key_count * sizeof(*first));
    if (keys == NULL || first == NULL ||
        keys_find_same(request->keys, request->key_count, first) < 0) {
        mem_free(keys);
        mem_free(first);
        return NULL;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->key_count; i++) {
        if (first[i] == i) {
            keys[count++] = (struct latch_key){.key = request->keys[i], .exclusive = write};
        }
    }
    mem_free(first);
    *ret_count = count;
    return keys;
}

static void call_latched(struct latch_request *latch)
{
    struct call *call = container_of(latch, struct call, latch);
    call->ready(call);
}

bool call_latch(struct call *call, call_ready_fn *ready)
{
    if (call->latch.keys != NULL || call->error < 0 ||
        LIKELY(!request_is_latched(&call->request))) {
        return true;
    }
    uint32_t count;
    struct latch_key *keys = call_latch_keys(call, &count);
    if (keys == NULL) {
        call->error = ERR_MEMORY;
        return true;
    }
    call->ready = ready;
    call->latch = (struct latch_request){.done = call_latched, .keys = keys, .count = count};
    int held = latch_acquire(call->request.here->keyspace, &call->latch);
    if (held < 0) {
        call->error = held;
        call->latch.keys = NULL;
        mem_free(keys);
    }
    return held != 0;
}

static void call_let_go(struct call *call)
{
    struct keyspace *keyspace = call->request.here->keyspace;
    for (uint32_t i = 0; i < call->request.key_count; i++) {
        if (call->loads[i].pinned) {
            keyspace_unpin(keyspace, &call->request.keys[i]);
            call->loads[i].pinned = false;
        }
    }
    if (call->latch.keys != NULL) {
        latch_release(&call->latch);
        mem_free(call->latch.keys);
        call->latch.keys = NULL;
    }
}

void call_run(struct call *call)
{
    if (call->error < 0) {
        reply_errorf(&call->reply, "ERR reading from the store failed: %s",
                     error_text(call->error));
    } else if (call->refused < 0) {
        session_reply_disk_error(&call->reply, call->refused);
        call->request.here->stats[call->request.command->index].rejected++;
    } else {
        int err = request_run(&call->request);
        ASSERT(err != ERR_AGAIN); /* all keys are pinned */
    }
    call_let_go(call);
}
