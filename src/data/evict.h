/*
 * evict: dropping clean records when memory is short. Threads: the shard's. Suspension: none.
 */
#ifndef DATA_EVICT_H
#define DATA_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include "data/keyspace.h"

/* Drops clean records until the budget is met or `buckets` have been looked at. Returns true if
 * there is no more to do now: it is met, or nothing can be dropped. */
bool keyspace_evict(struct keyspace *keyspace, uint32_t buckets);
/* Whether the hand went round in vain: what there is is dirty or pinned. */
bool keyspace_evict_rests(const struct keyspace *keyspace);

#endif
