/*
 * slot: keeps a connection's replies in order while its commands end in any order.
 *
 * A command that can't reply at once opens a slot in its session's list and writes into the slot's
 * own output. When the oldest slots are done their outputs move to the connection. While any slot
 * is open, later replies need slots too. An open slot holds the connection (conn_hold), so the
 * session stays until the last one has ended.
 */
#ifndef CMD_SLOT_H
#define CMD_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "cmd/context.h"
#include "net/reply.h"

/* Under way for one connection. A slot may be a batch of NET_BATCH_MAX reads of another shard, each
 * with a reply of up to REPLY_SHARED_BYTES_MIN of its own: 32 MiB in all, as much as may wait
 * unsent before the connection takes no more commands. */
enum { SLOTS_MAX = 128 };

struct slot;
typedef void slot_release_fn(struct slot *slot);

/* Embedded in what is under way. */
struct slot {
    struct list_node node;
    struct session *session;
    struct output output;
    slot_release_fn *release; /* called once, when its output has moved on: frees the container */
    uint64_t gate;            /* of a reply that came from another shard; 0 otherwise */
    bool write;               /* a barrier */
    bool done;
};

void slot_open(struct slot *slot, struct session *session, bool write, slot_release_fn *release);

/* Its output is complete. May release it (and older ones waiting for nothing else) before it
 * returns. */
void slot_done(struct slot *slot);

/* A slot that is complete already, for a reply that only has to wait for its turn: moves `output`
 * into it. ERR_MEMORY. */
NODISCARD int slot_add_done(struct session *session, struct output *output);

#endif
