#include "cmd/park.h"

#include "base/assert.h"
#include "base/bytes.h"

void executing_begin(struct cmd_shard *here)
{
    here->executing++;
}

void executing_end(struct cmd_shard *here)
{
    ASSERT(here->executing > 0);
    here->executing--;
    if (here->executing == 0) {
        co_event_signal(&here->drained);
    }
}

static void park_latched(struct call *call)
{
    struct cmd_shard *here = call->request.here;
    call_run(call);
    executing_end(here);
    slot_done(&call->slot); /* frees the call when its turn has come */
}

static void park_fetched(struct call *call)
{
    if (call_latch(call, park_latched)) {
        park_latched(call);
    }
}

void park_start(struct call *call)
{
    executing_begin(call->request.here);
    if (call_fetch(call, call->request.here, park_fetched)) {
        park_fetched(call);
    }
}

/* ---- commands in coroutines ---- */

/* Coroutines of one shard that commands may need, of all shards' connections together: each has one
 * at home and at most one at another shard. The rest is left to those who fetch keys and to the
 * background, so that what a command waits for can always go on. */
enum { COMMAND_COROS = 512, COORDINATORS_MIN = 8 };

bool coordinators_full(const struct cmd_shard *here)
{
    uint32_t share = COMMAND_COROS / here->server->shards;
    return here->coordinators >= max_u64(share, COORDINATORS_MIN);
}

void coordinator_begin(struct cmd_shard *here)
{
    here->coordinators++;
}

void coordinator_end(struct cmd_shard *here)
{
    ASSERT(here->coordinators > 0);
    here->coordinators--;
    cmd_shard_resume_first(here);
}

/* What was seen of other shards may be in their logs, not yet durable; those who only look at this
 * shard's state needn't wait for it. */
static uint64_t wide_gate(const struct call *call)
{
    const struct log *log = call->request.here->log;
    bool looks = (call->request.command->flags & CMD_READONLY) != 0;
    return looks && log_sync_mode(log) == LOG_SYNC_ALWAYS ? log_reserved(log).value : 0;
}

static co_fn void park_wide_main(void *argument)
{
    struct call *call = argument;
    struct cmd_shard *here = call->request.here;
    call_run(call);
    call->slot.gate = wide_gate(call);
    coordinator_end(here);
    slot_done(&call->slot);
}

int park_start_wide(struct call *call)
{
    struct cmd_shard *here = call->request.here;
    TRY(coro_start(shard_sched(here->shard), call->request.command->name, CORO_NORMAL,
                   park_wide_main, call));
    coordinator_begin(here);
    return 0;
}
