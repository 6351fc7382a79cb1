#include "cmd/dispatch.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/plant.h"
#include "cmd/call.h"
#include "cmd/command.h"
#include "cmd/monitor.h"
#include "cmd/multi.h"
#include "cmd/park.h"
#include "cmd/remote.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "cmd/slot.h"
#include "cmd/slowlog.h"

/* What is known of a command before it runs; made for a whole batch at a time, so that the cache
 * misses of its keys overlap. */
struct prepared {
    const struct command *command;
    const struct command *container; /* of an unknown subcommand */
    const struct slice *args;
    uint32_t argc;
    uint64_t bytes;
    struct key key; /* the first one, if it has keys */
    uint32_t owner; /* shard of the first key */
    bool has_key;
};

enum { KEYS_SCRATCH_KEEP = 256 };

enum step {
    STEP_TAKEN,
    STEP_BLOCKED, /* by the session's slots: goes on when they end */
    STEP_WAIT,    /* by the shard's state: goes on with here->waiting */
};

/* ---- preparing a batch ---- */

static void prepare_key(struct cmd_shard *here, struct session *session, struct prepared *p)
{
    if ((p->command->flags & CMD_KEYS) == 0 || (uint32_t)p->command->first_key >= p->argc ||
        !command_arity_fits(p->command, p->argc)) {
        return;
    }
    uint32_t space = keyspace_space(here->keyspace, session->database);
    p->key = keyspace_key(here->keyspace, space, p->args[p->command->first_key]);
    p->has_key = true;
    p->owner = p->key.partition % here->server->shards;
    if (p->owner == shard_id(here->shard)) {
        keyspace_prefetch_bucket(here->keyspace, &p->key);
    }
}

static void prepare_batch(struct session *session, const struct net_command *commands,
                          uint32_t count, struct prepared *ret_prepared)
{
    struct cmd_shard *here = session->here;
    for (uint32_t i = 0; i < count; i++) {
        struct prepared *p = &ret_prepared[i];
        *p = (struct prepared){
            .args = commands[i].args, .argc = commands[i].argc, .bytes = commands[i].wire_bytes};
        p->command = command_find(p->args, p->argc, &p->container);
        if (p->command != NULL) {
            prepare_key(here, session, p);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ret_prepared[i].has_key && ret_prepared[i].owner == shard_id(here->shard)) {
            keyspace_prefetch_record(here->keyspace, &ret_prepared[i].key);
        }
    }
}

/* ---- where a reply goes ---- */

/* Behind open slots a reply is written to the scratch output and waits in a slot of its own. */
static void reply_begin(struct session *session)
{
    bool in_turn = session->slots_count == 0;
    session->reply.output = in_turn ? conn_output(session->conn) : &session->here->scratch;
    session->reply.resp = session->resp;
}

static void reply_end(struct session *session)
{
    struct cmd_shard *here = session->here;
    if (LIKELY(session->reply.output != &here->scratch)) {
        return;
    }
    if (slot_add_done(session, &here->scratch) < 0) {
        output_clear(&here->scratch);
        conn_close(session->conn);
    }
}

/* ---- checks before a command runs ---- */

static bool command_pauses(const struct cmd_server *server, const struct command *command,
                           int64_t now_ms)
{
    int64_t until = atomic_load_explicit(&server->pause_until_ms, memory_order_relaxed);
    if (LIKELY(until <= now_ms)) {
        return false;
    }
    if ((command->flags & (CMD_KEYS | CMD_WIDE)) == 0) {
        return false;
    }
    bool writes_only = atomic_load_explicit(&server->pause_writes_only, memory_order_relaxed);
    return !writes_only || (command->flags & CMD_WRITE) != 0;
}

/* net reads a little more than is allowed (options), so that such an argument can be refused here.
 */
static bool has_large_argument(const struct cmd_shard *here, const struct prepared *p)
{
    uint64_t max = here->options.bulk_bytes_max;
    if (LIKELY(p->bytes <= max)) {
        return false;
    }
    for (uint32_t i = 0; i < p->argc; i++) {
        if (p->args[i].bytes > max) {
            return true;
        }
    }
    return false;
}

static bool command_may_run(const struct session *session, const struct prepared *p)
{
    return p->command != NULL && command_arity_fits(p->command, p->argc) &&
           (session->authenticated || (p->command->flags & CMD_NO_AUTH) != 0) &&
           LIKELY(!has_large_argument(session->here, p));
}

static void reply_why_not(struct session *session, const struct prepared *p)
{
    struct reply *reply = &session->reply;
    if (p->command == NULL) {
        if (UNLIKELY(session_is_http(p->args[0]))) {
            session_refuse_http(session);
            return;
        }
        session->here->unknown_commands++;
        session_reply_unknown(reply, p->container, p->args, p->argc);
        return;
    }
    if (!command_arity_fits(p->command, p->argc)) {
        session_reply_arity(reply, p->command);
    } else if (!session->authenticated && (p->command->flags & CMD_NO_AUTH) == 0) {
        reply_error(reply, "NOAUTH Authentication required.");
    } else {
        reply_error(reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    session->here->stats[p->command->index].rejected++;
}

static bool overlaps(const struct command *command)
{
    return (command->flags & CMD_ORDER_FREE) != 0 ||
           ((command->flags & CMD_KEYS) != 0 && (command->flags & CMD_WRITE) == 0);
}

static enum step step_may_start(const struct session *session, const struct command *command)
{
    if (session->slots_count > 0 && (session->slots_write || !overlaps(command))) {
        return STEP_BLOCKED;
    }
    struct cmd_shard *here = session->here;
    if (UNLIKELY(here->exclusive) && (command->flags & (CMD_KEYS | CMD_WIDE)) != 0) {
        return STEP_WAIT;
    }
    if ((command->flags & CMD_WIDE) != 0 && coordinators_full(here)) {
        return STEP_WAIT;
    }
    if (UNLIKELY(command_pauses(here->server, command, shard_now_ms(here->shard)))) {
        return STEP_WAIT;
    }
    return STEP_TAKEN;
}

/* ---- routes ---- */

static void call_release(struct slot *slot)
{
    call_destroy(container_of(slot, struct call, slot));
}

/* A copy of the command with a slot; NULL, with the error replied, if there is no memory. */
static struct call *call_open(struct session *session, const struct prepared *p)
{
    struct call *call = call_create(session->here, session, p->command, p->args, p->argc);
    if (call == NULL) {
        reply_error(&session->reply, "OOM out of memory");
        reply_end(session);
        return NULL;
    }
    slot_open(&call->slot, session, !overlaps(p->command), call_release);
    call->reply.output = &call->slot.output;
    return call;
}

/* Derives the keys; true if all belong to one shard. */
static bool derive_keys(const struct prepared *p, struct request *request)
{
    struct cmd_shard *here = request->here;
    uint32_t self = shard_id(here->shard);
    bool together = true;
    for (uint32_t i = 0; i < request->key_count; i++) {
        request->keys[i] = request_derive_key(request, i);
        uint32_t owner = request->keys[i].partition % here->server->shards;
        together = together && owner == p->owner;
        if (owner == self) {
            keyspace_prefetch_bucket(here->keyspace, &request->keys[i]);
        }
    }
    for (uint32_t i = 0; i < request->key_count && together && p->owner == self; i++) {
        keyspace_prefetch_record(here->keyspace, &request->keys[i]);
    }
    return together;
}

static enum step run_here(struct session *session, const struct prepared *p,
                          struct request *request)
{
    struct cmd_shard *here = session->here;
    if ((p->command->flags & CMD_WRITE) != 0 &&
        UNLIKELY(!keyspace_admits(here->keyspace, p->bytes))) {
        int lasting = keyspace_write_error(here->keyspace);
        if (lasting == 0) {
            return STEP_WAIT;
        }
        session_reply_disk_error(&session->reply, lasting);
        here->stats[p->command->index].rejected++;
        reply_end(session);
        return STEP_TAKEN;
    }
    int err = UNLIKELY(request_is_latched(request)) ? ERR_AGAIN : request_run(request);
    if (LIKELY(err != ERR_AGAIN)) {
        reply_end(session);
        return STEP_TAKEN;
    }
    struct call *call = call_open(session, p);
    if (call != NULL) {
        park_start(call);
    }
    return STEP_TAKEN;
}

static enum step run_spread(struct session *session, const struct prepared *p)
{
    if (UNLIKELY(coordinators_full(session->here))) {
        return STEP_WAIT;
    }
    struct call *call = call_open(session, p);
    if (call != NULL && multi_start(call) < 0) {
        reply_error(&call->reply, "ERR too many commands in progress");
        slot_done(&call->slot);
    }
    return STEP_TAKEN;
}

static void send_batch(struct remote_batch **batch)
{
    if (*batch != NULL) {
        remote_send(*batch);
        *batch = NULL;
    }
}

/* Adds the command to the open batch, opening one if there is none. */
static enum step run_there(struct session *session, const struct prepared *p,
                           struct remote_batch **batch)
{
    struct call *call = call_create(session->here, session, p->command, p->args, p->argc);
    if (call != NULL && *batch == NULL) {
        *batch = remote_open(session, p->owner);
    }
    if (call == NULL || *batch == NULL) {
        call_destroy(call);
        /* What joined the batch from now on would reply ahead of the error. */
        send_batch(batch);
        if (session->slots_write) {
            return STEP_BLOCKED;
        }
        reply_error(&session->reply, "OOM out of memory");
        reply_end(session);
        return STEP_TAKEN;
    }
    remote_add(*batch, call);
    return STEP_TAKEN;
}

/* Room for the keys of a command that runs at once; NULL: no memory. What a large one needed goes
 * with the next small one. */
static struct key *keys_room(struct cmd_shard *here, uint32_t count)
{
    uint32_t room = count > KEYS_SCRATCH_KEEP ? count : KEYS_SCRATCH_KEEP;
    if (room != here->keys_scratch_count) {
        struct key *keys = mem_realloc(here->keys_scratch, room * sizeof(*keys));
        if (keys == NULL) {
            return count <= here->keys_scratch_count ? here->keys_scratch : NULL;
        }
        here->keys_scratch = keys;
        here->keys_scratch_count = room;
    }
    return here->keys_scratch;
}

/* A key that can't exist is refused for writes here, so that no handler has to take a reply back;
 * reads find it absent. */
static bool has_long_key(const struct request *request)
{
    if ((request->command->flags & CMD_WRITE) == 0) {
        return false;
    }
    for (uint32_t i = 0; i < request->key_count; i++) {
        if (request->keys[i].name.bytes > STORE_KEY_BYTES_MAX) {
            return true;
        }
    }
    return false;
}

static enum step run_keys(struct session *session, const struct prepared *p,
                          struct remote_batch **batch)
{
    struct request request;
    request_init(&request, session, p->command, p->args, p->argc);
    struct key one;
    request.key_count = command_key_count(p->command, p->argc);
    bool together = true;
    if (LIKELY(request.key_count == 1)) {
        one = p->key;
        request.keys = &one;
        if (UNLIKELY(one.space != request.space)) {
            one = request_derive_key(&request, 0); /* a SELECT of this batch has come between */
        }
    } else {
        request.keys = keys_room(session->here, request.key_count);
        if (request.keys == NULL) {
            reply_error(&session->reply, "OOM out of memory");
            reply_end(session);
            return STEP_TAKEN;
        }
        together = derive_keys(p, &request);
    }
    if (UNLIKELY(has_long_key(&request))) {
        reply_errorf(&session->reply, "ERR key is too long (at most %d bytes)",
                     STORE_KEY_BYTES_MAX);
        reply_end(session);
        return STEP_TAKEN;
    }
    if (!together) {
        return run_spread(session, p);
    }
    if (p->owner != shard_id(session->here->shard)) {
        return run_there(session, p, batch);
    }
    return run_here(session, p, &request);
}

static enum step run_session(struct session *session, const struct prepared *p)
{
    struct request request;
    request_init(&request, session, p->command, p->args, p->argc);
    IGNORE(request_run(&request), "a session handler replies its errors itself");
    reply_end(session);
    return STEP_TAKEN;
}

static enum step run_wide(struct session *session, const struct prepared *p)
{
    struct call *call = call_open(session, p);
    if (call != NULL && park_start_wide(call) < 0) {
        reply_error(&call->reply, "ERR too many commands in progress");
        slot_done(&call->slot);
    }
    return STEP_TAKEN;
}

/* ---- one command ---- */

/* A command may join the open batch if nothing but the batch is under way, or if it and all that is
 * under way only read; and if it would not be paused by itself. */
static bool joins_batch(const struct session *session, const struct prepared *p,
                        const struct remote_batch *batch)
{
    struct cmd_shard *here = session->here;
    return !command_pauses(here->server, p->command, shard_now_ms(here->shard)) && p->has_key &&
           p->owner == remote_to(batch) && !remote_full(batch) &&
           p->key.name.bytes <= STORE_KEY_BYTES_MAX &&
           command_key_count(p->command, p->argc) == 1 &&
           keyspace_space(here->keyspace, session->database) == p->key.space &&
           (session->slots_count == 1 || overlaps(p->command));
}

/* To those in MONITOR, once, however often the command has to wait and start again. */
static void show_command(struct session *session, const struct prepared *p)
{
    struct cmd_shard *here = session->here;
    if (UNLIKELY(atomic_load_explicit(&here->server->monitors, memory_order_relaxed) > 0) &&
        (p->command->flags & (CMD_SKIP_MONITOR | CMD_ADMIN)) == 0 && !session->shown) {
        session->shown = true;
        monitor_feed(here, session, p->args, p->argc);
    }
}

static enum step step_start(struct session *session, const struct prepared *p,
                            struct remote_batch **batch)
{
    if (*batch != NULL && joins_batch(session, p, *batch)) {
        show_command(session, p);
        return run_there(session, p, batch);
    }
    send_batch(batch);
    enum step may = step_may_start(session, p->command);
    if (may != STEP_TAKEN) {
        return may;
    }
    reply_begin(session); /* a batch that was sent may have changed where replies go */
    show_command(session, p);
    if ((p->command->flags & CMD_KEYS) != 0 && p->has_key) {
        return run_keys(session, p, batch);
    }
    return (p->command->flags & CMD_WIDE) != 0 ? run_wide(session, p) : run_session(session, p);
}

/* The batch goes first: a command that joined it afterwards would reply ahead of this one. */
static enum step step_reject(struct session *session, const struct prepared *p,
                             struct remote_batch **batch)
{
    send_batch(batch);
    if (session->slots_write) {
        return STEP_BLOCKED;
    }
    reply_begin(session);
    reply_why_not(session, p);
    reply_end(session);
    return STEP_TAKEN;
}

static enum step step_run(struct session *session, const struct prepared *p,
                          struct remote_batch **batch)
{
    if (UNLIKELY(session->slots_count >= SLOTS_MAX || session->slots_write)) {
        return STEP_BLOCKED;
    }
    bool skip = session->reply_skip_next;
    session->reply_skip_next = false;
    session->reply.muted = session->reply_off || skip;
    reply_begin(session);
    const struct command *before = session->last_command;
    enum step step;
    if (LIKELY(command_may_run(session, p))) {
        session->last_command = p->command;
        step = step_start(session, p, batch);
    } else {
        step = step_reject(session, p, batch);
    }
    if (UNLIKELY(step != STEP_TAKEN)) {
        session->reply_skip_next = skip;
        session->last_command = before;
    } else {
        session->shown = false;
    }
    return step;
}

static uint32_t dispatch_commands(void *context, struct conn *conn,
                                  const struct net_command *commands, uint32_t count)
{
    struct cmd_shard *here = context;
    struct session *session = conn_user(conn);
    struct prepared prepared[NET_BATCH_MAX];
    ASSERT(count <= NET_BATCH_MAX);
    prepare_batch(session, commands, count, prepared);
    struct remote_batch *batch = NULL;
    enum step step = STEP_TAKEN;
    uint32_t taken = 0;
    for (; taken < count && !conn_is_closing(conn); taken++) {
        step = step_run(session, &prepared[taken], &batch);
        if (step != STEP_TAKEN) {
            break;
        }
        session->commands++;
    }
    send_batch(&batch);
    here->commands_processed += taken;
    if (step == STEP_BLOCKED) {
        session->blocked = true;
    } else if (step == STEP_WAIT) {
        session_wait(session);
    }
    return taken;
}

/* ---- the rest of what net asks ---- */

static void *dispatch_open(void *context, struct conn *conn)
{
    return session_create(context, conn);
}

static void dispatch_close(void *context, struct conn *conn)
{
    (void)context;
    session_destroy(conn_user(conn));
}

static uint64_t dispatch_gate_now(void *context)
{
    const struct cmd_shard *here = context;
    return log_writer_end(here->writer).value;
}

static bool dispatch_gate_open(void *context, uint64_t gate)
{
    const struct cmd_shard *here = context;
    return PLANTED(REPLY_BEFORE_SYNC) || log_gate_open(here->log, (struct lsn){gate});
}

static void dispatch_gate_wanted(void *context, uint64_t gate)
{
    const struct cmd_shard *here = context;
    log_want_durable(here->writer, (struct lsn){gate});
}

static bool dispatch_is_authenticated(void *context, struct conn *conn)
{
    (void)context;
    const struct session *session = conn_user(conn);
    return session != NULL && session->authenticated;
}

struct net_handlers dispatch_net_handlers(struct cmd_shard *here)
{
    return (struct net_handlers){
        .on_open = dispatch_open,
        .on_commands = dispatch_commands,
        .on_close = dispatch_close,
        .gate_now = dispatch_gate_now,
        .gate_open = dispatch_gate_open,
        .gate_wanted = dispatch_gate_wanted,
        .is_authenticated = dispatch_is_authenticated,
        .context = here,
        .errors = &here->errors,
    };
}
