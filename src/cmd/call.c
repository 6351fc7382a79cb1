#include "cmd/call.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
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
        database = other >= 0 ? (uint32_t)other : database;
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
        here->error_replies++;
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
    call->reply = (struct reply){.resp = session->resp, .muted = session->reply.muted};
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
 *   call_make_ready → [latched by others: call_latch … call_latched] → call_fetch … call_loaded →
 * call_fetched call_fetched    → [latched meanwhile: call_latch … call_latched] → ready
 *
 * Once the call holds latches itself nothing can come between any more. Steps marked with dots end
 * in a callback.
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

static void call_loaded(struct key_load *load, int result);
static void call_latched(struct latch_request *latch);

/* True: all keys are resident and pinned. */
static bool call_fetch(struct call *call)
{
    struct request *request = &call->request;
    struct keyspace *keyspace = request->here->keyspace;
    if (!call_needs_values(call)) {
        return true;
    }
    for (uint32_t i = 0; i < request->key_count; i++) {
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

static uint32_t call_distinct_keys(const struct call *call, struct latch_key *ret_keys)
{
    const struct request *request = &call->request;
    bool write = (request->command->flags & CMD_WRITE) != 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->key_count; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < count && !seen; j++) {
            seen = key_equal(&ret_keys[j].key, &request->keys[i]);
        }
        if (!seen) {
            ret_keys[count++] = (struct latch_key){.key = request->keys[i], .exclusive = write};
        }
    }
    return count;
}

/* True: latches are held, or can't be had (error set). */
static bool call_latch(struct call *call)
{
    struct latch_key *keys = mem_alloc(call->request.key_count * sizeof(*keys));
    if (keys == NULL) {
        call->error = ERR_MEMORY;
        return true;
    }
    uint32_t count = call_distinct_keys(call, keys);
    call->latch = (struct latch_request){.done = call_latched, .keys = keys, .count = count};
    int held = latch_acquire(call->request.here->keyspace, &call->latch);
    if (held < 0) {
        call->error = held;
        call->latch.keys = NULL;
        mem_free(keys);
    }
    return held != 0;
}

/* All keys are there. True: nobody has latched one meanwhile, or we hold the latches. */
static bool call_fetched(struct call *call)
{
    if (call->latch.keys != NULL || call->error < 0 || !request_is_latched(&call->request)) {
        return true;
    }
    call->fetched = true;
    return call_latch(call);
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
    if (call->loading == 0 && call_fetched(call)) {
        call->ready(call);
    }
}

static void call_latched(struct latch_request *latch)
{
    struct call *call = container_of(latch, struct call, latch);
    if (call->fetched || call_fetch(call)) {
        call->ready(call);
    }
}

bool call_make_ready(struct call *call, struct cmd_shard *here, call_ready_fn *ready)
{
    struct request *request = &call->request;
    request->here = here;
    request->space = keyspace_space(here->keyspace, request->database);
    for (uint32_t i = 0; i < request->key_count; i++) {
        request->keys[i] = request_derive_key(request, i);
    }
    call->ready = ready;
    if (request_is_latched(request) && !call_latch(call)) {
        return false;
    }
    if (call->error < 0) {
        return true;
    }
    return call_fetch(call) && call_fetched(call);
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
    } else {
        int err = request_run(&call->request);
        ASSERT(err != ERR_AGAIN); /* all keys are pinned */
    }
    call_let_go(call);
}
