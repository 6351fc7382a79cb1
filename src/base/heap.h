/*
 * A binary heap: the node with the smallest key first. Nodes stand in the objects (`struct
 * heap_node` as a field) and know their place, so any node can be removed in O(log n). Made for
 * timers. The heap owns only its array, which grows up to the limit given at the start. One thread.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HEAP_INDEX_NONE UINT32_MAX

struct heap_node {
    uint64_t key;
    uint32_t index; /* HEAP_INDEX_NONE when in no heap */
};

struct heap {
    struct heap_node **nodes; /* owned; the nodes themselves are borrowed */
    uint32_t count;
    uint32_t capacity;
    uint32_t count_max;
};

/* Allocates nothing yet. count_max > 0. */
void heap_init(struct heap *heap, uint32_t count_max);

/* Makes room for `count` nodes, at most count_max: pushing so many can't fail. Returns 0 or
 * ERR_MEMORY. */
NODISCARD int heap_reserve(struct heap *heap, uint32_t count);

/* Frees the array; nodes still in it are forgotten. */
void heap_deinit(struct heap *heap);

/* A node in no heap. */
static inline void heap_node_init(struct heap_node *node)
{
    node->key = 0;
    node->index = HEAP_INDEX_NONE;
}

static inline bool heap_node_linked(const struct heap_node *node)
{
    return node->index != HEAP_INDEX_NONE;
}

/* Puts in `node` (in no heap, heap_node_init'ed) with `key`. Returns 0, ERR_LIMIT or ERR_MEMORY. */
NODISCARD int heap_push(struct heap *heap, struct heap_node *node, uint64_t key);

/* Takes out a node that is in this heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node with the smallest key, which stays; NULL when empty. */
static inline struct heap_node *heap_min(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}

/* Takes out the node with the smallest key; NULL when empty. */
struct heap_node *heap_pop(struct heap *heap);

#endif
