/*
 * put: changes below the face of keyspace.h: for recovery, for what other shards have logged, for
 * expiry. put.c has those of whole records, range.c those of a part. Threads: the shard's.
 * Suspension: none.
 */
#ifndef DATA_PUT_H
#define DATA_PUT_H

#include <stdint.h>

#include "base/error.h"
#include "data/keyspace.h"
#include "data/shelf.h"

/* Puts without a look at sizes or time. Takes over put->blob in any case. */
NODISCARD int keyspace_set(struct keyspace *keyspace, const struct key *key, const struct put *put);
/* Removes a key, whether it is known or not. ERR_MEMORY. */
NODISCARD int keyspace_erase(struct keyspace *keyspace, const struct key *key);
/* Removes the live record at `place`. Returns 1 or ERR_MEMORY (only while it is frozen). */
NODISCARD int keyspace_erase_found(struct keyspace *keyspace, struct shelf *shelf,
                                   const struct key *key, struct table_place place);

/* These look at no clock: recovery uses them on records that may have expired since. */
NODISCARD int keyspace_set_expire_found(struct keyspace *keyspace, const struct key *key,
                                        struct record *record, int64_t expire_ms);
NODISCARD int keyspace_write_range_found(struct keyspace *keyspace, const struct key *key,
                                         struct record *record, uint64_t offset,
                                         struct slice bytes);

/* A record with the same value (the blob shared) and other figures; in no table. NULL when memory
 * is out. */
NODISCARD struct record *record_copy(const struct record *record, int64_t expire_ms, uint8_t meta);

#endif
