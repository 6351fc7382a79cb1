/*
 * checkpointer: when to checkpoint, and which partition. Threads: the shard's.
 */
#ifndef DATA_CHECKPOINTER_H
#define DATA_CHECKPOINTER_H

#include "data/keyspace.h"
#include "data/shelf.h"
#include "shard/coro.h"

/* The coroutine; `argument` is the keyspace. Suspends. */
co_fn void keyspace_checkpointer_main(void *argument);
void keyspace_wake_checkpointer(struct keyspace *keyspace);
/* The partition a checkpoint should take next, NULL if none is due. */
struct shelf *keyspace_checkpoint_due(struct keyspace *keyspace);

#endif
