#include "base/list.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

struct item {
    int value;
    struct list_node node;
};

static int item_value(struct list_node *node)
{
    return container_of(node, struct item, node)->value;
}

/* Checks the values of the list, forwards and backwards. */
static void expect_values(struct list *list, const int *values, int count)
{
    int i = 0;
    LIST_FOREACH (list, node) {
        cr_assert_lt(i, count);
        cr_assert_eq(item_value(node), values[i++]);
    }
    cr_assert_eq(i, count);
    for (struct list_node *node = list->root.prev; node != &list->root; node = node->prev) {
        cr_assert_eq(item_value(node), values[--i]);
    }
    cr_assert_eq(i, 0);
}

#define EXPECT(list, ...) \
    expect_values(list, (int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int))

Test(list, is_empty_at_first)
{
    struct list list;
    list_init(&list);
    cr_assert(list_empty(&list));
    cr_assert_eq(list_first(&list), NULL);
    cr_assert_eq(list_last(&list), NULL);
    cr_assert_eq(list_pop_front(&list), NULL);
    cr_assert_eq(list_pop_back(&list), NULL);
    expect_values(&list, NULL, 0);
}

Test(list, keeps_order_from_both_ends)
{
    struct list list;
    struct item items[] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&list);
    list_push_back(&list, &items[1].node);
    list_push_back(&list, &items[2].node);
    list_push_front(&list, &items[0].node);
    list_push_back(&list, &items[3].node);
    EXPECT(&list, 0, 1, 2, 3);
    cr_assert_eq(list_first(&list), &items[0].node);
    cr_assert_eq(list_last(&list), &items[3].node);
    cr_assert_eq(list_next(&list, &items[0].node), &items[1].node);
    cr_assert_eq(list_next(&list, &items[3].node), NULL);
    cr_assert_eq(list_pop_front(&list), &items[0].node);
    cr_assert_eq(list_pop_back(&list), &items[3].node);
    EXPECT(&list, 1, 2);
}

Test(list, removes_from_any_place)
{
    struct list list;
    struct item items[] = {{.value = 0}, {.value = 1}, {.value = 2}};
    list_init(&list);
    for (int i = 0; i < 3; i++) {
        cr_assert_not(list_node_linked(&items[i].node));
        list_push_back(&list, &items[i].node);
        cr_assert(list_node_linked(&items[i].node));
    }
    list_remove(&items[1].node);
    cr_assert_not(list_node_linked(&items[1].node));
    EXPECT(&list, 0, 2);
    list_remove(&items[0].node);
    list_remove(&items[2].node);
    cr_assert(list_empty(&list));
    list_push_back(&list, &items[1].node);
    EXPECT(&list, 1);
}

Test(list, a_node_cannot_be_in_two_lists, .signal = SIGABRT)
{
    struct list list;
    struct item item = {.value = 0};
    list_init(&list);
    list_push_back(&list, &item.node);
    list_push_back(&list, &item.node);
}

Test(list, a_node_in_no_list_cannot_be_removed, .signal = SIGABRT)
{
    struct item item = {.value = 0};
    list_remove(&item.node);
}

Test(list, safe_visit_may_free_the_node)
{
    struct list list;
    list_init(&list);
    for (int i = 0; i < 10; i++) {
        struct item *item = calloc(1, sizeof(*item));
        item->value = i;
        list_push_back(&list, &item->node);
    }
    int visited = 0;
    LIST_FOREACH_SAFE (&list, node) {
        cr_assert_eq(item_value(node), visited);
        visited++;
        list_remove(node);
        free(container_of(node, struct item, node));
    }
    cr_assert_eq(visited, 10);
    cr_assert(list_empty(&list));
}

Test(list, splices_all_behind)
{
    struct list to;
    struct list from;
    struct item items[] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from);
    cr_assert(list_empty(&to));
    list_push_back(&from, &items[0].node);
    list_push_back(&from, &items[1].node);
    list_splice_back(&to, &from);
    cr_assert(list_empty(&from));
    EXPECT(&to, 0, 1);
    list_push_back(&from, &items[2].node);
    list_push_back(&from, &items[3].node);
    list_splice_back(&to, &from);
    EXPECT(&to, 0, 1, 2, 3);
    list_splice_back(&to, &from);
    EXPECT(&to, 0, 1, 2, 3);
}
