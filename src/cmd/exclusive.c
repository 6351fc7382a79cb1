#include "cmd/exclusive.h"

#include "base/assert.h"
#include "cmd/park.h"
#include "shard/await.h"

enum { EXCLUSIVE_RETRY_NS = 1000000 };

/* ---- one section at a time: a semaphore on shard 0 ---- */

static co_fn int exclusive_take_turn(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *first = shard_slot(there, SHARD_SLOT_CMD);
    co_sem_acquire(&first->exclusive_turn);
    return 0;
}

static int exclusive_give_turn(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *first = shard_slot(there, SHARD_SLOT_CMD);
    co_sem_release(&first->exclusive_turn);
    return 0;
}

/* ---- on every shard ---- */

static co_fn int exclusive_hold(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    ASSERT(!here->exclusive);
    here->exclusive = true;
    while (here->executing > 0) {
        co_event_wait(&here->drained);
    }
    return 0;
}

static int exclusive_let_go(struct shard *there, void *argument)
{
    (void)argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    ASSERT(here->exclusive);
    here->exclusive = false;
    cmd_shard_resume_waiting(here);
    return 0;
}

int exclusive_begin(struct cmd_shard *here)
{
    TRY(shard_call(here->shard, 0, exclusive_take_turn, NULL));
    for (uint32_t i = 0; i < here->server->shards; i++) {
        while (shard_call(here->shard, i, exclusive_hold, NULL) < 0) {
            await_sleep_ns(here->shard, EXCLUSIVE_RETRY_NS);
        }
    }
    return 0;
}

co_fn void exclusive_end(struct cmd_shard *here)
{
    /* A shard that has no coroutine left for a moment must be let go all the same. */
    for (uint32_t i = 0; i < here->server->shards; i++) {
        while (shard_call(here->shard, i, exclusive_let_go, NULL) < 0) {
            await_sleep_ns(here->shard, EXCLUSIVE_RETRY_NS);
        }
    }
    while (shard_call(here->shard, 0, exclusive_give_turn, NULL) < 0) {
        await_sleep_ns(here->shard, EXCLUSIVE_RETRY_NS);
    }
}

/* ---- the map of databases ---- */

struct spaces_map {
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t space_next;
    struct lsn logged; /* below it: the change */
};

static int spaces_adopt(struct shard *there, void *argument)
{
    const struct spaces_map *map = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    keyspace_adopt_spaces(here->keyspace, map->spaces, map->space_next);
    log_writer_saw(here->writer, map->logged);
    return 0;
}

int exclusive_change_spaces(struct cmd_shard *here, spaces_change_fn *change, void *context)
{
    TRY(exclusive_begin(here));
    struct spaces_map map = {.space_next = keyspace_space_next(here->keyspace)};
    for (uint32_t i = 0; i < here->server->databases; i++) {
        map.spaces[i] = keyspace_space(here->keyspace, i);
    }
    change(context, map.spaces, &map.space_next);
    keyspace_log_spaces(here->keyspace, map.spaces, map.space_next);
    log_flush(here->writer); /* later records of other shards follow it in the stream */
    map.logged = log_writer_end(here->writer);
    for (uint32_t i = 0; i < here->server->shards; i++) {
        while (shard_call(here->shard, i, spaces_adopt, &map) < 0) {
            await_sleep_ns(here->shard, EXCLUSIVE_RETRY_NS);
        }
    }
    exclusive_end(here);
    return 0;
}
