#include "cmd/park.h"

#include "base/assert.h"

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

static void park_ready(struct call *call)
{
    struct cmd_shard *here = call->request.here;
    call_run(call);
    executing_end(here);
    slot_done(&call->slot); /* frees the call when its turn has come */
}

void park_start(struct call *call)
{
    executing_begin(call->request.here);
    if (call_make_ready(call, call->request.here, park_ready)) {
        park_ready(call);
    }
}

static void park_wide_main(void *argument)
{
    struct call *call = argument;
    struct cmd_shard *here = call->request.here;
    call_run(call);
    (void)here;
    slot_done(&call->slot);
}

int park_start_wide(struct call *call)
{
    return coro_start(shard_sched(call->request.here->shard), call->request.command->name,
                      CORO_NORMAL, park_wide_main, call);
}
