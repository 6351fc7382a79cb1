/*
 * request: one command being executed, and how its handler reaches its keys.
 *
 * The same handler serves three cases without knowing: all keys on this shard (the record table is
 * used directly); the whole command shipped to the shard that owns its keys; keys spread over
 * shards (multi.c: the keys are latched, views are copies brought to the coordinator, and changes
 * are collected, logged as one record and sent to their owners). So handlers use view_* and
 * change_* only, by the index of the key among the command's keys.
 */
#ifndef CMD_REQUEST_H
#define CMD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "cmd/command.h"
#include "cmd/context.h"
#include "data/keyspace.h"
#include "net/reply.h"

enum { REQUEST_KEYS_INLINE = 4 /* keys kept without an allocation */ };

struct session;
struct multi;

struct request {
    const struct command *command;
    const struct slice *args;
    uint32_t argc;
    uint32_t key_count;
    struct key *keys; /* derived keys, in the order of the arguments */
    struct reply *reply;
    struct cmd_shard *here; /* the shard that executes */
    struct session
        *session; /* the connection's; NULL when executed for another shard's connection */
    uint32_t database;
    uint32_t space;
    bool no_touch;       /* CLIENT NO-TOUCH */
    bool resident;       /* view_all_resident said so: what is unknown since has been removed */
    struct multi *multi; /* keys are spread over shards: views and changes go there */
};

/* Fills a request of the session's connection; keys are the caller's to set. */
void request_init(struct request *request, struct session *session, const struct command *command,
                  const struct slice *args, uint32_t argc);
/* Key `index` of the command, with what is derived from it. */
struct key request_derive_key(const struct request *request, uint32_t index);
/* Whether two keys are the same. */
bool key_equal(const struct key *one, const struct key *other);
/* For each of `count` keys the index of the first one that is the same. ERR_MEMORY. */
NODISCARD int keys_find_same(const struct key *keys, uint32_t count, uint32_t *ret_first);
/* Whether a multi-shard command holds a latch that this one has to wait for. */
bool request_is_latched(const struct request *request);
/* Runs the handler, with statistics and slow log. Returns what it returns. */
NODISCARD int request_run(struct request *request);

/* A key as the handler sees it. Slices are borrowed until the next change_* call on any key. */
struct view {
    bool exists;
    uint8_t type; /* enum record_type */
    uint8_t meta;
    int64_t expire_ms; /* 0: never */
    struct slice value;
    struct blob *blob; /* if the value is shared memory: for reply_bulk_shared */
    uint32_t idle_s;
};

/* 0 with *ret_view filled (exists or not); ERR_AGAIN: not resident, return it at once. */
NODISCARD int view_key(struct request *request, uint32_t index, struct view *ret_view);
/* The same for commands that must see a string: replies WRONGTYPE and returns ERR_WRONG_TYPE if it
 * is something else. */
NODISCARD int view_string(struct request *request, uint32_t index, struct view *ret_view);
/* All keys at once: 0, or ERR_AGAIN if any is unknown (all unknown ones have then been noted for
 * fetching). */
NODISCARD int view_all_resident(struct request *request);

/* Changes. They reply the error themselves (OOM, key too long, ...) and return it; nothing has
 * changed then. */
NODISCARD int change_put(struct request *request, uint32_t index, const struct put *put);
/* Every key at once, of this shard: key i gets values[2 * i]. */
NODISCARD int change_put_all(struct request *request, uint8_t type, const struct slice *values);
NODISCARD int change_remove(struct request *request, uint32_t index, bool *ret_existed);
NODISCARD int change_expire(struct request *request, uint32_t index, int64_t expire_ms);
NODISCARD int change_range(struct request *request, uint32_t index, uint64_t offset,
                           struct slice bytes);
/* Several changes that are one for readers and across a crash (on one shard; multi.c does it by
 * itself). */
void change_group_begin(struct request *request);
void change_group_end(struct request *request);

/* The time by which keys expire: the real time, except that it never goes back. A time to live that
 * counted from a clock that went back would have expired at once. */
int64_t request_now_ms(const struct request *request);

/* Parse-or-reply helpers: on failure they have replied and return a negative error. */
NODISCARD int arg_i64(struct request *request, uint32_t index,
                      int64_t *ret_value); /* "ERR value is not an integer or out of range" */
NODISCARD int arg_i64_range(struct request *request, uint32_t index, int64_t min, int64_t max,
                            const char *error, int64_t *ret_value);
/* A database's number, as Redis takes it: one that is no int has its own error, before one that
 * there is no database of. */
NODISCARD int arg_database(struct request *request, uint32_t index, uint32_t *ret_database);
bool arg_is(const struct request *request, uint32_t index, const char *word); /* case-insensitive */
void reply_view_bulk(struct request *request,
                     const struct view *view); /* bulk, shared if large; null if absent */

/* Texts that many commands use. */
#define REPLY_SYNTAX "ERR syntax error"
#define REPLY_WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define REPLY_NOT_INTEGER "ERR value is not an integer or out of range"
#define REPLY_NOT_FLOAT "ERR value is not a valid float"
#define REPLY_NO_KEY "ERR no such key"
#define REPLY_NO_DATABASE "ERR DB index is out of range"
#define REPLY_OUT_OF_RANGE "ERR index out of range"

#endif
