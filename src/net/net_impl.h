/*
 * net_impl: the inside of a net, for its own files: what its connections share.
 */
#ifndef NET_NET_IMPL_H
#define NET_NET_IMPL_H

#include "base/list.h"
#include "io/io.h"
#include "io/socket.h"
#include "net/conn_impl.h"
#include "net/conn_table.h"
#include "net/net.h"
#include "net/spare.h"
#include "shard/sync.h"

enum {
    NET_LISTENERS_MAX = 16,
    NET_ACCEPTS_PASS_MAX = 32,  /* connections opened in one pass */
    NET_ACCEPT_QUEUE_MAX = 256, /* accepted and waiting for a later pass */
    NET_ARG_SLOTS = 512,        /* arguments of one batch */
    NET_SENDS_NOW_MAX = 2,      /* so many connections are sent to without an operation */
    NET_SWEEP_SLOTS = 256,      /* slots of the table looked at in one step of the sweep */
};

#define NET_SWEEP_NS INT64_C(1000000000)   /* between two sweeps */
#define NET_SWEEP_STEP_NS INT64_C(5000000) /* between two steps of one */
#define NET_EPOCH_SHIFT 20                 /* about 1 ms: the window of "active" connections */

struct net_listener {
    struct io_listener io;
    struct net *net;
    int fd;
    bool is_unix;
};

struct net_accepted {
    int fd;
    bool is_unix;
};

/* Commands gathered for one call of on_commands. There is only one batch at a time. */
struct net_batch {
    uint32_t count;
    uint32_t slots_used;
    struct net_command commands[NET_BATCH_MAX];
    size_t starts[NET_BATCH_MAX]; /* in the window */
    struct slice slots[NET_ARG_SLOTS];
};

struct net {
    struct shard *shard;
    struct io *io;
    struct net_handlers handlers;
    struct net_limits limits;
    struct net_shared *shared;
    struct net_stats stats;

    struct conn_table table;
    struct list all;
    struct list ready;   /* can take commands that lie in their input */
    struct list outputs; /* to be looked at in the REPLY hook */
    struct list gated;   /* the same, waiting for a gate */
    struct list sends;   /* within the REPLY hook: what is sent in this pass */
    struct list closing; /* to be closed at the safe point */
    struct list dead;    /* to be freed at the safe point */
    uint32_t sends_count;
    uint32_t unfreed; /* connections that exist, in whatever state */

    /* What is known about gates in this pass. */
    bool gate_known;
    uint64_t gate_now, gate_open_to, gate_closed_from, gate_wanted;

    struct resp_parser *parser; /* for commands that are whole in the window */
    struct net_batch *batch;
    bool in_batch;

    struct spares spares;

    struct net_listener listeners[NET_LISTENERS_MAX];
    uint32_t listeners_count;
    struct net_accepted accepted[NET_ACCEPT_QUEUE_MAX]; /* a ring */
    uint32_t accepted_first, accepted_count;
    int64_t accept_silent_until_ns; /* no log line about accept's errors before */

    uint32_t epoch, epoch_active, epoch_active_before;
    uint32_t hint_told;

    struct shard_timer sweep_timer;
    uint32_t sweep_slot;
    struct shard_timer close_timer;
    struct co_event freed; /* a connection was freed */
    char peer_name[SOCKET_NAME_BYTES], local_name[SOCKET_NAME_BYTES];
};

/* ---- net.c ---- */

bool net_is_authenticated(struct net *net, struct conn *conn);
bool net_shared_enter(struct net_shared *shared); /* false: clients_max is reached */
void net_shared_leave(struct net_shared *shared);
uint64_t net_shared_next_id(struct net_shared *shared);

/* ---- listener.c ---- */

/* Opens what was accepted, some of it; returns whether more waits. */
bool listener_open_accepted(struct net *net);

/* ---- conn.c ---- */

/* The safe point: closes and frees what is due. */
void conns_settle(struct net *net);

/* ---- conn_output.c ---- */

/* The REPLY hook's part: seals, opens gates, sends. */
void outputs_pass(struct net *net);

/* ---- conn_sweep.c ---- */

void sweep_start(struct net *net);
void sweep_stop(struct net *net);

#endif
