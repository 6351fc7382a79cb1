/*
 * command: the command table, the only truth about a command. What is not in it does not exist:
 * dispatch, arity and key checks, COMMAND (COUNT, INFO, DOCS, LIST, GETKEYS), statistics and the
 * documentation are all fed from it.
 *
 * The table itself is table.c; handlers live in one file per family. To add a command, add its row
 * and its handler.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct request;

/* The Redis whose commands and replies we follow: libraries switch features by it. */
#define REDIS_VERSION "7.2.5"

/*
 * How a handler runs:
 *  - A data handler (CMD_KEYS) runs to completion on the shard that owns its keys and never
 * suspends. It finds all of its keys first; if one is unknown (ERR_AGAIN) it returns ERR_AGAIN
 * having changed and replied nothing, and is called again when the keys are resident. Otherwise it
 * replies exactly once and returns 0.
 *  - A session handler (CMD_SESSION) runs on the connection's shard and touches the session or
 * server-wide state only; never suspends.
 *  - A wide handler (CMD_WIDE) runs in a coroutine on the connection's shard, may suspend and call
 * other shards.
 */
typedef int command_fn(struct request *request);

enum command_flag {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_DENYOOM = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_FAST = 1 << 4,
    CMD_NO_AUTH = 1 << 5, /* allowed before authentication */
    CMD_NOSCRIPT = 1 << 6,
    CMD_LOADING = 1 << 7,
    CMD_STALE = 1 << 8,
    CMD_SKIP_MONITOR = 1 << 9,
    CMD_SKIP_SLOWLOG = 1 << 10,
    CMD_NO_MULTI = 1 << 11,
    /* Ours. */
    CMD_KEYS = 1 << 16,
    CMD_SESSION = 1 << 17,
    CMD_WIDE = 1 << 18,
    CMD_ORDER_FREE =
        1 << 19, /* session command that may overtake nothing and needs no barrier: PING, ECHO */
    CMD_CONTAINER = 1 << 20, /* has subcommands: rows named "parent|sub" */
};

struct command {
    const char *name; /* lower case; "client|setname" for a subcommand */
    int16_t arity;    /* as Redis: negative = at least; subcommands count the parent's name */
    int8_t first_key; /* index in args, 0: none */
    int8_t last_key;  /* negative counts from the end */
    int8_t key_step;
    const char *key_use;        /* for COMMAND INFO: "RW access update"; NULL: "RO access" */
    const char *second_key_use; /* of two keys that are used differently: RENAME, COPY */
    uint32_t flags;
    command_fn *handler; /* NULL for a container */
    /* For a write: whether these arguments need nothing of the old values (then its keys are not
     * fetched). NULL: never. */
    bool (*is_blind)(const struct slice *args, uint32_t argc);
    /* For a command over several databases (COPY ... DB n): the database of key `key_index`, or -1
     * for the session's. NULL: always the session's. A malformed argument gives -1; the handler
     * then replies the error. */
    int (*key_database)(const struct slice *args, uint32_t argc, uint32_t key_index);
    /* For COMMAND DOCS and INFO. */
    const char *group; /* "string", "generic", "connection", "server" */
    const char *since;
    const char *complexity;
    const char *summary;
    const char
        *syntax; /* arguments in Redis's notation: "key value [NX | XX] [GET] [EX seconds | ...]" */
    const char *categories; /* ACL categories: "@write @string @slow" */
    uint16_t index;         /* position in the table: statistics */
};

/* Builds the lookup; once, at start-up, before any other thread. */
void commands_init(void);

/* Top-level command or, for a container with args[1], its subcommand. NULL: unknown; *ret_container
 * is set to the container whose subcommand is unknown, else NULL. */
const struct command *command_find(const struct slice *args, uint32_t argc,
                                   const struct command **ret_container);
uint32_t command_count(void); /* rows, subcommands included */
const struct command *command_at(uint32_t index);
bool command_arity_fits(const struct command *command, uint32_t argc);
/* Positions of the keys in args; returns how many, at most max. */
uint32_t command_keys(const struct command *command, uint32_t argc, uint32_t *ret_positions,
                      uint32_t max);
/* How many there are. */
uint32_t command_key_count(const struct command *command, uint32_t argc);

#endif
