/*
 * call: a command that outlives the receive buffer: its request with copies of the arguments, its
 * keys, and the fetching of those that are not in memory. Commands that wait for the disk (park.c),
 * travel to another shard (remote.c), run in a coroutine (wide.c) or over several shards (multi.c)
 * are calls.
 */
#ifndef CMD_CALL_H
#define CMD_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "cmd/request.h"
#include "cmd/slot.h"
#include "data/latch.h"

struct call;
struct remote_batch;
typedef void call_ready_fn(struct call *call);

/* The fetching of one key. */
struct call_load {
    struct key_load load;
    struct call *call;
    bool pinned;
};

struct call {
    struct slot slot;       /* if it has one of its own */
    struct request request; /* args and keys point behind the struct */
    struct reply reply;
    struct list_node node;      /* in a batch */
    struct remote_batch *batch; /* it travels in, at the owner */
    struct call_load *loads;    /* one for each key */
    uint32_t loading;
    int error;   /* of a load or a latch */
    int refused; /* why no write may run: call_run replies it */
    call_ready_fn *ready;
    struct latch_request latch; /* held while latch.keys is set */
};

/* Copies the command and finds room for its keys. The slot is not opened. NULL: no memory. */
struct call *call_create(struct cmd_shard *here, struct session *session,
                         const struct command *command, const struct slice *args, uint32_t argc);
void call_destroy(struct call *call); /* unpinned, slot not open */

/* Derives the keys at `here`, the shard that owns them, and makes all that the command needs
 * resident and pinned. True: done. False: `ready` is called later. Afterwards call->error is 0 or
 * why a key can't be read. */
bool call_fetch(struct call *call, struct cmd_shard *here, call_ready_fn *ready);

/* After call_fetch, just before call_run. True: nobody else has latched its keys, or it holds the
 * latches itself, or can't have them (call->error). False: `ready` is called when it holds them.
 * Whoever holds latches waits for nothing else before call_run. */
bool call_latch(struct call *call, call_ready_fn *ready);

/* Runs the handler, or replies the error; then unpins and unlatches. */
void call_run(struct call *call);

#endif
