#include "base/heap.h"

#include "base/bytes.h"
#include "base/mem.h"

#define HEAP_CAPACITY_FIRST 16

void heap_init(struct heap *heap, uint32_t count_max)
{
    ASSERT(count_max > 0 && count_max < HEAP_INDEX_NONE);
    *heap = (struct heap){.count_max = count_max};
}

void heap_deinit(struct heap *heap)
{
    mem_free(heap->nodes);
    heap_init(heap, heap->count_max);
}

static void heap_place(struct heap *heap, uint32_t index, struct heap_node *node)
{
    heap->nodes[index] = node;
    node->index = index;
}

/* Moves `node` from the hole at `index` up until its parent is not larger. */
static void heap_sift_up(struct heap *heap, uint32_t index, struct heap_node *node)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (heap->nodes[parent]->key <= node->key) {
            break;
        }
        heap_place(heap, index, heap->nodes[parent]);
        index = parent;
    }
    heap_place(heap, index, node);
}

/* Moves `node` from the hole at `index` down until no child is smaller. */
static void heap_sift_down(struct heap *heap, uint32_t index, struct heap_node *node)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)index + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key) {
            child++;
        }
        if (node->key <= heap->nodes[child]->key) {
            break;
        }
        heap_place(heap, index, heap->nodes[child]);
        index = (uint32_t)child;
    }
    heap_place(heap, index, node);
}

static int heap_resize(struct heap *heap, uint32_t capacity)
{
    void *nodes = mem_realloc(heap->nodes, (size_t)capacity * sizeof(struct heap_node *));
    if (nodes == NULL) {
        return ERR_MEMORY;
    }
    heap->nodes = nodes;
    heap->capacity = capacity;
    return 0;
}

int heap_reserve(struct heap *heap, uint32_t count)
{
    ASSERT(count > 0 && count <= heap->count_max);
    return count <= heap->capacity ? 0 : heap_resize(heap, count);
}

static int heap_grow(struct heap *heap)
{
    if (heap->count == heap->count_max) {
        return ERR_LIMIT;
    }
    uint64_t wanted = max_u64((uint64_t)heap->capacity * 2, HEAP_CAPACITY_FIRST);
    return heap_resize(heap, (uint32_t)min_u64(wanted, heap->count_max));
}

int heap_push(struct heap *heap, struct heap_node *node, uint64_t key)
{
    ASSERT(!heap_node_linked(node));
    if (heap->count == heap->capacity) {
        TRY(heap_grow(heap));
    }
    node->key = key;
    heap->count++;
    heap_sift_up(heap, heap->count - 1, node);
    return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    uint32_t index = node->index;
    ASSERT(index < heap->count);
    ASSERT(heap->nodes[index] == node);
    heap->count--;
    struct heap_node *last = heap->nodes[heap->count];
    if (last != node) {
        /* The last one fills the hole; it may belong above it or below it, but not both. */
        if (last->key < node->key) {
            heap_sift_up(heap, index, last);
        } else {
            heap_sift_down(heap, index, last);
        }
    }
    node->index = HEAP_INDEX_NONE;
}

struct heap_node *heap_pop(struct heap *heap)
{
    struct heap_node *node = heap_min(heap);
    if (node != NULL) {
        heap_remove(heap, node);
    }
    return node;
}
