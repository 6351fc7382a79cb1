/*
 * latch_impl: what the keyspace does with its latches; the face is latch.h. Threads: the shard's.
 * Suspension: none.
 */
#ifndef DATA_LATCH_IMPL_H
#define DATA_LATCH_IMPL_H

#include "base/error.h"
#include "data/keyspace.h"

struct latch_table;

NODISCARD int latch_table_create(struct latch_table **ret_latches);
void latch_table_destroy(struct latch_table *latches);
/* Requests that were held back for a freeze may join. */
void latch_unhold(struct keyspace *keyspace);
/* Calls what is due; used by the ready message. */
void latch_run_ready(struct keyspace *keyspace);

#endif
