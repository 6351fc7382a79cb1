/*
 * extent: reading large values. An extent is one run of pages in one data file; its checksum, which
 * is seeded with its place, stands in the leaf.
 *
 * Who calls: tree_search.c, tree_cursor.c, tree_verify.c. One thread; co_fn as marked.
 */
#ifndef STORE_EXTENT_H
#define STORE_EXTENT_H

#include <stdint.h>

#include "base/error.h"
#include "shard/coro.h"
#include "store/leaf.h"
#include "store/partition.h"

static inline uint32_t extent_pages(const struct extent *extent)
{
    return (uint32_t)div_ceil(extent->bytes, STORE_PAGE_BYTES);
}

/* Reads and checks the value: *ret_value is mem_alloc'ed, the caller's, and holds whole pages, of
 * which extent->bytes are the value. Some version that has the extent is held. ERR_CORRUPT, -EIO,
 * ERR_MEMORY. Suspends. */
NODISCARD co_fn int extent_read(struct partition *partition, const struct extent *extent,
                                uint8_t **ret_value);

#endif
