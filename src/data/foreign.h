/*
 * foreign: changes of several keys as one: of several shards' keys, for a coordinator and the
 * owners, or of one shard's (keyspace_put_all). put.c has them, journal.c their way into the log.
 * Threads: as it says. Suspension: none.
 */
#ifndef DATA_FOREIGN_H
#define DATA_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/key.h"
#include "data/keyspace.h"

/* Changes made under latches of a multi-shard command. What is in the log can't be refused any
 * more, so all memory is taken before: each owner reserves places for the keys when it has latched
 * them, the coordinator prepares the changes ... */
struct change {
    struct key key;
    bool remove;
    struct put put;
    struct record *made; /* owned: the record, or a tombstone; NULL until keyspace_prepare */
};
/* On the key's owner. Each is used up by keyspace_apply or given back. ERR_MEMORY. */
NODISCARD int keyspace_reserve(struct keyspace *keyspace, const struct key *key);
void keyspace_unreserve(struct keyspace *keyspace, const struct key *key);
/* On any shard. Takes over put.blob in any case; put.value is the made record's from then on.
 * ERR_MEMORY: `made` is NULL. */
NODISCARD int keyspace_prepare(struct change *change);
/* Frees what a change holds that won't be applied, prepared or not. */
void keyspace_discard(struct change *change);
/* ... and logs all of them as one record ... */
/* ERR_MEMORY: nothing was logged. */
NODISCARD int keyspace_log_changes(struct keyspace *keyspace, const struct change *changes,
                                   uint32_t count);
/* ... and each owner applies its own, prepared and with a place reserved, without logging again. */
void keyspace_apply(struct keyspace *keyspace, struct change *change);

/* All of that for puts whose keys are all this shard's: all or none. `changes` (borrowed) have key
 * and put, in their order; their blobs are taken over in any case. ERR_MEMORY, ERR_KEY_TOO_LONG,
 * ERR_VALUE_TOO_LARGE: nothing has changed. */
NODISCARD int keyspace_put_all(struct keyspace *keyspace, struct change *changes, uint32_t count);

#endif
