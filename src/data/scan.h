/*
 * scan: walking all keys of a partition while they change, for SCAN, KEYS and DEBUG.
 *
 * Two phases. First the table's dirty records whose key is not (known to be) in the tree, in hash
 * order: that order survives the growth of the table, and a position is 32 bits. Then the tree in
 * key order, skipping what the table has deleted. A key that exists from start to end is met: if it
 * is not in the tree when the first phase passes its place, the first phase reports it; once in the
 * tree it stays there; if a checkpoint moves it there before the first phase gets to it, the second
 * phase finds it. A key met twice is possible if it was written during the walk, or if a checkpoint
 * moved it between two calls; not within one call that walks the whole partition.
 */
#ifndef DATA_SCAN_H
#define DATA_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "data/keyspace.h"

/* A position; a plain value except for the key, which is kept in the caller's buffer. */
struct scan_position {
    bool in_tree;       /* second phase */
    uint32_t hash_next; /* first phase: the next hash prefix */
    bool after_key;     /* second phase: keys > key come next; false: from the start */
    uint32_t key_bytes;
    uint8_t key[STORE_KEY_BYTES_MAX];
};

typedef bool scan_each_fn(void *context, struct slice key, const struct record *record_or_null,
                          uint8_t type); /* false: stop after this one */

/* What to walk. */
struct scan_range {
    uint32_t partition;
    uint32_t space;
    struct slice prefix;  /* keys that begin with it; borrowed */
    uint32_t examine_max; /* about so many keys; UINT32_MAX: all, with checkpoints of the partition
                             kept away meanwhile */
};

/* Goes on from *position (zeroed: the start). `each` must not change the keyspace. Returns 1 if
 * more is left (position moved), 0 at the partition's end, or an error. Suspends. */
NODISCARD co_fn int scan_partition(struct keyspace *keyspace, const struct scan_range *range,
                                   struct scan_position *position, scan_each_fn *each,
                                   void *context);

/* The first phase alone, over the whole partition: each key that is in memory and not in the tree.
 * Of such a key that is written meanwhile it may be told twice. 1 if `each` has stopped it.
 * Suspends. */
NODISCARD co_fn int scan_partition_fresh(struct keyspace *keyspace, uint32_t partition,
                                         uint32_t space, scan_each_fn *each, void *context);

/* ---- cursors: numbers that clients hold ---- */

/* A bounded table of positions, per shard (the one that owns the cursor's partition). A cursor's
 * number is below 2^53: the partition + 1 above a serial of 38 bits. The number of a position stays
 * valid until CURSORS_MAX newer ones exist. 0 starts and ends. */
enum { SCAN_CURSORS_MAX = 16384 };
struct scan_cursors;
NODISCARD int scan_cursors_create(uint32_t cursors_max, struct scan_cursors **ret_cursors);
void scan_cursors_destroy(struct scan_cursors *cursors);
/* Memory is allocated as cursors are used. The number never repeats, also not after a restart
 * (serials begin at a random point). */
NODISCARD int scan_cursors_put(struct scan_cursors *cursors, uint32_t partition, uint32_t space,
                               const struct scan_position *position, uint64_t *ret_number);
/* ERR_NOT_FOUND: unknown or forgotten. */
NODISCARD int scan_cursors_get(const struct scan_cursors *cursors, uint64_t number,
                               uint32_t *ret_space, struct scan_position *ret_position);
uint32_t scan_cursor_partition(uint64_t number); /* UINT32_MAX if the number can't be a cursor */

#endif
