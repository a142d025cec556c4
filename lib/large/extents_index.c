/*
 * The index over a table of extents, a treap, and the searches in it: see extents_index.h. Nothing
 * here recurses, and but for the index nothing is changed.
 */
#include "large/extents_index.h"

/* ---- The treap ---- */

/* An entry's place in the heap order, the highest on top: different for each entry, and as good as
 * random (the finaliser of SplitMix64: Steele, Lea and Flood 2014). */
static uint64_t priority(const struct extent *entry)
{
    uint64_t x = (uint64_t)(uintptr_t)entry;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* What an entry amounts to by itself. */
static struct extent_summary summary_of(const struct extent *entry)
{
    bool stock = entry->state == EXTENT_STOCK;
    size_t run = stock ? entry->size : 0;
    return (struct extent_summary){
        .base = entry->base,
        .end = extent_end(entry),
        .head = run,
        .tail = run,
        .largest = run,
        .oldest = stock ? entry->stamp : EXTENT_KEPT,
        .pieces = 1,
    };
}

/* True if all of it is one run. */
static bool is_run(const struct extent_summary *summary)
{
    return summary->head == summary->end - summary->base;
}

/* What two neighbours amount to, each of one entry or more. */
static struct extent_summary add(const struct extent_summary *a, const struct extent_summary *b)
{
    bool touch = a->end == b->base;
    return (struct extent_summary){
        .base = a->base,
        .end = b->end,
        .head = touch && is_run(a) ? a->head + b->head : a->head,
        .tail = touch && is_run(b) ? a->tail + b->tail : b->tail,
        .largest = max_size(touch ? a->tail + b->head : 0, max_size(a->largest, b->largest)),
        .oldest = extent_earlier(a->oldest, b->oldest),
        .pieces = a->pieces + b->pieces - touch,
    };
}

static bool equal(const struct extent_summary *a, const struct extent_summary *b)
{
    return a->base == b->base && a->end == b->end && a->head == b->head && a->tail == b->tail &&
           a->largest == b->largest && a->oldest == b->oldest && a->pieces == b->pieces;
}

/* Sums up a node and its children. False if that changed nothing. */
static bool refresh(struct extent *node)
{
    struct extent_summary sum = summary_of(node);
    if (node->left != NULL)
        sum = add(&node->left->below, &sum);
    if (node->right != NULL)
        sum = add(&sum, &node->right->below);
    bool changed = !equal(&sum, &node->below);
    node->below = sum;
    return changed;
}

void extents_index_update(struct extent *node)
{
    while (node != NULL && refresh(node))
        node = node->parent;
}

/* The pointer that leads to node from above. */
static struct extent **link_to(struct extents *table, struct extent *node)
{
    if (node->parent == NULL)
        return &table->root;
    return node->parent->left == node ? &node->parent->left : &node->parent->right;
}

/* Rotates node above its parent; the order by address stays. */
static void rotate_up(struct extents *table, struct extent *node)
{
    struct extent *parent = node->parent;
    struct extent *moved; /* the subtree between the two, which changes sides */

    *link_to(table, parent) = node;
    node->parent = parent->parent;
    parent->parent = node;
    if (parent->left == node) {
        moved = node->right;
        parent->left = moved;
        node->right = parent;
    } else {
        moved = node->left;
        parent->right = moved;
        node->left = parent;
    }
    if (moved != NULL)
        moved->parent = parent;
    refresh(parent);
    refresh(node);
}

void extents_index_insert(struct extents *table, struct extent *node)
{
    struct extent *parent = NULL;
    struct extent **link = &table->root;

    while (*link != NULL) {
        parent = *link;
        link = node->base < parent->base ? &parent->left : &parent->right;
    }
    node->parent = parent;
    node->left = node->right = NULL;
    *link = node;
    refresh(node);
    while (node->parent != NULL && priority(node->parent) < priority(node))
        rotate_up(table, node);
    extents_index_update(node->parent);
}

void extents_index_remove(struct extents *table, struct extent *node)
{
    extents_index_update(node);
    while (node->left != NULL && node->right != NULL)
        rotate_up(table, priority(node->left) > priority(node->right) ? node->left : node->right);

    struct extent *child = node->left != NULL ? node->left : node->right;
    *link_to(table, node) = child;
    if (child != NULL)
        child->parent = node->parent;
    extents_index_update(node->parent);
}

bool extents_index_is_valid_at(const struct extents *table, const struct extent *node)
{
    struct extent copy = *node;

    if (node->state != EXTENT_LIVE && node->state != EXTENT_STOCK)
        return false;
    if (node->size == 0 || node->size > UINTPTR_MAX - node->base)
        return false;
    if (node->parent == NULL ? table->root != node
                             : node->parent->left != node && node->parent->right != node)
        return false;
    if (node->parent != NULL && priority(node->parent) < priority(node))
        return false;
    if ((node->left != NULL && node->left->parent != node) ||
        (node->right != NULL && node->right->parent != node))
        return false;
    return !refresh(&copy);
}

/* ---- Searches ---- */

struct extent *extents_at(const struct extents *table, uintptr_t address)
{
    struct extent *node = table->root;
    struct extent *below = NULL; /* the last entry that begins at or below the address */

    while (node != NULL) {
        if (address < node->base) {
            node = node->left;
        } else {
            below = node;
            node = node->right;
        }
    }
    return below != NULL && address - below->base < below->size ? below : NULL;
}

bool extents_is_between(const struct extents *table, const struct extent *entry)
{
    return extents_at(table, entry->base - 1) != NULL &&
           extents_at(table, extent_end(entry)) != NULL;
}

struct extent *extents_stock_before(const struct extents *table, const struct extent *entry)
{
    struct extent *before = extents_at(table, entry->base - 1);
    return before != NULL && before->state == EXTENT_STOCK ? before : NULL;
}

struct extent *extents_stock_behind(const struct extents *table, const struct extent *entry)
{
    struct extent *behind = extents_at(table, extent_end(entry));
    return behind != NULL && behind->state == EXTENT_STOCK ? behind : NULL;
}

/* The node after the whole subtree under `node`; NULL at the end. */
static struct extent *next_above(const struct extent *node)
{
    while (node->parent != NULL && node->parent->right == node)
        node = node->parent;
    return node->parent;
}

/* The run that begins with `entry`. */
static struct extent_run run_of(const struct extent *entry)
{
    struct extent_run run = {.base = entry->base, .size = entry->size};

    for (;;) {
        const struct extent *right = entry->right;
        if (right != NULL) {
            if (right->below.base != run.base + run.size)
                return run;
            run.size += right->below.head;
            if (!is_run(&right->below))
                return run;
        }
        entry = next_above(entry);
        if (entry == NULL || entry->state != EXTENT_STOCK || entry->base != run.base + run.size)
            return run;
        run.size += entry->size;
    }
}

/* Where the lowest run of at least `size` bytes under `node` begins; it is known to have one. */
static uintptr_t lowest_below(const struct extent *node, size_t size)
{
    for (;;) {
        if (node->left != NULL && node->left->below.largest >= size) {
            node = node->left;
            continue;
        }
        struct extent_summary sum = summary_of(node);
        if (node->left != NULL)
            sum = add(&node->left->below, &sum);
        uintptr_t start = sum.end - sum.tail;
        if (node->right == NULL)
            return start;
        bool touch = sum.end == node->right->below.base;
        if (sum.tail + (touch ? node->right->below.head : 0) >= size && sum.tail != 0)
            return start;
        node = node->right;
    }
}

/* The first entry that begins at or above an address. */
static const struct extent *first_from(const struct extents *table, uintptr_t from)
{
    const struct extent *found = NULL;

    for (const struct extent *node = table->root; node != NULL;) {
        if (node->base >= from) {
            found = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

bool extents_run_from(const struct extents *table, uintptr_t from, size_t size,
                      struct extent_run *run)
{
    const struct extent *node = first_from(table, from);
    struct extent_summary seen = {.base = from, .end = from, .oldest = EXTENT_KEPT};

    /* `seen` is all from `from` on to the node; no run in it is large enough so far. */
    for (; node != NULL; node = next_above(node)) {
        struct extent_summary next = summary_of(node);
        next = add(&seen, &next);
        if (next.tail >= size) {
            *run = run_of(extents_at(table, next.end - next.tail));
            return true;
        }
        seen = next;
        if (node->right == NULL)
            continue;
        const struct extent_summary *right = &node->right->below;
        next = add(&seen, right);
        if (next.largest >= size) {
            bool across = seen.end == right->base && seen.tail + right->head >= size;
            uintptr_t start =
                across && seen.tail != 0 ? seen.end - seen.tail : lowest_below(node->right, size);
            *run = run_of(extents_at(table, start));
            return true;
        }
        seen = next;
    }
    return false;
}

struct extent *extents_oldest(const struct extents *table)
{
    struct extent *node = table->root;
    uint64_t oldest = extents_oldest_stamp(table);

    if (oldest == EXTENT_KEPT)
        return NULL;
    while (node->state != EXTENT_STOCK || node->stamp != oldest)
        node = node->left != NULL && node->left->below.oldest == oldest ? node->left : node->right;
    return node;
}

struct extent *extents_first(const struct extents *table)
{
    struct extent *node = table->root;
    while (node != NULL && node->left != NULL)
        node = node->left;
    return node;
}

struct extent *extents_next(const struct extent *entry)
{
    struct extent *node = entry->right;
    if (node == NULL)
        return next_above(entry);
    while (node->left != NULL)
        node = node->left;
    return node;
}
