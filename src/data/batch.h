/*
 * batch: the records of one checkpoint, by pointer, in the order in which a commit wants them.
 *
 * The order is by space, then key. To compare two records one would have to fetch both from memory
 * each time, so an item carries a head: eight bytes of (space, key) from the first byte on that
 * differs among them.
 *
 * Threads: the shard's. The records stay where they are as long as the batch lives (they are
 * frozen).
 */
#ifndef DATA_BATCH_H
#define DATA_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/record_impl.h"
#include "shard/coro.h"

struct batch_item {
    uint64_t head;
    struct record *record; /* borrowed */
};

struct batch {
    struct batch_item *items; /* owned */
    uint32_t count;
    uint32_t capacity;
    uint32_t common;  /* bytes that all have in common at the start of (space, key) */
    uint8_t *existed; /* owned; a bit for each: the tree had the key */
};

enum { BATCH_RECORDS_MAX = 1 << 30 };

/* An empty batch with room for so many; it grows. ERR_MEMORY. */
NODISCARD int batch_init(struct batch *batch, uint64_t records);
void batch_deinit(struct batch *batch);
/* ERR_MEMORY or ERR_LIMIT: the batch is as before. */
NODISCARD int batch_add(struct batch *batch, struct record *record);
/* Sorts it, in small steps, and makes room for `existed`. ERR_MEMORY. Suspends. */
NODISCARD co_fn int batch_sort(struct batch *batch);

static inline void batch_set_existed(struct batch *batch, uint32_t index)
{
    batch->existed[index / 8] |= (uint8_t)(1U << index % 8);
}

static inline bool batch_existed(const struct batch *batch, uint32_t index)
{
    return (batch->existed[index / 8] >> index % 8 & 1) != 0;
}

#endif
