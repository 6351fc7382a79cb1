#include "shard/shard.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/thread.h"
#include "shard/sync.h"

/*
 * A call travels as one message that goes there and comes back: call_arrive starts a coroutine,
 * call_main runs the function in it and sends the message back, call_return wakes the caller.
 */
struct call {
    struct message message;
    shard_call_fn *fn;
    void *argument;
    int result;
    uint32_t caller;        /* shard to return to */
    struct co_group *group; /* of the calling coroutine */
};

static void call_return(struct shard *caller, struct message *message)
{
    (void)caller;
    co_group_done(container_of(message, struct call, message)->group);
}

static void call_send_back(struct shard *there, struct call *call)
{
    call->message.handler = call_return;
    shard_send(there, call->caller, &call->message);
}

co_fn static void call_main(void *argument)
{
    struct call *call = argument;
    struct shard *there = shard_self();
    call->result = call->fn(there, call->argument);
    call_send_back(there, call);
}

static void call_arrive(struct shard *there, struct message *message)
{
    struct call *call = container_of(message, struct call, message);
    call->caller = message->from;
    int err = coro_start(shard_sched(there), "call", CORO_NORMAL, call_main, call);
    if (err < 0) {
        call->result = err;
        call_send_back(there, call);
    }
}

static void call_send(struct shard *from, uint32_t to, struct call *call)
{
    call->message = (struct message){.handler = call_arrive};
    co_group_add(call->group, 1);
    shard_send(from, to, &call->message);
}

co_fn int shard_call(struct shard *from, uint32_t to, shard_call_fn *fn, void *argument)
{
    ASSERT(from == shard_self());
    ASSERT(coro_self() != NULL);
    if (to == shard_id(from)) {
        return fn(from, argument);
    }
    struct co_group group;
    co_group_init(&group);
    struct call call = {.fn = fn, .argument = argument, .group = &group};
    call_send(from, to, &call);
    co_group_wait(&group);
    return call.result;
}

co_fn int shard_call_all(struct shard *from, shard_call_fn *fn, void *arguments, size_t stride)
{
    ASSERT(from == shard_self());
    ASSERT(coro_self() != NULL);
    uint32_t count = shard_count(from);
    struct call *calls = mem_calloc(count, sizeof(*calls)); /* too large for a coroutine's stack */
    if (calls == NULL) {
        return ERR_MEMORY;
    }
    struct co_group group;
    co_group_init(&group);
    for (uint32_t i = 0; i < count; i++) {
        void *argument = arguments == NULL ? NULL : (char *)arguments + i * stride;
        calls[i] = (struct call){.fn = fn, .argument = argument, .group = &group};
        if (i != shard_id(from)) {
            call_send(from, i, &calls[i]);
        }
    }
    struct call *own = &calls[shard_id(from)];
    own->result = fn(from, own->argument);
    co_group_wait(&group);

    int result = 0;
    for (uint32_t i = 0; i < count && result >= 0; i++) {
        result = calls[i].result < 0 ? calls[i].result : 0;
    }
    mem_free(calls);
    return result;
}

/* ---- from other threads ---- */

struct outside_call {
    struct message message;
    shard_call_fn *fn;
    void *argument;
    struct mutex mutex;
    struct condition condition;
    bool ended; /* guarded by mutex */
    int result;
};

/* The caller may free `call` as soon as it has the mutex, so that is given back last. */
static void outside_end(struct outside_call *call, int result)
{
    mutex_lock(&call->mutex);
    call->result = result;
    call->ended = true;
    condition_signal(&call->condition);
    mutex_unlock(&call->mutex);
}

co_fn static void outside_main(void *argument)
{
    struct outside_call *call = argument;
    outside_end(call, call->fn(shard_self(), call->argument));
}

static void outside_arrive(struct shard *there, struct message *message)
{
    struct outside_call *call = container_of(message, struct outside_call, message);
    int err = coro_start(shard_sched(there), "call from outside", CORO_NORMAL, outside_main, call);
    if (err < 0) {
        outside_end(call, err);
    }
}

int shard_call_from_outside(struct shard *there, shard_call_fn *fn, void *argument)
{
    ASSERT(shard_self() == NULL); /* a shard thread must not block */
    struct outside_call call = {
        .message = {.handler = outside_arrive}, .fn = fn, .argument = argument};
    mutex_init(&call.mutex);
    condition_init(&call.condition);
    shard_post(there, &call.message);

    mutex_lock(&call.mutex);
    while (!call.ended) {
        condition_wait(&call.condition, &call.mutex);
    }
    mutex_unlock(&call.mutex);
    condition_deinit(&call.condition);
    mutex_deinit(&call.mutex);
    return call.result;
}
