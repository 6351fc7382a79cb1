/*
 * net_impl: what the files of net share about a net and its connections. For net only.
 *
 * Where a connection stands, beside the flags of struct conn:
 *
 *     open ──conn_close_after_reply, protocol error──▶ finishing ──all sent, no holds──▶ closing
 *       ├──end of stream──▶ ended ──input used up, all sent, no holds──▶ closing
 *       └──conn_close, errors, limits──▶ closing ──safe point──▶ socket closes ──io──▶ closed
 *     closed ──no holds──▶ dead ──safe point──▶ freed
 *
 * The safe point is the end of the REPLY hook: nothing of net is on the stack there, so no pointer
 * to a connection that is freed there can be in use. A closing connection is in no list but
 * net->closing.
 */
#ifndef NET_NET_IMPL_H
#define NET_NET_IMPL_H

#include <stdatomic.h>

#include "base/list.h"
#include "io/io.h"
#include "io/socket.h"
#include "net/conn_table.h"
#include "net/net.h"
#include "net/output.h"
#include "shard/sync.h"

enum {
    NET_LISTENERS_MAX = 16,
    NET_ACCEPTS_PASS_MAX = 32,       /* connections opened in one pass */
    NET_ACCEPT_QUEUE_MAX = 256,      /* accepted and waiting for a later pass */
    NET_ARG_SLOTS = 512,             /* arguments of one batch */
    NET_BATCHES_TURN_MAX = 64,       /* batches of one connection before others have their turn */
    NET_INPUT_PENDING_MAX = 1 << 20, /* unread commands of a connection before receiving pauses */
    NET_SPARES_MAX = 128,            /* of each kind: output buffers, parcels, parsers */
    NET_SPARE_BYTES_MAX = 4 << 20,   /* output buffers kept, in all */
    NET_OUTPUT_BYTES_MIN = 4096,     /* first size of an output buffer */
    NET_SEND_PARTS = 16,             /* iovecs of one send */
    NET_SEND_BYTES_MAX = 1 << 20,    /* of one send: so that progress shows */
    NET_SENDS_NOW_MAX = 2,           /* so many connections are sent to without an operation */
    NET_PARCELS_MAX = 8,             /* sealed outputs of a connection that wait apart */
    NET_UNAUTH_OUTPUT_MAX = 1024,
    NET_UNAUTH_PAUSE_BYTES = 16 * 1024,
    NET_LINGER_S = 10,     /* a connection that is to end and makes no progress */
    NET_SWEEP_SLOTS = 256, /* slots of the table looked at in one step of the sweep */
};

#define NET_SWEEP_NS INT64_C(1000000000)   /* between two sweeps */
#define NET_SWEEP_STEP_NS INT64_C(5000000) /* between two steps of one */
#define NET_EPOCH_SHIFT 20                 /* about 1 ms: the window of "active" connections */

/* A sealed output on its way out. */
struct parcel {
    struct output output;
    struct conn *conn;
    uint64_t gate;
    uint64_t sent_bytes;
    struct list_node node; /* in conn->parcels or net->spare_parcels */
    struct io_op op;
    struct iovec iov[NET_SEND_PARTS];
};

struct conn {
    struct io_socket socket;
    struct net *net;
    void *user;
    uint64_t id;
    struct conn *table_next;
    int fd;
    uint32_t holds;
    uint32_t epoch; /* the last in which it was active */

    bool is_unix, is_local;
    bool owes_close;  /* on_open has run: on_close is due */
    bool taking;      /* inside on_commands */
    bool waiting;     /* on_commands left some; until conn_resume */
    bool resumed;     /* conn_resume during on_commands */
    bool output_full; /* too much unsent: takes no commands */
    bool error_waits; /* a protocol error behind commands that are under way */
    bool recv_paused;
    bool sending; /* the first parcel is with the kernel */
    bool finishing, ended, closing, closed;

    struct output open;  /* being written */
    struct list parcels; /* sealed, in order; the first may be with the kernel */
    uint32_t parcels_count;
    uint64_t open_gate;     /* raised for what is in `open` */
    uint64_t sealed_bytes;  /* of parcels, not yet sent */
    uint64_t sealed_copied; /* memory of parcels: bytes without references */
    int64_t soft_since_ns;  /* above the soft limit since; 0: is not */

    struct buffer input;        /* not taken yet; empty memory while idle */
    size_t input_need;          /* what the half-received command needs at least */
    struct resp_parser *parser; /* of the half-received command at the start of input, or NULL */

    int64_t opened_ms;
    int64_t opened_ns, active_ns; /* monotonic */

    struct list_node node_ready;  /* in net->ready */
    struct list_node node_output; /* in net->outputs, ->gated or ->sends */
    struct list_node node_end;    /* in net->closing or ->dead */
    struct list_node node_all;
};

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

struct net_spare_buffer {
    uint8_t *data;
    size_t bytes;
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

    struct net_spare_buffer spare_buffers[NET_SPARES_MAX];
    uint32_t spare_buffers_count;
    size_t spare_buffers_bytes;
    struct list spare_parcels;
    uint32_t spare_parcels_count;
    struct resp_parser *spare_parsers[NET_SPARES_MAX];
    uint32_t spare_parsers_count;

    struct net_listener listeners[NET_LISTENERS_MAX];
    uint32_t listeners_count;
    struct net_accepted accepted[NET_ACCEPT_QUEUE_MAX]; /* a ring */
    uint32_t accepted_first, accepted_count;

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
void net_parser_put(struct net *net, struct resp_parser *parser); /* takes it over */
NODISCARD int net_parser_get(struct net *net, struct resp_parser **ret_parser);
bool net_shared_enter(struct net_shared *shared); /* false: clients_max is reached */
void net_shared_leave(struct net_shared *shared);
uint64_t net_shared_next_id(struct net_shared *shared);

/* ---- listener.c ---- */

/* Opens what was accepted, some of it; returns whether more waits. */
bool listener_open_accepted(struct net *net);

/* ---- conn.c ---- */

/* Makes a connection of fd, which it takes over. NULL without memory or if on_open refused: fd is
 * closed. */
struct conn *conn_create(struct net *net, int fd, bool is_unix);
/* The safe point: closes and frees what is due. */
void conns_settle(struct net *net);
/* After something ended for this connection: whether it can be closed is looked at in the REPLY
 * hook. */
void conn_check_end(struct conn *conn);
/* Closes it if it is to end and nothing is left to do for it. */
void conn_end_if_done(struct conn *conn);
/* Logs "<what>: id=.. addr=.." as a warning and closes. */
void conn_close_logged(struct conn *conn, const char *what);

/* ---- conn_input.c ---- */

void conn_on_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes);
void conn_continue(struct conn *conn); /* takes commands from its input */
void conn_make_ready(struct conn *conn);
void conn_drop_input(struct conn *conn);
bool conn_can_take(const struct conn *conn);

/* ---- conn_output.c ---- */

/* The REPLY hook's part: seals, opens gates, sends. */
void outputs_pass(struct net *net);
void conn_mark_output(struct conn *conn);
uint64_t conn_unsent_bytes(const struct conn *conn);
/* Gives the open output's memory back if it is empty. */
void conn_settle_output(struct conn *conn);
/* After commands wrote: closes if the output broke, stops taking if too much is unsent. */
void conn_check_output(struct conn *conn);
/* Who has not authenticated gets no more than one pass's replies without reading them: when there
 * is new output or input while older output waits, the connection is closed. */
void conn_check_stranger(struct conn *conn);
/* Closes at the soft limit; part of the sweep. */
void conn_check_soft_limit(struct conn *conn);
void conn_drop_outputs(struct conn *conn);
uint64_t conn_output_capacity(const struct conn *conn);
void parcel_destroy(struct parcel *parcel);

/* ---- conn_sweep.c ---- */

void sweep_start(struct net *net);
void sweep_stop(struct net *net);

#endif
