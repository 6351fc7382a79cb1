#include "cmd/multi.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "cmd/park.h"
#include "cmd/session.h"
#include "data/foreign.h"
#include "data/latch.h"
#include "shard/await.h"

enum { MULTI_RETRY_NS = 1000000 };

/* What one shard does of the command. Lives on the coordinator's heap; while a shard_call for it
 * runs it belongs to that shard. */
struct multi_part {
    struct multi *multi;
    struct latch_request latch; /* this part's distinct keys */
    struct coro *waiter;
    uint64_t gate; /* what was read there lies below it in the log */
    uint32_t loading;
    int error;
    bool latched;
};

struct multi_key {
    struct view view;
    struct change change;
    struct multi_part *part; /* of its owner */
    struct key_load load;
    uint32_t same; /* index of the first key that is the same */
    bool changed;
    bool pinned;
    bool reserved; /* memory for a change at the owner */
};

struct multi {
    struct call *call;
    struct multi_part parts[SHARDS_MAX];
    struct multi_key *keys;
    uint32_t key_count;
    struct lsn logged; /* below it: all changes */
    bool write;
    bool needs_values;
};

/* ---- what the handler sees ---- */

void multi_view(const struct multi *multi, uint32_t index, struct view *ret_view)
{
    ASSERT(multi->needs_values);
    const struct multi_key *key = &multi->keys[multi->keys[index].same];
    if (!key->changed) {
        *ret_view = key->view;
        return;
    }
    const struct put *put = &key->change.put;
    *ret_view = (struct view){
        .exists = !key->change.remove,
        .type = put->type,
        .meta = put->meta,
        .expire_ms = put->expire_ms,
        .value = put->blob != NULL ? (struct slice){blob_data(put->blob), blob_bytes(put->blob)}
                                   : put->value,
        .blob = put->blob,
    };
}

static struct multi_key *multi_change(struct multi *multi, uint32_t index)
{
    ASSERT(multi->write);
    struct multi_key *key = &multi->keys[multi->keys[index].same];
    keyspace_discard(&key->change);
    key->changed = true;
    key->change = (struct change){.key = multi->call->request.keys[index]};
    return key;
}

int multi_put(struct multi *multi, uint32_t index, const struct put *put)
{
    uint64_t bytes = put->blob != NULL ? blob_bytes(put->blob) : put->value.bytes;
    bool long_key = multi->call->request.keys[index].name.bytes > STORE_KEY_BYTES_MAX;
    if (long_key || bytes > STORE_VALUE_BYTES_MAX) {
        if (put->blob != NULL) {
            blob_drop(put->blob);
        }
        return long_key ? ERR_KEY_TOO_LONG : ERR_VALUE_TOO_LARGE;
    }
    multi_change(multi, index)->change.put = *put;
    return 0;
}

bool multi_remove(struct multi *multi, uint32_t index)
{
    struct view view;
    multi_view(multi, index, &view);
    if (view.exists) {
        multi_change(multi, index)->change.remove = true;
    }
    return view.exists;
}

/* ---- at an owner: latch and fetch ---- */

static void multi_loaded(struct key_load *load, int result)
{
    struct multi_key *key = container_of(load, struct multi_key, load);
    struct multi_part *part = key->part;
    if (result < 0) {
        part->error = result;
    } else {
        key->pinned = true;
    }
    part->loading--;
    if (part->loading == 0 && part->waiter != NULL) {
        co_ready(part->waiter);
    }
}

static co_fn int part_fetch(struct keyspace *keyspace, struct multi_part *part)
{
    struct multi *multi = part->multi;
    part->waiter = NULL;
    for (uint32_t i = 0; i < multi->key_count; i++) {
        struct multi_key *key = &multi->keys[i];
        if (key->part != part || key->same != i) {
            continue;
        }
        key->pinned = keyspace_pin(keyspace, &multi->call->request.keys[i]);
        if (!key->pinned) {
            key->load = (struct key_load){
                .done = multi_loaded, .keyspace = keyspace, .key = multi->call->request.keys[i]};
            part->loading++;
            keyspace_load(keyspace, &key->load);
        }
    }
    if (part->loading > 0) {
        part->waiter = coro_self();
        co_park();
    }
    return part->error;
}

/* A copy of the value that outlives the record and may be read by the coordinator's thread. */
static int view_detach(struct view *view)
{
    if (view->blob != NULL) {
        blob_hold(view->blob);
        return 0;
    }
    if (view->value.bytes == 0) {
        view->value = (struct slice){NULL, 0};
        return 0;
    }
    uint8_t *copy = mem_alloc(view->value.bytes);
    if (copy == NULL) {
        return ERR_MEMORY;
    }
    memcpy(copy, view->value.data, view->value.bytes);
    view->value.data = copy;
    return 0;
}

static void view_discard(struct view *view)
{
    if (view->blob != NULL) {
        blob_drop(view->blob);
    } else {
        mem_free((void *)view->value.data);
    }
    *view = (struct view){.exists = false};
}

static int part_copy_views(struct cmd_shard *here, struct multi_part *part)
{
    struct multi *multi = part->multi;
    struct request request = multi->call->request;
    request.here = here;
    request.multi = NULL;
    for (uint32_t i = 0; i < multi->key_count; i++) {
        struct multi_key *key = &multi->keys[i];
        if (key->part != part || key->same != i) {
            continue;
        }
        struct view view;
        TRY(view_key(&request, i, &view));
        if (view.exists) {
            TRY(view_detach(&view));
            key->view = view;
        }
    }
    return 0;
}

static void part_latched(struct latch_request *latch)
{
    co_ready(container_of(latch, struct multi_part, latch)->waiter);
}

static co_fn int part_latch(struct keyspace *keyspace, struct multi_part *part)
{
    part->latch.done = part_latched;
    if (PLANTED(MULTI_WITHOUT_LATCHES)) {
        return 0;
    }
    part->waiter = coro_self();
    int held = latch_acquire(keyspace, &part->latch);
    if (held < 0) {
        return held;
    }
    part->latched = true;
    if (held == 0) {
        co_park();
    }
    part->waiter = NULL;
    return 0;
}

/* Memory for whatever the handler will change: once it is logged there is no way back. */
static int part_reserve(struct keyspace *keyspace, const struct multi_part *part)
{
    struct multi *multi = part->multi;
    for (uint32_t i = 0; multi->write && i < multi->key_count; i++) {
        struct multi_key *key = &multi->keys[i];
        if (key->part == part && key->same == i) {
            TRY(keyspace_reserve(keyspace, &multi->call->request.keys[i]));
            key->reserved = true;
        }
    }
    return 0;
}

static co_fn int part_begin(struct shard *there, void *argument)
{
    struct multi_part *part = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    TRY(part_latch(here->keyspace, part));
    TRY(part_reserve(here->keyspace, part));
    if (!part->multi->needs_values) {
        return 0;
    }
    TRY(part_fetch(here->keyspace, part));
    TRY(part_copy_views(here, part));
    log_flush(here->writer);
    part->gate = log_writer_end(here->writer).value;
    return 0;
}

/* ---- at an owner: apply and let go ---- */

static int part_end(struct shard *there, void *argument)
{
    struct multi_part *part = argument;
    struct multi *multi = part->multi;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    for (uint32_t i = 0; i < multi->key_count; i++) {
        struct multi_key *key = &multi->keys[i];
        if (key->part != part || key->same != i) {
            continue;
        }
        if (key->changed) {
            keyspace_apply(here->keyspace, &key->change);
        } else if (key->reserved) {
            keyspace_unreserve(here->keyspace, &multi->call->request.keys[i]);
        }
        if (key->pinned) {
            keyspace_unpin(here->keyspace, &multi->call->request.keys[i]);
        }
    }
    /* Who reads it here from now on must not show it before it is as durable as replies have to be.
     */
    log_writer_saw(here->writer, multi->logged);
    if (part->latched) {
        latch_release(&part->latch);
    }
    return 0;
}

/* ---- the coordinator ---- */

static void multi_free(struct multi *multi)
{
    for (uint32_t i = 0; i < multi->key_count; i++) {
        view_discard(&multi->keys[i].view);
    }
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        mem_free(multi->parts[i].latch.keys);
    }
    mem_free(multi->keys);
    mem_free(multi);
}

static int multi_find_same(struct multi *multi)
{
    uint32_t *first = mem_alloc(multi->key_count * sizeof(*first));
    int err = first == NULL ? ERR_MEMORY
                            : keys_find_same(multi->call->request.keys, multi->key_count, first);
    for (uint32_t i = 0; i < multi->key_count && err == 0; i++) {
        multi->keys[i].same = first[i];
    }
    mem_free(first);
    return err;
}

/* Gives every distinct key to the part of its owner. */
static int multi_divide(struct multi *multi, uint32_t shards)
{
    const struct request *request = &multi->call->request;
    TRY(multi_find_same(multi));
    for (uint32_t i = 0; i < multi->key_count; i++) {
        struct multi_key *key = &multi->keys[i];
        key->part = &multi->parts[request->keys[i].partition % shards];
        key->part->multi = multi;
        key->part->latch.count += key->same == i;
    }
    for (uint32_t s = 0; s < shards; s++) {
        struct multi_part *part = &multi->parts[s];
        if (part->latch.count == 0) {
            continue;
        }
        part->latch.keys = mem_calloc(part->latch.count, sizeof(*part->latch.keys));
        if (part->latch.keys == NULL) {
            return ERR_MEMORY;
        }
        part->latch.foreign_write = multi->write;
        part->latch.count = 0;
    }
    for (uint32_t i = 0; i < multi->key_count; i++) {
        struct latch_request *latch = &multi->keys[i].part->latch;
        if (multi->keys[i].same == i) {
            latch->keys[latch->count++] =
                (struct latch_key){.key = request->keys[i], .exclusive = multi->write};
        }
    }
    return 0;
}

static struct multi *multi_create(struct call *call)
{
    struct request *request = &call->request;
    struct multi *multi = mem_calloc(1, sizeof(*multi));
    if (multi == NULL) {
        return NULL;
    }
    multi->call = call;
    multi->key_count = request->key_count;
    multi->write = (request->command->flags & CMD_WRITE) != 0;
    multi->needs_values = request->command->is_blind == NULL ||
                          !request->command->is_blind(request->args, request->argc);
    multi->keys = mem_calloc(multi->key_count, sizeof(*multi->keys));
    for (uint32_t i = 0; i < request->key_count; i++) {
        request->keys[i] = request_derive_key(request, i);
    }
    if (multi->keys == NULL || multi_divide(multi, request->here->server->shards) < 0) {
        multi->key_count = multi->keys == NULL ? 0 : multi->key_count;
        multi_free(multi);
        return NULL;
    }
    return multi;
}

/* Waits until a write is admitted; replies a lasting error and returns it. */
static co_fn int multi_await_room(struct multi *multi)
{
    struct request *request = &multi->call->request;
    struct cmd_shard *here = request->here;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < request->argc; i++) {
        bytes += request->args[i].bytes;
    }
    while (multi->write && !keyspace_admits(here->keyspace, bytes)) {
        int lasting = keyspace_write_error(here->keyspace);
        if (lasting < 0) {
            session_reply_disk_error(&multi->call->reply, lasting);
            return lasting;
        }
        await_sleep_ns(here->shard, MULTI_RETRY_NS);
    }
    return 0;
}

static int multi_prepare(struct multi *multi)
{
    for (uint32_t i = 0; i < multi->key_count; i++) {
        if (multi->keys[i].changed) {
            TRY(keyspace_prepare(&multi->keys[i].change));
        }
    }
    return 0;
}

/* One log record for all changes, in the stream before any of them is applied. */
static int multi_log(struct multi *multi)
{
    struct cmd_shard *here = multi->call->request.here;
    TRY(multi_prepare(multi));
    struct change *changes = mem_alloc(multi->key_count * sizeof(*changes));
    if (changes == NULL) {
        return ERR_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < multi->key_count; i++) {
        if (multi->keys[i].changed) {
            changes[count++] = multi->keys[i].change;
        }
    }
    int err = count > 0 ? keyspace_log_changes(here->keyspace, changes, count) : 0;
    if (count > 0 && err == 0) {
        log_flush(here->writer);
        multi->logged = log_writer_end(here->writer);
    }
    mem_free(changes);
    return err;
}

static void multi_forget_changes(struct multi *multi)
{
    for (uint32_t i = 0; i < multi->key_count; i++) {
        keyspace_discard(&multi->keys[i].change);
        multi->keys[i].changed = false;
    }
}

/* The handler between latching and applying. */
static void multi_execute(struct multi *multi)
{
    struct request *request = &multi->call->request;
    request->multi = multi;
    IGNORE(request_run(request), "the handler replies its errors itself");
    request->multi = NULL;
    if (multi_log(multi) < 0) {
        multi_forget_changes(multi);
        output_clear(multi->call->reply.output);
        reply_error(&multi->call->reply, "OOM out of memory");
    }
}

/* Latches must be given back, however few coroutines the owner has left. */
static co_fn void multi_end_part(struct shard *self, uint32_t owner, struct multi_part *part)
{
    while (shard_call(self, owner, part_end, part) < 0) {
        await_sleep_ns(self, MULTI_RETRY_NS);
    }
}

static co_fn void multi_run(struct multi *multi)
{
    struct request *request = &multi->call->request;
    struct shard *self = request->here->shard;
    uint32_t shards = request->here->server->shards;
    if (multi_await_room(multi) < 0) {
        return;
    }
    int err = 0;
    for (uint32_t s = 0; s < shards && err == 0; s++) {
        if (multi->parts[s].latch.count > 0) {
            err = shard_call(self, s, part_begin, &multi->parts[s]);
        }
    }
    if (err == 0) {
        multi_execute(multi);
    } else if (err == ERR_MEMORY) {
        reply_error(&multi->call->reply, "OOM out of memory");
    } else {
        reply_errorf(&multi->call->reply, "ERR reading from the store failed: %s", error_text(err));
    }
    for (uint32_t s = 0; s < shards; s++) {
        if (multi->parts[s].latch.count > 0) {
            multi_end_part(self, s, &multi->parts[s]);
        }
    }
}

/* The reply may show what any of the shards had in its log. */
static uint64_t multi_gate(const struct multi *multi)
{
    uint64_t gate = log_writer_end(multi->call->request.here->writer).value;
    for (uint32_t s = 0; s < SHARDS_MAX; s++) {
        gate = multi->parts[s].gate > gate ? multi->parts[s].gate : gate;
    }
    return gate;
}

static co_fn void multi_main(void *argument)
{
    struct call *call = argument;
    struct cmd_shard *here = call->request.here;
    struct multi *multi = multi_create(call);
    if (multi == NULL) {
        reply_error(&call->reply, "OOM out of memory");
    } else {
        multi_run(multi);
        call->slot.gate = multi_gate(multi);
        multi_free(multi);
    }
    executing_end(here);
    coordinator_end(here);
    slot_done(&call->slot);
}

int multi_start(struct call *call)
{
    struct cmd_shard *here = call->request.here;
    TRY(coro_start(shard_sched(here->shard), call->request.command->name, CORO_NORMAL, multi_main,
                   call));
    executing_begin(here);
    coordinator_begin(here);
    return 0;
}
