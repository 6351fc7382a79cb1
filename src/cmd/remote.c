#include "cmd/remote.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "cmd/park.h"

/*
 * States of a batch, and who moves it on:
 *
 *     open       connection's shard, remote_add         → sent      remote_send
 *     sent       mailbox                                → held      remote_arrive, in an exclusive
 *                                                                   section or with a full log
 *                                                       → fetching  remote_arrive
 *     held       owner's list                           → fetching  remote_start_held
 *     fetching   loads under way                        → running   when the last key is there
 *     running    in order; a call whose keys others have latched waits, and those behind it
 *                                                       → executed  after the last call
 *     executed   owner's list until its log flush       → returned  remote_return_executed
 *     returned   mailbox                                → freed     remote_come_back
 */
struct remote_batch {
    struct message message;
    struct list_node node; /* owner's lists */
    struct slot slot;
    struct list calls;
    struct list_node *next; /* of the calls: the first that hasn't run */
    struct output output;
    uint64_t gate;
    uint64_t bytes; /* of what it may write, for admission */
    uint32_t to;
    uint32_t count;
    uint32_t fetching; /* calls whose keys are not all there */
    int refused;       /* why none of its writes may run */
    bool write;
};

static void remote_release(struct slot *slot)
{
    struct remote_batch *batch = container_of(slot, struct remote_batch, slot);
    struct list_node *node;
    while ((node = list_pop_front(&batch->calls)) != NULL) {
        call_destroy(container_of(node, struct call, node));
    }
    output_deinit(&batch->output);
    mem_free(batch);
}

struct remote_batch *remote_open(struct session *session, uint32_t to)
{
    struct remote_batch *batch = mem_calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    batch->to = to;
    list_init(&batch->calls);
    output_init(&batch->output, SIZE_MAX);
    slot_open(&batch->slot, session, false, remote_release);
    return batch;
}

void remote_add(struct remote_batch *batch, struct call *call)
{
    ASSERT(!remote_full(batch));
    list_push_back(&batch->calls, &call->node);
    batch->count++;
    if ((call->request.command->flags & CMD_WRITE) != 0) {
        batch->write = true;
        for (uint32_t i = 0; i < call->request.argc; i++) {
            batch->bytes += call->request.args[i].bytes;
        }
    }
}

uint32_t remote_to(const struct remote_batch *batch)
{
    return batch->to;
}

bool remote_full(const struct remote_batch *batch)
{
    return batch->count >= REMOTE_BATCH_MAX;
}

/* ---- the owner's side ---- */

static void remote_latched(struct call *call);

/* Runs the calls that are left. One latches only when all before it have run and let go: a batch
 * never waits for itself, nor two batches for each other. */
static void remote_run(struct cmd_shard *here, struct remote_batch *batch)
{
    while (batch->next != NULL) {
        struct call *call = container_of(batch->next, struct call, node);
        if (!call_latch(call, remote_latched)) {
            return;
        }
        batch->next = list_next(&batch->calls, batch->next);
        call_run(call);
    }
    list_push_back(&here->executed_batches, &batch->node);
    executing_end(here);
}

static void remote_latched(struct call *call)
{
    remote_run(call->request.here, call->batch);
}

static void remote_fetched(struct remote_batch *batch, struct cmd_shard *here)
{
    ASSERT(batch->fetching > 0);
    batch->fetching--;
    if (batch->fetching == 0) {
        batch->next = list_first(&batch->calls);
        remote_run(here, batch);
    }
}

static void remote_call_fetched(struct call *call)
{
    remote_fetched(call->batch, call->request.here);
}

static void remote_fetch(struct cmd_shard *here, struct remote_batch *batch)
{
    executing_begin(here);
    batch->fetching = 1; /* ours, so that an early end doesn't run a batch that isn't complete */
    LIST_FOREACH (&batch->calls, node) {
        struct call *call = container_of(node, struct call, node);
        call->batch = batch;
        call->request.session = NULL;
        call->reply.output = &batch->output;
        call->reply.tally = &here->errors;
        bool write = (call->request.command->flags & CMD_WRITE) != 0;
        call->refused = write ? batch->refused : 0;
        batch->fetching++;
        if (call_fetch(call, here, remote_call_fetched)) {
            batch->fetching--;
        }
    }
    remote_fetched(batch, here);
}

/* A lasting write error (disk full) lets the batch through: its writes then reply it. */
static bool remote_must_wait(struct cmd_shard *here, struct remote_batch *batch)
{
    if (here->exclusive) {
        return true;
    }
    batch->refused = 0;
    if (batch->write && !keyspace_admits(here->keyspace, batch->bytes)) {
        batch->refused = keyspace_write_error(here->keyspace);
        return batch->refused == 0;
    }
    return false;
}

static void remote_arrive(struct shard *receiver, struct message *message)
{
    struct cmd_shard *here = shard_slot(receiver, SHARD_SLOT_CMD);
    struct remote_batch *batch = container_of(message, struct remote_batch, message);
    if (!list_empty(&here->held_batches) || remote_must_wait(here, batch)) {
        list_push_back(&here->held_batches, &batch->node);
        cmd_shard_wait(here);
        return;
    }
    remote_fetch(here, batch);
}

void remote_start_held(struct cmd_shard *here)
{
    while (!list_empty(&here->held_batches)) {
        struct list_node *first = list_first(&here->held_batches);
        struct remote_batch *batch = container_of(first, struct remote_batch, node);
        if (remote_must_wait(here, batch)) {
            cmd_shard_wait(here);
            return;
        }
        list_remove(first);
        remote_fetch(here, batch);
    }
}

static void remote_come_back(struct shard *receiver, struct message *message)
{
    (void)receiver;
    struct remote_batch *batch = container_of(message, struct remote_batch, message);
    output_move(&batch->slot.output, &batch->output);
    batch->slot.gate = batch->gate;
    slot_done(&batch->slot);
}

void remote_return_executed(struct cmd_shard *here)
{
    struct list_node *node;
    while ((node = list_pop_front(&here->executed_batches)) != NULL) {
        struct remote_batch *batch = container_of(node, struct remote_batch, node);
        bool open = PLANTED(READ_BEFORE_SYNC) && !batch->write;
        batch->gate = open ? 0 : log_writer_end(here->writer).value;
        batch->message.handler = remote_come_back;
        shard_send(here->shard, batch->message.from, &batch->message);
    }
}

void remote_send(struct remote_batch *batch)
{
    struct session *session = batch->slot.session;
    ASSERT(batch->count > 0);
    if (batch->write) {
        batch->slot.write = true;
        session->slots_write = true;
    }
    batch->message.handler = remote_arrive;
    shard_send(session->here->shard, batch->to, &batch->message);
}
