/*
 * load: fetching unknown keys, and callbacks that are due in the next pass. Threads: the shard's.
 * Suspension: none; coroutines do the waiting.
 */
#ifndef DATA_LOAD_H
#define DATA_LOAD_H

#include <stdint.h>

#include "base/error.h"
#include "data/keyspace.h"
#include "data/shelf.h"
#include "store/store.h"

/* What stands for a key of which the store said `result` (1: *found, 0: absent): a clean record or
 * an absent marker, in no table. Takes over the extent's memory if there is one. `result` if it is
 * an error; ERR_MEMORY. */
NODISCARD int record_from_store(struct keyspace *keyspace, const struct key *key, int result,
                                struct store_found *found, struct record **ret_record);
/* The marker was replaced: whoever waited for it has its key now. */
void fetch_overtaken(struct keyspace *keyspace, struct fetch *fetch);
/* Starts what could not be started before. */
void keyspace_start_fetches(struct keyspace *keyspace);
void keyspace_ready_init(struct keyspace *keyspace);
/* Calls the loads and latches of the ready lists in the next pass. */
void keyspace_ready_kick(struct keyspace *keyspace);
/* Drops the marker if it isn't pinned any more. */
void keyspace_drop_if_absent(struct keyspace *keyspace, struct shelf *shelf,
                             struct table_place place);

#endif
