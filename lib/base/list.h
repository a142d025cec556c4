/*
 * An intrusive doubly linked list: struct list_node stands inside the element, struct list is the
 * head, and CONTAINER_OF gets from one to the other. No allocation, no lock: the list's owner has
 * it.
 */
#ifndef ACRE_LIB_LIST_H
#define ACRE_LIB_LIST_H

#include "base/base.h"

struct list_node {
    struct list_node *next; /* NULL while on no list */
    struct list_node *previous;
};

struct list {
    struct list_node head; /* next: the first element, previous: the last; itself if empty */
};

static inline void list_init(struct list *list)
{
    list->head.next = list->head.previous = &list->head;
}

/* True if the node is on a list; its memory was zero before it was first put on one. */
static inline bool list_contains(const struct list_node *node)
{
    return node->next != NULL;
}

/* Puts node, which is on no list, in front of `position`. */
static inline void list_insert_before(struct list_node *position, struct list_node *node)
{
    node->next = position;
    node->previous = position->previous;
    position->previous->next = node;
    position->previous = node;
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_insert_before(list->head.next, node);
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
    list_insert_before(&list->head, node);
}

/* Takes node off the list it is on. */
static inline void list_remove(struct list_node *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
}

/* The node after `node`, or NULL at the end. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    return node->next == &list->head ? NULL : node->next;
}

/* The node before one, or NULL if it is the first. */
static inline struct list_node *list_previous(const struct list *list, const struct list_node *node)
{
    return node->previous == &list->head ? NULL : node->previous;
}

/* The first node, or NULL if the list is empty. */
static inline struct list_node *list_first(const struct list *list)
{
    return list_next(list, &list->head);
}

/* The last one, likewise. */
static inline struct list_node *list_last(const struct list *list)
{
    return list_previous(list, &list->head);
}

#endif
