/*
 * expire: time, and removing what has expired. Threads: the shard's. Suspension: none.
 */
#ifndef DATA_EXPIRE_H
#define DATA_EXPIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "data/keyspace.h"
#include "data/shelf.h"

int64_t keyspace_now_ms(struct keyspace *keyspace);
static inline bool record_has_expired(const struct record *record, int64_t now_ms)
{
    return (record->flags & RECORD_EXPIRES) != 0 && record_load_expire(record) <= now_ms;
}
/* Removes the expired record at `place`, with a logged deletion. If memory is out it stays, and
 * stays invisible. */
void keyspace_expire(struct keyspace *keyspace, struct shelf *shelf, const struct key *key,
                     struct table_place place);
/* One step of the sweep, in a coroutine of its own, unless it runs already. */
void keyspace_expire_tick(struct keyspace *keyspace);

#endif
