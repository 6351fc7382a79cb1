#include "cmd/exclusive.h"

#include "base/assert.h"
#include "cmd/park.h"

/* ---- one section at a time: a semaphore on shard 0 ---- */

static int exclusive_take_turn(struct shard *there, void *argument)
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

static int exclusive_hold(struct shard *there, void *argument)
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
    return shard_call_all(here->shard, exclusive_hold, NULL, 0);
}

void exclusive_end(struct cmd_shard *here)
{
    IGNORE(shard_call_all(here->shard, exclusive_let_go, NULL, 0), "it has nothing to refuse");
    IGNORE(shard_call(here->shard, 0, exclusive_give_turn, NULL), "neither has it");
}

/* ---- the map of databases ---- */

struct spaces_map {
    uint32_t spaces[KEYSPACE_DATABASES_MAX];
    uint32_t space_next;
};

static int spaces_adopt(struct shard *there, void *argument)
{
    const struct spaces_map *map = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    keyspace_adopt_spaces(here->keyspace, map->spaces, map->space_next);
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
    int err = shard_call_all(here->shard, spaces_adopt, &map, 0);
    exclusive_end(here);
    return err;
}
