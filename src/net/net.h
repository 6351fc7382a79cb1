/*
 * net: the connections of one shard: listeners, sockets, input windows, outputs, limits. Knows
 * RESP, no command.
 *
 * Input. What arrives is parsed where it lies in the shared receive buffer; whole commands go to
 * on_commands in batches of up to NET_BATCH_MAX. The callee takes as many as it can and says how
 * many; what is left (because the connection waits for a reply of another shard or of the disk)
 * stays as bytes in the connection's own input buffer and is parsed again after conn_resume. A
 * connection that has too much unread input or unsent output is not read from (back-pressure).
 *
 * Output. Replies go into the connection's open output. At the end of a pass (hook REPLY) the open
 * output is sealed with a gate number and sent once the gate is open: that is how no reply leaves
 * before its change is durable. One send per connection at a time; meanwhile the next output fills.
 *
 * Life. A connection is freed at one safe point of the pass only, when nothing refers to it:
 * conn_hold / conn_drop count the commands that are still under way for it. Ids, not pointers, name
 * connections to other shards.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "net/reply.h"
#include "net/resp.h"
#include "shard/shard.h"

enum { NET_BATCH_MAX = 16 };

struct net;
struct conn;

struct net_command {
    struct slice *args;
    uint32_t argc;
    uint64_t wire_bytes;
};

struct net_handlers {
    /* A new connection: returns the callee's state for it (conn_user), NULL to refuse. */
    void *(*on_open)(void *context, struct conn *conn);
    /* Parsed commands, in order. Returns how many it has taken, from the first on. Slices live
     * until it returns. It is called again for the rest only after conn_resume, or when an output
     * that was full has drained (and may leave them again); when all were taken, with the next
     * ones. Commands may still come after the peer has ended its side. */
    uint32_t (*on_commands)(void *context, struct conn *conn, const struct net_command *commands,
                            uint32_t count);
    /* No more commands will come and none is under way: frees the user state. */
    void (*on_close)(void *context, struct conn *conn);
    /* Gates: the number to seal this pass's outputs with, and whether a number's gate is open by
     * now. */
    uint64_t (*gate_now)(void *context);
    bool (*gate_open)(void *context, uint64_t gate);
    void (*gate_wanted)(void *context, uint64_t gate);          /* somebody waits for it */
    bool (*is_authenticated)(void *context, struct conn *conn); /* for the limits before AUTH */
    void *context;
    struct error_tally *errors; /* counts protocol errors; borrowed, may be NULL */
};

/* Changeable at run time; one copy per shard, written on the shard (net_set_limits). */
struct net_limits {
    uint64_t bulk_bytes_max;  /* proto-max-bulk-len: above it a protocol error */
    uint64_t query_bytes_max; /* client-query-buffer-limit: of one half-received command */
    /* client-output-buffer-limit normal: closes. Counts what is copied and unsent, not what is sent
     * from where it is. 0: none. */
    uint64_t output_hard_bytes;
    uint64_t output_soft_bytes;
    uint32_t output_soft_seconds;
    /* Stops executing for a connection with so much unsent, of either kind, or with a quarter of
     * the hard limit. It goes on when half of that is sent. A client that goes on writing requests
     * and reads nothing is stuck then, until the soft limit ends it if that is lower. */
    uint64_t output_pause_bytes;
    uint32_t idle_timeout_s;    /* timeout; 0: never */
    uint32_t keepalive_s;       /* tcp-keepalive */
    uint32_t request_timeout_s; /* a half-received command must go on within; 0: never */
    uint32_t auth_timeout_s;    /* unauthenticated for longer: closed; 0: never */
    int descriptors_max;        /* connections have lower ones: the rest is for files */
};
struct net_limits net_limits_default(void);

NODISCARD int net_create(struct shard *shard, const struct net_handlers *handlers,
                         const struct net_limits *limits, struct net **ret_net);
/* Takes over a listening fd. `is_unix` for the address texts. */
NODISCARD int net_listen(struct net *net, int fd);
void net_stop_listening(struct net *net);
/* Gives replies that are ready a chance (one more send each, at most timeout_ms), then closes all
 * connections. Suspends. */
co_fn void net_close_all(struct net *net, uint32_t timeout_ms);
void net_destroy(struct net *net);
void net_set_limits(struct net *net, const struct net_limits *limits);

/* Shared by all shards: open connections against maxclients. */
struct net_shared; /* create once, pass to each net */
NODISCARD int net_shared_create(uint32_t clients_max, struct net_shared **ret_shared);
void net_shared_destroy(struct net_shared *shared);
void net_shared_set_clients_max(struct net_shared *shared, uint32_t clients_max);
uint32_t net_shared_clients(const struct net_shared *shared);
void net_attach_shared(struct net *net, struct net_shared *shared); /* before net_listen */

/* ---- connections ---- */

uint64_t conn_id(const struct conn *conn); /* unique over the server's life, ascending */
void *conn_user(const struct conn *conn);
struct net *conn_net(const struct conn *conn);
struct shard *conn_shard(const struct conn *conn);
struct conn *net_find(struct net *net, uint64_t id); /* NULL if gone */
struct conn *net_first(struct net *net);
struct conn *net_next(struct net *net, struct conn *conn);

/* Where replies go now. */
struct output *conn_output(struct conn *conn);
/* Something was written outside of on_commands: sends at the end of this pass. */
void conn_output_ready(struct conn *conn);
/* Whether so much is unsent that no more commands should be carried out for now: on_commands may
 * look after each large reply and take no further commands. What is left comes again by itself once
 * enough has been sent. */
bool conn_output_is_full(struct conn *conn);
/* Raises the gate of what is in the open output (a reply that came from another shard). */
void conn_raise_gate(struct conn *conn, uint64_t gate);
/* The commands that on_commands left can go on. */
void conn_resume(struct conn *conn);
/* A command of this connection is under way elsewhere: it must not be freed. */
void conn_hold(struct conn *conn);
void conn_drop(struct conn *conn);
/* Closes after what is in the outputs has been sent; takes no further commands. */
void conn_close_after_reply(struct conn *conn);
/* Closes soon, dropping what is unsent. */
void conn_close(struct conn *conn);
bool conn_is_closing(const struct conn *conn);

struct conn_info {
    const char *peer, *local; /* texts, valid until the next call */
    int fd;
    int64_t opened_ms;
    int64_t active_ms; /* last bytes received */
    uint64_t input_bytes, input_capacity, output_bytes, output_capacity, memory_bytes;
    bool is_unix, is_local;
};
void conn_info(const struct conn *conn, struct conn_info *ret_info);

struct net_stats {
    uint64_t connections_received, connections_rejected, protocol_errors, output_limit_closes;
    uint64_t accept_errors;
    uint64_t input_bytes, output_bytes;
    uint32_t connections;
};
void net_stats(const struct net *net, struct net_stats *ret_stats);

#endif
