/*
 * A doubly linked list whose links stand in the objects (`struct list_node` as a field), so nothing
 * is allocated and an object leaves its list in O(1). The list owns nothing. A list points to
 * itself: it must be set up by list_init and must not be copied or moved. One thread at a time.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list_node {
    struct list_node *next; /* NULL when in no list */
    struct list_node *prev;
};

struct list {
    struct list_node root; /* next is the first, prev the last; both `&root` when empty */
};

/* The object whose field `member` is at `pointer`. */
#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->root.next = &list->root;
    list->root.prev = &list->root;
}

/* A node that is in no list. Zeroed memory is such a node too. */
static inline void list_node_init(struct list_node *node)
{
    node->next = NULL;
    node->prev = NULL;
}

static inline bool list_node_linked(const struct list_node *node)
{
    return node->next != NULL;
}

static inline bool list_empty(const struct list *list)
{
    return list->root.next == &list->root;
}

/* Puts `node`, which is in no list, between two neighbours. */
static inline void list_link(struct list_node *prev, struct list_node *node, struct list_node *next)
{
    ASSERT(!list_node_linked(node));
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_link(&list->root, node, list->root.next);
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
    list_link(list->root.prev, node, &list->root);
}

/* Takes `node` out of the list it is in. */
static inline void list_remove(struct list_node *node)
{
    ASSERT(list_node_linked(node));
    ASSERT(node->next->prev == node && node->prev->next == node);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_node_init(node);
}

/* NULL when empty. */
static inline struct list_node *list_first(const struct list *list)
{
    return list_empty(list) ? NULL : list->root.next;
}

static inline struct list_node *list_last(const struct list *list)
{
    return list_empty(list) ? NULL : list->root.prev;
}

/* The node after `node`, NULL behind the last. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    return node->next == &list->root ? NULL : node->next;
}

/* Takes out the first and returns it; NULL when empty. */
static inline struct list_node *list_pop_front(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

/* Takes out the last and returns it; NULL when empty. */
static inline struct list_node *list_pop_back(struct list *list)
{
    struct list_node *node = list_last(list);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

/* Moves all nodes of `from` behind those of `to`, in order; `from` is empty then. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->root.next->prev = to->root.prev;
    to->root.prev->next = from->root.next;
    from->root.prev->next = &to->root;
    to->root.prev = from->root.prev;
    list_init(from);
}

/* Visits each node, first to last. The list must not change meanwhile. */
#define LIST_FOREACH(list, node) \
    for (struct list_node *node = (list)->root.next; node != &(list)->root; node = node->next)

/* As LIST_FOREACH, but the node being visited may leave the list (and may be freed). */
#define LIST_FOREACH_SAFE(list, node)                                            \
    for (struct list_node *node = (list)->root.next, *node##_next_ = node->next; \
         node != &(list)->root; node = node##_next_, node##_next_ = node->next)

#endif
