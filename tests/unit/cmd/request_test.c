#include "cmd/request.h"

#include "../data/rig.h"
#include "cmd/context.h"

/* ---- a clock that went back ---- */

static co_fn void count_from_the_highest_time(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    static struct cmd_shard here;
    here.shard = keyspace->shard;
    here.keyspace = keyspace;
    const struct request request = {.here = &here};
    MUST(request_now_ms(&request) >= shard_now_ms(keyspace->shard));

    int64_t later_ms = shard_now_ms(keyspace->shard) + 3600 * 1000;
    keyspace_set_clock_high_ms(keyspace, later_ms);
    MUST_BE(request_now_ms(&request), later_ms);

    /* A second from now by that time: it is there, and would be gone already by the clock's. */
    rig_put_expiring(keyspace, "counted", "value", request_now_ms(&request) + 1000);
    rig_holds(keyspace, "counted", "value");
    rig_put_expiring(keyspace, "by the clock", "value", shard_now_ms(keyspace->shard) + 1000);
    rig_holds(keyspace, "by the clock", NULL);
}

Test(request, a_time_to_live_counts_from_the_highest_time_seen_when_the_clock_went_back)
{
    rig_test(count_from_the_highest_time);
}

/* ---- idle time ---- */

static co_fn void idle_since_the_last_use(struct keyspace *keyspace, void *argument)
{
    (void)argument;
    static struct cmd_shard here;
    here.shard = keyspace->shard;
    here.keyspace = keyspace;
    rig_put(keyspace, "used once", "value");
    struct key key = rig_key(keyspace, "used once");
    struct request request = {.here = &here, .keys = &key, .key_count = 1, .no_touch = true};
    struct view view;
    MUST_BE(view_key(&request, 0, &view), 0);
    MUST(view.idle_s < 100);

    keyspace_set_clock_high_ms(keyspace, shard_now_ms(keyspace->shard) + 1000 * 1000);
    MUST_BE(view_key(&request, 0, &view), 0);
    MUST(view.idle_s >= 999 && view.idle_s < 1100);
}

Test(request, a_key_is_idle_since_its_last_use)
{
    rig_test(idle_since_the_last_use);
}
