/*
 * checkpoint: the dirty records of one partition go into its trees. Threads: the shard's.
 */
#ifndef DATA_CHECKPOINT_H
#define DATA_CHECKPOINT_H

#include <stdint.h>

#include "base/error.h"
#include "data/keyspace.h"
#include "data/shelf.h"

/* Freezes what is dirty in a partition and commits it. `applied` is LSN_NONE, or (while the log is
 * replayed) the position up to which everything is in memory. Suspends. */
NODISCARD co_fn int keyspace_checkpoint(struct keyspace *keyspace, struct shelf *shelf,
                                        uint64_t applied);
/* Waits while the published tree and the records' knowledge of it differ. Suspends. */
co_fn void shelf_wait_settled(struct shelf *shelf);

#endif
