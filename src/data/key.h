/*
 * key: a key with what is derived from it: where it belongs, and its hash.
 *
 * Made once when a command comes in, and passed around by value, also to other shards.
 */
#ifndef DATA_KEY_H
#define DATA_KEY_H

#include <stdint.h>

#include "base/slice.h"

struct keyspace;

/* A key with what is derived from it; `name` borrowed. */
struct key {
    struct slice name;
    uint64_t hash;
    uint32_t space;
    uint16_t partition;
};
struct key keyspace_key(const struct keyspace *keyspace, uint32_t space, struct slice name);
/* Hashes are seeded at random once per process, for all its keyspaces. For tests: sets the seed,
 * before there are any. */
void keyspace_set_hash_seed(uint64_t seed);
/* Which shard owns it. No keyspace needed, so that a connection's shard can ask. */
uint32_t keyspace_shard_of(struct slice name, uint32_t partitions, uint32_t shards);

#endif
