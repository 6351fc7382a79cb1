/*
 * count: open records (those of which it is not known whether the tree has their keys) and the
 * counts that depend on them. Threads: the shard's.
 */
#ifndef DATA_COUNT_H
#define DATA_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "data/keyspace.h"
#include "data/shelf.h"
#include "shard/coro.h"

/* Which open records are looked for: by hash, space, the start of their keys, and age (count.c). */
struct open_range {
    uint32_t first;
    uint32_t last;
    uint32_t space;
    struct slice prefix;
    bool old; /* only those that were opened before the count under way */
};

/* Asks the tree about an open record of a key; `name` must be stable. Afterwards it isn't open any
 * more (or gone). Suspends. */
NODISCARD co_fn int keyspace_close_open(struct keyspace *keyspace, struct shelf *shelf,
                                        const struct key *key);
/* An open record was resolved: the count under way wants to know. */
void count_resolved(struct keyspace *keyspace, struct shelf *shelf, const struct record *record,
                    bool in_tree);

/* Copies the key of an open record of the range to `name` (STORE_KEY_BYTES_MAX bytes); false if
 * there is none. */
bool shelf_find_open(struct keyspace *keyspace, struct shelf *shelf, const struct open_range *range,
                     uint8_t *name, struct key *ret_key);

#endif
