#include "net/net.h"

#include <limits.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "net/net_impl.h"
#include "shard/await.h"

/* ---- shared by all nets ---- */

struct net_shared {
    _Atomic uint64_t next_id;
    _Atomic uint32_t clients;
    _Atomic uint32_t clients_max;
};

int net_shared_create(uint32_t clients_max, struct net_shared **ret_shared)
{
    struct net_shared *shared = mem_calloc(1, sizeof(*shared));
    if (shared == NULL) {
        return ERR_MEMORY;
    }
    atomic_init(&shared->next_id, 1);
    atomic_init(&shared->clients_max, clients_max);
    *ret_shared = shared;
    return 0;
}

void net_shared_destroy(struct net_shared *shared)
{
    mem_free(shared);
}

void net_shared_set_clients_max(struct net_shared *shared, uint32_t clients_max)
{
    atomic_store_explicit(&shared->clients_max, clients_max, memory_order_relaxed);
}

uint32_t net_shared_clients(const struct net_shared *shared)
{
    return atomic_load_explicit(&shared->clients, memory_order_relaxed);
}

bool net_shared_enter(struct net_shared *shared)
{
    uint32_t before = atomic_fetch_add_explicit(&shared->clients, 1, memory_order_relaxed);
    if (before >= atomic_load_explicit(&shared->clients_max, memory_order_relaxed)) {
        net_shared_leave(shared);
        return false;
    }
    return true;
}

void net_shared_leave(struct net_shared *shared)
{
    uint32_t before = atomic_fetch_sub_explicit(&shared->clients, 1, memory_order_relaxed);
    ASSERT(before > 0);
}

uint64_t net_shared_next_id(struct net_shared *shared)
{
    return atomic_fetch_add_explicit(&shared->next_id, 1, memory_order_relaxed);
}

/* ---- limits ---- */

struct net_limits net_limits_default(void)
{
    return (struct net_limits){
        .bulk_bytes_max = UINT64_C(512) << 20,
        .query_bytes_max = UINT64_C(1) << 30,
        .output_hard_bytes = UINT64_C(64) << 20,
        .output_soft_bytes = UINT64_C(16) << 20,
        .output_soft_seconds = 60,
        .output_pause_bytes = UINT64_C(32) << 20,
        .idle_timeout_s = 0,
        .keepalive_s = 300,
        .request_timeout_s = 60,
        .auth_timeout_s = 10,
        .descriptors_max = INT_MAX,
    };
}

void net_set_limits(struct net *net, const struct net_limits *limits)
{
    net->limits = *limits;
}

/* ---- hooks ---- */

/* First thing of a pass: new connections, and connections that may go on with what lies in their
 * input. Those that become ready meanwhile have their turn in the next pass. */
static bool net_pass_hook(struct shard *shard, void *argument)
{
    (void)shard;
    struct net *net = argument;
    bool more = listener_open_accepted(net);
    struct list ready;
    list_init(&ready);
    list_splice_back(&ready, &net->ready);
    struct list_node *node;
    while ((node = list_pop_front(&ready)) != NULL) {
        conn_continue(container_of(node, struct conn, node_ready));
    }
    return more;
}

static void net_tell_busy(struct net *net)
{
    uint32_t active =
        net->epoch_active > net->epoch_active_before ? net->epoch_active : net->epoch_active_before;
    if (active != net->hint_told) {
        net->hint_told = active;
        shard_set_busy_hint(net->shard, active);
    }
}

static void net_turn_epoch(struct net *net)
{
    uint32_t epoch = (uint32_t)(shard_mono_ns(net->shard) >> NET_EPOCH_SHIFT);
    if (epoch != net->epoch) {
        net->epoch_active_before = epoch == net->epoch + 1 ? net->epoch_active : 0;
        net->epoch_active = 0;
        net->epoch = epoch;
    }
}

static bool net_reply_hook(struct shard *shard, void *argument)
{
    (void)shard;
    struct net *net = argument;
    outputs_pass(net);
    conns_settle(net);
    net_tell_busy(net);
    net_turn_epoch(net);
    return !list_empty(&net->ready) || !list_empty(&net->outputs);
}

/* ---- creation ---- */

static void net_init_lists(struct net *net)
{
    list_init(&net->all);
    list_init(&net->ready);
    list_init(&net->outputs);
    list_init(&net->gated);
    list_init(&net->sends);
    list_init(&net->closing);
    list_init(&net->dead);
    spares_init(&net->spares);
    co_event_init(&net->freed);
}

static void net_free(struct net *net)
{
    spares_deinit(&net->spares);
    resp_parser_destroy(net->parser);
    conn_table_deinit(&net->table);
    mem_free(net->batch);
    mem_free(net);
}

static int net_fill(struct net *net)
{
    net->batch = mem_calloc(1, sizeof(*net->batch));
    if (net->batch == NULL) {
        return ERR_MEMORY;
    }
    TRY(conn_table_init(&net->table));
    return resp_parser_create(&net->parser);
}

static int net_add_hooks(struct net *net)
{
    TRY(shard_add_hook(net->shard, SHARD_HOOK_PASS, net_pass_hook, net));
    int err = shard_add_hook(net->shard, SHARD_HOOK_REPLY, net_reply_hook, net);
    if (err != 0) {
        shard_remove_hook(net->shard, SHARD_HOOK_PASS, net_pass_hook, net);
    }
    return err;
}

int net_create(struct shard *shard, const struct net_handlers *handlers,
               const struct net_limits *limits, struct net **ret_net)
{
    struct net *net = mem_calloc(1, sizeof(*net));
    if (net == NULL) {
        return ERR_MEMORY;
    }
    net->shard = shard;
    net->io = shard_io(shard);
    net->handlers = *handlers;
    net->limits = *limits;
    net_init_lists(net);
    int err = net_fill(net);
    if (err == 0) {
        err = net_add_hooks(net);
    }
    if (err != 0) {
        net_free(net);
        return err;
    }
    shard_set_slot(shard, SHARD_SLOT_NET, net);
    sweep_start(net);
    *ret_net = net;
    return 0;
}

void net_attach_shared(struct net *net, struct net_shared *shared)
{
    ASSERT(net->listeners_count == 0);
    net->shared = shared;
}

void net_destroy(struct net *net)
{
    if (net == NULL) {
        return;
    }
    ASSERT(net->unfreed == 0);
    net_stop_listening(net);
    sweep_stop(net);
    shard_remove_hook(net->shard, SHARD_HOOK_PASS, net_pass_hook, net);
    shard_remove_hook(net->shard, SHARD_HOOK_REPLY, net_reply_hook, net);
    shard_set_busy_hint(net->shard, 0);
    shard_set_slot(net->shard, SHARD_SLOT_NET, NULL);
    net_free(net);
}

/* ---- the end ---- */

static void net_close_timeout(struct shard *shard, struct shard_timer *timer)
{
    (void)shard;
    struct net *net = container_of(timer, struct net, close_timer);
    LIST_FOREACH_SAFE (&net->all, node) {
        conn_close(container_of(node, struct conn, node_all));
    }
}

void net_close_all(struct net *net, uint32_t timeout_ms)
{
    net_stop_listening(net);
    LIST_FOREACH_SAFE (&net->all, node) {
        conn_close_after_reply(container_of(node, struct conn, node_all));
    }
    shard_timer_arm(net->shard, &net->close_timer, (int64_t)timeout_ms * 1000000,
                    net_close_timeout);
    while (net->unfreed > 0) {
        co_event_wait(&net->freed);
    }
    shard_timer_disarm(net->shard, &net->close_timer);
}

/* ---- looking around ---- */

bool net_is_authenticated(struct net *net, struct conn *conn)
{
    return net->handlers.is_authenticated == NULL ||
           net->handlers.is_authenticated(net->handlers.context, conn);
}

struct conn *net_find(struct net *net, uint64_t id)
{
    return conn_table_find(&net->table, id);
}

struct conn *net_first(struct net *net)
{
    struct list_node *node = list_first(&net->all);
    return node == NULL ? NULL : container_of(node, struct conn, node_all);
}

struct conn *net_next(struct net *net, struct conn *conn)
{
    struct list_node *node = list_next(&net->all, &conn->node_all);
    return node == NULL ? NULL : container_of(node, struct conn, node_all);
}

void net_stats(const struct net *net, struct net_stats *ret_stats)
{
    *ret_stats = net->stats;
    ret_stats->connections = net->table.count;
}
