/*
 * context: what the command room keeps for a shard, for the whole server, and for a connection.
 *
 * struct cmd_shard: one per shard, on its thread. struct cmd_server: one for all shards: atomics,
 * and the door to the server room (configuration, INFO, shutdown), which stands above and hands in
 * functions. struct session: one per connection.
 */
#ifndef CMD_CONTEXT_H
#define CMD_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/random.h"
#include "base/slice.h"
#include "data/keyspace.h"
#include "data/scan.h"
#include "log/log.h"
#include "net/error_tally.h"
#include "net/net.h"
#include "shard/shard.h"
#include "shard/sync.h"

struct buffer;
struct cmd_server;
struct request;
struct slot;

/* What the server room answers for us. All but `shutdown` are called on shard threads, in
 * coroutines (wide handlers): they may suspend. */
struct server_door {
    /* Appends the INFO text of the sections named (none: default; "all", "everything"). */
    co_fn int (*info)(void *context, struct shard *shard, const struct slice *sections,
                      uint32_t count, struct buffer *text);
    /* Calls each(name, value) for every parameter that matches the glob. */
    int (*config_get)(void *context, struct slice pattern,
                      void (*each)(void *each_context, struct slice name, struct slice value),
                      void *each_context);
    /* All pairs or none. On error `error` (256 bytes) holds the reply's text without "ERR ". */
    co_fn int (*config_set)(void *context, struct shard *shard, const struct slice *pairs,
                            uint32_t pair_count, char *error);
    co_fn int (*config_rewrite)(void *context, struct shard *shard, char *error);
    /* Asks for a shutdown; returns at once. now: don't wait for clients; save: checkpoint first. */
    void (*shutdown)(void *context, bool save);
    void *context;
};

struct command_stats {
    uint64_t calls, ns, rejected, failed;
};

struct slowlog_entry;

/* Options that the hot path reads; copied to each shard when CONFIG SET changes them. */
struct cmd_options {
    char password[512]; /* requirepass; empty: none */
    bool protected_mode;
    bool has_bind;      /* an explicit bind: protected mode lets in by it */
    int64_t slowlog_us; /* slowlog-log-slower-than; negative: off */
    uint32_t slowlog_entries_max;
    uint64_t bulk_bytes_max;
    bool debug_allowed_local, debug_allowed; /* enable-debug-command no | local | yes */
};

struct cmd_server {
    struct server_door door;
    uint32_t partitions;
    uint32_t shards;
    uint32_t databases;
    int64_t start_ms;
    char run_id[41];
    uint16_t port;
    _Atomic uint32_t monitors;      /* connections in MONITOR, anywhere */
    _Atomic int64_t pause_until_ms; /* CLIENT PAUSE */
    _Atomic bool pause_writes_only;
    _Atomic bool stopping;
    _Atomic uint64_t slowlog_next_id;
    _Atomic int64_t lastsave_s;
    struct cmd_shard *shard_states[SHARDS_MAX];
};

struct cmd_shard {
    struct shard *shard;
    struct cmd_server *server;
    struct keyspace *keyspace;
    struct net *net;
    struct log *log;
    struct log_writer *writer;
    struct scan_cursors *cursors;
    struct cmd_options options;
    struct command_stats *stats; /* by command index */
    uint64_t commands_processed, unknown_commands;
    struct error_tally errors; /* of the replies written on this shard */
    uint64_t ops_window[16]; /* samples for instantaneous_ops_per_sec */
    struct random random;
    /* Dispatch. */
    struct list
        waiting; /* sessions to resume: throttled, paused, or held by an exclusive section */
    struct shard_timer waiting_timer;
    uint32_t executing;           /* parked commands and coordinators of this shard */
    uint32_t coordinators;        /* coroutines of commands of this shard's connections */
    bool exclusive;               /* an exclusive section holds this shard */
    struct co_event drained;      /* signalled when executing reaches 0 */
    uint32_t saving;              /* BGSAVEs under way, which no connection waits for */
    struct co_event saved;        /* signalled when one has ended */
    struct list held_batches;     /* foreign batches that may not start yet (remote.c) */
    struct list executed_batches; /* ... that go back after the log flush */
    struct key *keys_scratch;     /* of the command that runs at once */
    uint32_t keys_scratch_count;
    struct output scratch;        /* a reply that has to wait for its turn */
    struct co_sem exclusive_turn; /* shard 0's: one section at a time */
    /* Slow log: newest first, bounded by options. */
    struct list slowlog;
    uint32_t slowlog_entries;
    struct list monitors; /* sessions in MONITOR here */
    /* Lines on their way to them from other shards, which add to it and say when it is too much. */
    _Atomic uint64_t monitor_bytes;
    _Atomic bool monitor_overrun;
};

/* A connection as the commands see it. */
struct session {
    struct conn *conn;
    struct cmd_shard *here;
    struct reply reply; /* writes to the connection's open output */
    uint32_t database;
    bool authenticated;
    bool no_evict, no_touch;
    bool reply_off, reply_skip_next; /* CLIENT REPLY */
    bool monitoring;
    bool shown; /* to monitors: the next command, which had to wait after that */
    uint8_t resp;
    const struct command *last_command;
    char *name, *lib_name, *lib_ver; /* owned, NULL if unset */
    /* Order of replies: commands under way, oldest first (dispatch.c). */
    struct list slots;
    uint32_t slots_count;
    bool slots_write;              /* one of them changes data or state: a barrier */
    bool blocked;                  /* commands wait in the connection for a slot to end */
    struct list_node waiting_node; /* in here->waiting */
    struct list_node monitor_node;
    uint64_t commands;
};

/* ---- a shard's life (cmd_shard.c) ---- */

/* What the shard's commands work on, from the rooms below; borrowed. */
struct cmd_below {
    struct keyspace *keyspace;
    struct log *log;
    struct log_writer *writer;
};

NODISCARD int cmd_shard_create(struct cmd_server *server, struct shard *shard,
                               const struct cmd_below *below, const struct cmd_options *options,
                               struct cmd_shard **ret_here);
void cmd_shard_destroy(struct cmd_shard *here);
/* Waits for what goes on without a connection; to be called on every shard, when its connections
 * are gone, before any is destroyed. Suspends. */
co_fn void cmd_shard_finish(struct cmd_shard *here);
/* After net_create: the two know each other. */
void cmd_shard_set_net(struct cmd_shard *here, struct net *net);
void cmd_shard_set_options(struct cmd_shard *here, const struct cmd_options *options);

/* The shard looks again within a millisecond at what waits for it: throttled, paused, held. */
void cmd_shard_wait(struct cmd_shard *here);
/* Resumes every connection and batch that waits. */
void cmd_shard_resume_waiting(struct cmd_shard *here);
/* Resumes the connection that has waited longest: there is room for one more command. */
void cmd_shard_resume_first(struct cmd_shard *here);

#endif
