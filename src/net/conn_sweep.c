/*
 * The coarse clock of connections: once a second all are looked at for what has taken too long, a
 * part of the table at a time, so that ten thousand of them don't hold up a pass.
 */
#include "base/logger.h"
#include "net/net_impl.h"

static bool conn_older(int64_t now_ns, int64_t since_ns, uint32_t seconds)
{
    return seconds > 0 && now_ns - since_ns >= seconds * INT64_C(1000000000);
}

/* A stranger that reads nothing is closed when more output or input comes; from one that is stuck
 * nothing comes. */
static void conn_check_stalled(struct conn *conn)
{
    conn_check_stranger(conn);
    conn_check_soft_limit(conn);
}

static void conn_sweep(struct net *net, struct conn *conn, int64_t now_ns)
{
    const struct net_limits *limits = &net->limits;
    bool working = conn->holds > 0 || conn->waiting;
    bool idle = !working && conn_unsent_bytes(conn) == 0;
    bool ending = !working && (conn->finishing || conn->ended);
    if (conn->closing) {
        return;
    }
    if (ending && conn_older(now_ns, conn->active_ns, CONN_LINGER_S)) {
        conn_close(conn);
    } else if (idle && conn_older(now_ns, conn->active_ns, limits->idle_timeout_s)) {
        LOGGER_VERBOSE("Closing idle client: id=%llu", (unsigned long long)conn->id);
        conn_close(conn);
    } else if (conn->parser != NULL && conn_can_take(conn) &&
               conn_older(now_ns, conn->active_ns, limits->request_timeout_s)) {
        conn_close_logged(conn, "Closing client whose request stopped in the middle");
    } else if (conn_older(now_ns, conn->opened_ns, limits->auth_timeout_s) &&
               !net_is_authenticated(net, conn)) {
        conn_close_logged(conn, "Closing client that did not authenticate in time");
    } else if (conn_older(now_ns, conn->active_ns, CONN_UNAUTH_STALL_S)) {
        conn_check_stalled(conn);
    } else {
        conn_check_soft_limit(conn);
    }
}

/* One step: some slots from sweep_slot on. The table may have grown since the last one; then some
 * are looked at twice or only the next time. */
static void sweep_step(struct shard *shard, struct shard_timer *timer)
{
    struct net *net = container_of(timer, struct net, sweep_timer);
    int64_t now_ns = shard_mono_ns(shard);
    uint32_t end = net->sweep_slot + NET_SWEEP_SLOTS;
    end = end < net->table.slots_count ? end : net->table.slots_count;
    for (uint32_t i = net->sweep_slot; i < end; i++) {
        for (struct conn *conn = net->table.slots[i]; conn != NULL; conn = conn->table_next) {
            conn_sweep(net, conn, now_ns);
        }
    }
    bool done = end == net->table.slots_count;
    net->sweep_slot = done ? 0 : end;
    shard_timer_arm(shard, timer, done ? NET_SWEEP_NS : NET_SWEEP_STEP_NS, sweep_step);
}

void sweep_start(struct net *net)
{
    shard_timer_arm(net->shard, &net->sweep_timer, NET_SWEEP_NS, sweep_step);
}

void sweep_stop(struct net *net)
{
    shard_timer_disarm(net->shard, &net->sweep_timer);
}
