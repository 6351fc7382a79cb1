/*
 * conn_impl: the inside of a connection, for the files of net that make it up.
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
#ifndef NET_CONN_IMPL_H
#define NET_CONN_IMPL_H

#include "base/list.h"
#include "io/io.h"
#include "net/net.h"
#include "net/output.h"

enum {
    CONN_BATCHES_TURN_MAX = 64,       /* batches in one turn, before others have theirs */
    CONN_INPUT_PENDING_MAX = 1 << 20, /* unread commands before receiving pauses */
    CONN_SEND_PARTS = 16,             /* iovecs of one send */
    CONN_SEND_BYTES_MAX = 1 << 20,    /* of one send: so that progress shows */
    CONN_PARCELS_MAX = 8,             /* sealed outputs that wait apart */
    CONN_UNAUTH_OUTPUT_MAX = 1024,
    CONN_UNAUTH_PAUSE_BYTES = 16 * 1024,
    CONN_UNAUTH_PENDING_MAX = 64 * 1024, /* CONN_INPUT_PENDING_MAX for strangers */
    CONN_UNAUTH_STALL_S = 2,             /* above CONN_UNAUTH_OUTPUT_MAX without progress */
    CONN_LINGER_S = 10, /* one that is to end and makes no progress */
};

/* A sealed output on its way out. */
struct parcel {
    struct output output;
    struct conn *conn;
    uint64_t gate;
    uint64_t sent_bytes;
    struct list_node node; /* in conn->parcels or among the spares */
    struct io_op op;
    struct iovec iov[CONN_SEND_PARTS];
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
    uint64_t sealed_copied; /* ... of these, without references */
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

/* ---- conn.c ---- */

/* Makes a connection of fd, which it takes over. NULL without memory or if on_open refused: fd is
 * closed. */
struct conn *conn_create(struct net *net, int fd, bool is_unix);
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

#endif
