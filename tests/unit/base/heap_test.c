#include "base/heap.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "base/mem.h"
#include "base/random.h"

Test(heap, is_empty_at_first)
{
    struct heap heap;
    heap_init(&heap, 4);
    cr_assert_eq(heap_min(&heap), NULL);
    cr_assert_eq(heap_pop(&heap), NULL);
    heap_deinit(&heap);
}

Test(heap, gives_the_smallest_key_first)
{
    static const uint64_t keys[] = {5, 3, 9, 1, 7, 3, 0, UINT64_MAX, 2};
    static const uint64_t sorted[] = {0, 1, 2, 3, 3, 5, 7, 9, UINT64_MAX};
    struct heap heap;
    struct heap_node nodes[9];
    heap_init(&heap, 9);
    for (int i = 0; i < 9; i++) {
        heap_node_init(&nodes[i]);
        cr_assert_eq(heap_push(&heap, &nodes[i], keys[i]), 0);
        cr_assert(heap_node_linked(&nodes[i]));
    }
    for (int i = 0; i < 9; i++) {
        cr_assert_eq(heap_min(&heap)->key, sorted[i]);
        struct heap_node *node = heap_pop(&heap);
        cr_assert_eq(node->key, sorted[i]);
        cr_assert_not(heap_node_linked(node));
    }
    heap_deinit(&heap);
}

Test(heap, holds_its_limit_and_not_one_more)
{
    struct heap heap;
    struct heap_node nodes[101];
    heap_init(&heap, 100);
    for (int i = 0; i < 100; i++) {
        heap_node_init(&nodes[i]);
        cr_assert_eq(heap_push(&heap, &nodes[i], (uint64_t)i), 0);
    }
    heap_node_init(&nodes[100]);
    cr_assert_eq(heap_push(&heap, &nodes[100], 0), ERR_LIMIT);
    cr_assert_not(heap_node_linked(&nodes[100]));
    cr_assert_eq(heap.count, 100);
    heap_remove(&heap, &nodes[50]);
    cr_assert_eq(heap_push(&heap, &nodes[100], 0), 0);
    heap_deinit(&heap);
}

Test(heap, takes_what_was_reserved_without_memory)
{
    enum { COUNT = 100 };
    struct heap heap;
    struct heap_node nodes[COUNT + 1];
    heap_init(&heap, 1000);
    mem_fail_after(1, true);
    cr_assert_eq(heap_reserve(&heap, COUNT), ERR_MEMORY);
    mem_fail_after(0, false);
    cr_assert_eq(heap_reserve(&heap, COUNT), 0);
    cr_assert_eq(heap_reserve(&heap, 1), 0);
    mem_fail_after(1, true);
    for (uint32_t i = 0; i < COUNT; i++) {
        heap_node_init(&nodes[i]);
        cr_assert_eq(heap_push(&heap, &nodes[i], i), 0);
    }
    heap_node_init(&nodes[COUNT]);
    cr_assert_eq(heap_push(&heap, &nodes[COUNT], 0), ERR_MEMORY);
    mem_fail_after(0, false);
    heap_deinit(&heap);
}

Test(heap, is_unchanged_when_memory_is_out)
{
    struct heap heap;
    struct heap_node node;
    heap_init(&heap, 100);
    heap_node_init(&node);
    mem_fail_after(1, false);
    cr_assert_eq(heap_push(&heap, &node, 1), ERR_MEMORY);
    cr_assert_not(heap_node_linked(&node));
    cr_assert_eq(heap_push(&heap, &node, 1), 0);
    heap_deinit(&heap);
}

Test(heap, a_node_cannot_be_put_in_twice, .signal = SIGABRT)
{
    struct heap heap;
    struct heap_node node;
    heap_init(&heap, 100);
    heap_node_init(&node);
    cr_assert_eq(heap_push(&heap, &node, 1), 0);
    (void)!heap_push(&heap, &node, 2);
}

Test(heap, a_node_that_is_not_in_it_cannot_be_removed, .signal = SIGABRT)
{
    struct heap heap;
    struct heap_node node;
    heap_init(&heap, 100);
    heap_node_init(&node);
    heap_remove(&heap, &node);
}

static void expect_heap(const struct heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        cr_assert_eq(heap->nodes[i]->index, i);
        cr_assert(i == 0 || heap->nodes[(i - 1) / 2]->key <= heap->nodes[i]->key);
    }
}

Test(heap, keeps_its_order_under_random_pushes_and_removals)
{
    enum { NODES = 200 };
    struct heap heap;
    struct heap_node nodes[NODES];
    struct random random;
    random_seed(&random, 12);
    heap_init(&heap, NODES);
    for (int i = 0; i < NODES; i++) {
        heap_node_init(&nodes[i]);
    }
    for (int step = 0; step < 10000; step++) {
        struct heap_node *node = &nodes[random_below(&random, NODES)];
        if (heap_node_linked(node)) {
            heap_remove(&heap, node);
            cr_assert_not(heap_node_linked(node));
        } else {
            cr_assert_eq(heap_push(&heap, node, random_below(&random, 50)), 0);
        }
        expect_heap(&heap);
    }
    uint64_t last = 0;
    for (struct heap_node *node = heap_pop(&heap); node != NULL; node = heap_pop(&heap)) {
        cr_assert_geq(node->key, last);
        last = node->key;
    }
    heap_deinit(&heap);
}
