/*
 * latch: short exclusive or shared holds on keys, for commands that need several keys at a moment
 * or whose keys lie on several shards.
 *
 * Model. A shard has one table of latches for the keys it owns; a key without one costs nothing. A
 * request names all its keys of this shard and joins the queue of each of them in one step. A key
 * serves its queue first come, first served: the first alone, or, if that is shared, all shared
 * ones that stand in front together. A request is *held* when it is served at all its keys.
 *
 *   - No deadlock on one shard: since requests join all their queues at once, each waits for older
 *     ones only. Over shards: a coordinator latches one shard after the other, by ascending shard
 *     id, each time with all keys of that shard.
 *   - A command for a single key, or with all keys on this shard, takes no latch as long as
 *     latch_blocks says no: it runs to completion without a suspension. If it says yes, the command
 *     makes a request like anybody else, runs in `done`, and releases. A command that waited for a
 *     load asks again before it runs.
 *   - Keys of a request are distinct; whoever has a key twice passes it once (exclusive, if one of
 *     the two is).
 *
 * Foreign writes. The changes of a command over several shards are logged by the coordinator's
 * shard, maybe before the owner has applied its part. A checkpoint of the owner's partition must
 * not freeze in between, or recovery would skip the change. So a request with `foreign_write`
 * counts in each partition of its exclusive keys, from the moment it joins the queues to its
 * release; a checkpoint waits until that count is zero, and lets no new such request join before it
 * has frozen (those are held back, in order, and join then).
 *
 * Threads: a shard's own. Suspension: none.
 */
#ifndef DATA_LATCH_H
#define DATA_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "data/keyspace.h"

enum { LATCH_KEYS_MAX = 1 << 20 }; /* of one request */

struct latch; /* one key's queue */
struct latch_request;

/* All is held. On the shard's thread, outside of coroutines, never inside latch_acquire or
 * latch_release. */
typedef void latch_fn(struct latch_request *request);

/* One key of a request. The caller fills the first two; key.name is borrowed until the release. */
struct latch_key {
    struct key key;
    bool exclusive;
    bool served;
    struct latch *latch;
    struct latch_request *request;
    struct list_node node; /* in the latch's queue */
};

/* Embedded in the command that waits. The caller fills the first four. */
struct latch_request {
    latch_fn *done;
    struct latch_key *keys; /* borrowed until the release; distinct, any order */
    uint32_t count;         /* 1 .. LATCH_KEYS_MAX */
    bool foreign_write;     /* another shard logs what is changed under the exclusive keys */
    uint32_t missing;       /* keys that it isn't served at yet */
    struct keyspace *keyspace;
    struct list_node node; /* held back, or about to be told */
};

/* Joins the queues. 1: everything is held now, `done` will not be called. 0: `done` will be called
 * later. ERR_MEMORY or ERR_LIMIT: nothing happened. */
NODISCARD int latch_acquire(struct keyspace *keyspace, struct latch_request *request);

/* Gives everything back; the request may be freed or used again. Also takes back a request whose
 * `done` was not called yet: it won't be. */
void latch_release(struct latch_request *request);

/* Whether a command that reads (or writes) this key must queue now. Cheap when nothing is latched.
 */
bool latch_blocks(const struct keyspace *keyspace, const struct key *key, bool is_write);

/* Whether any key of this shard is latched or waited for. */
bool latch_any(const struct keyspace *keyspace);

#endif
