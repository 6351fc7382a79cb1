#include "shard/shard.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/thread.h"
#include "shard/shard_impl.h"
#include "shard/thread_local.h"

/*
 * The life of a set:
 *
 *     shard_set_start   threads begin ─▶ each opens its io ─▶ all loops run ─▶ start functions
 *     shard_set_stop    stop functions ─▶ wait until all is quiet ─▶ all loops end ─▶ threads end
 *
 * A loop must not end before all shards are quiet, since a coroutine elsewhere may still call it.
 * "Quiet" is a matter of the whole set: a shard with nothing to do may get a message any moment
 * from one that has. So the set asks each shard to answer when it has nothing left (a probe), with
 * the number of messages it has sent and received so far. When two rounds in a row bring the same
 * numbers and all that was sent has been received, then nothing travelled or worked between the
 * two rounds, and nothing ever will again.
 */

struct shard *shard_self(void)
{
    return shard_here.shard;
}

uint32_t shard_set_count(const struct shard_set *set)
{
    return set->count;
}

struct shard *shard_set_get(struct shard_set *set, uint32_t index)
{
    ASSERT(index < set->count);
    return &set->shards[index];
}

/* ---- gates ---- */

static void gate_init(struct gate *gate)
{
    mutex_init(&gate->mutex);
    condition_init(&gate->condition);
    gate->arrived = 0;
}

static void gate_deinit(struct gate *gate)
{
    condition_deinit(&gate->condition);
    mutex_deinit(&gate->mutex);
}

static void gate_arrive(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    gate->arrived++;
    condition_broadcast(&gate->condition);
    mutex_unlock(&gate->mutex);
}

static void gate_wait(struct gate *gate, uint32_t count)
{
    mutex_lock(&gate->mutex);
    while (gate->arrived < count) {
        condition_wait(&gate->condition, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
}

/* ---- a function on every shard ---- */

co_fn static void task_main(void *argument)
{
    struct shard_task *task = argument;
    task->result = task->fn(shard_self(), task->argument);
    gate_arrive(task->gate);
}

static void task_arrive(struct shard *shard, struct message *message)
{
    struct shard_task *task = container_of(message, struct shard_task, message);
    int err = coro_start(shard->sched, "set task", CORO_NORMAL, task_main, task);
    if (err < 0 && task->must_run) {
        shard_send(shard, shard->id, message); /* again in the next pass */
    } else if (err < 0) {
        task->result = err;
        gate_arrive(task->gate);
    }
}

/* Runs fn in a coroutine on all shards at once and waits; returns the first error. */
static int run_on_all(struct shard_set *set, shard_call_fn *fn, void *argument, bool must_run)
{
    struct gate gate;
    gate_init(&gate);
    for (uint32_t i = 0; i < set->count; i++) {
        struct shard *shard = &set->shards[i];
        shard->task = (struct shard_task){.message = {.handler = task_arrive},
                                          .fn = fn,
                                          .argument = argument,
                                          .must_run = must_run,
                                          .gate = &gate};
        shard_post(shard, &shard->task.message);
    }
    gate_wait(&gate, set->count);
    gate_deinit(&gate);

    for (uint32_t i = 0; i < set->count; i++) {
        if (set->shards[i].task.result < 0) {
            return set->shards[i].task.result;
        }
    }
    return 0;
}

/* ---- the end ---- */

static void probe_arrive(struct shard *shard, struct message *message)
{
    ASSERT(message == &shard->probe.message);
    shard->probe_asked = true;
}

void shard_probe_answer(struct shard *shard)
{
    struct shard_probe *probe = &shard->probe;
    if (LIKELY(!shard->probe_asked) || shard->again || sched_coros(shard->sched) > 0 ||
        !mail_quiet(shard) || io_pending(shard->io) > 0) {
        return;
    }
    shard->probe_asked = false;
    probe->sent = shard->stats.messages_sent;
    probe->received = shard->received_from_set;
    gate_arrive(probe->gate);
}

struct traffic {
    uint64_t sent;
    uint64_t received;
};

static struct traffic probe_all(struct shard_set *set)
{
    struct gate gate;
    gate_init(&gate);
    for (uint32_t i = 0; i < set->count; i++) {
        struct shard *shard = &set->shards[i];
        shard->probe = (struct shard_probe){.message = {.handler = probe_arrive}, .gate = &gate};
        shard_post(shard, &shard->probe.message);
    }
    gate_wait(&gate, set->count);
    gate_deinit(&gate);

    struct traffic traffic = {0};
    for (uint32_t i = 0; i < set->count; i++) {
        traffic.sent += set->shards[i].probe.sent;
        traffic.received += set->shards[i].probe.received;
    }
    return traffic;
}

static void wait_until_quiet(struct shard_set *set)
{
    struct traffic before = probe_all(set);
    struct traffic now = probe_all(set);
    while (now.sent != now.received || now.sent != before.sent || now.received != before.received) {
        before = now;
        now = probe_all(set);
    }
}

static void end_arrive(struct shard *shard, struct message *message)
{
    (void)message;
    shard->ending = true;
}

static void end_loops(struct shard_set *set)
{
    wait_until_quiet(set);
    for (uint32_t i = 0; i < set->count; i++) {
        struct shard *shard = &set->shards[i];
        shard->end_message.handler = end_arrive;
        shard_post(shard, &shard->end_message);
    }
    gate_arrive(&set->ended); /* our wakes are done too */
}

/* ---- threads ---- */

/* All leave their loops before the first io goes: a peer, or end_loops, may still be waking it. */
static void shard_thread(void *argument)
{
    struct shard *shard = argument;
    struct shard_set *set = shard->set;
    mem_thread_arena_init();
    if (set->options.pin_threads) {
        IGNORE(thread_pin(shard->id), "an unpinned thread only runs a little slower");
    }
    shard_here.shard = shard;
    shard->opened_result = shard_open(shard);
    bool opened = shard->opened_result >= 0;
    gate_arrive(&set->opened);
    gate_wait(&set->allowed, 1);

    if (!set->failed) {
        shard_loop(shard);
        gate_arrive(&set->ended);
        gate_wait(&set->ended, set->count + 1);
    }
    if (opened) {
        shard_close(shard);
    }
    shard_here.shard = NULL;
}

/* Lets the threads that have opened go on, all into their loops or, on an error, all to their end.
 */
static int threads_allow(struct shard_set *set, uint32_t started, int err)
{
    gate_wait(&set->opened, started);
    for (uint32_t i = 0; i < started && err >= 0; i++) {
        err = set->shards[i].opened_result;
    }
    set->failed = err < 0;
    gate_arrive(&set->allowed);
    return err;
}

static void threads_join(struct shard_set *set, uint32_t started)
{
    for (uint32_t i = 0; i < started; i++) {
        thread_join(&set->shards[i].thread);
    }
}

static int threads_start(struct shard_set *set)
{
    uint32_t started = 0;
    int err = 0;
    while (err >= 0 && started < set->count) {
        struct shard *shard = &set->shards[started];
        char name[32];
        (void)snprintf(name, sizeof(name), "shard-%u", started);
        err = thread_start(&shard->thread, name, shard_thread, shard);
        started += err >= 0;
    }
    err = threads_allow(set, started, err);
    if (err < 0) {
        threads_join(set, started);
    }
    return err;
}

/* ---- the set ---- */

static void set_free(struct shard_set *set)
{
    for (uint32_t i = 0; i < set->mailbox_count; i++) {
        mailbox_deinit(&set->mailboxes[i]);
    }
    gate_deinit(&set->ended);
    gate_deinit(&set->allowed);
    gate_deinit(&set->opened);
    mem_free(set->mailboxes);
    mem_free(set->shards);
    mem_free(set);
}

static int set_make_mailboxes(struct shard_set *set)
{
    uint32_t count = set->count * set->count;
    set->mailboxes = mem_alloc_aligned(MAILBOX_LINE_BYTES, count * sizeof(*set->mailboxes));
    if (set->mailboxes == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(mailbox_init(&set->mailboxes[i], set->options.mailbox_slots));
        set->mailbox_count++;
    }
    return 0;
}

static int set_make_shards(struct shard_set *set)
{
    set->shards = mem_alloc_aligned(MAILBOX_LINE_BYTES, set->count * sizeof(*set->shards));
    if (set->shards == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        set->shards[i] = (struct shard){.set = set, .id = i};
    }
    return 0;
}

int shard_set_start(uint32_t count, const struct shard_options *options, shard_start_fn *start,
                    void *argument, struct shard_set **ret_set)
{
    ASSERT(count > 0 && count <= SHARDS_MAX);
    ASSERT(options->coros_max > 0);
    struct shard_set *set = mem_calloc(1, sizeof(*set));
    if (set == NULL) {
        return ERR_MEMORY;
    }
    set->options = *options;
    set->count = count;
    set->may_spin = count > 1 && thread_count_online() >= count;
    gate_init(&set->opened);
    gate_init(&set->allowed);
    gate_init(&set->ended);

    int err = set_make_shards(set);
    if (err >= 0) {
        err = set_make_mailboxes(set);
    }
    if (err >= 0) {
        err = threads_start(set);
    }
    if (err < 0) {
        set_free(set);
        return err;
    }
    err = run_on_all(set, start, argument, false);
    if (err < 0) {
        end_loops(set);
        threads_join(set, count);
        set_free(set);
        return err;
    }
    *ret_set = set;
    return 0;
}

struct stop_call {
    shard_stop_fn *stop;
    void *argument;
};

co_fn static int stop_one(struct shard *shard, void *argument)
{
    struct stop_call *call = argument;
    call->stop(shard, call->argument);
    return 0;
}

void shard_set_stop(struct shard_set *set, shard_stop_fn *stop, void *argument)
{
    struct stop_call call = {.stop = stop, .argument = argument};
    int err = run_on_all(set, stop_one, &call, true);
    ASSERT(err == 0);
    end_loops(set);
    threads_join(set, set->count);
    set_free(set);
}
