/*
 * The table of LARGE blocks and free extents and its index: see extents.h. Owns no state; nothing
 * here calls the system. The functions that recurse do so as deep as the treap is: expected 2 ln n.
 */
#include "large/extents.h"

#include <assert.h>
#include <string.h>

static_assert(EXTENT_UNUSED == 0, "a new chunk, all zero, is a chunk of unused entries");

/* ---- Summaries ---- */

/* Added to a stamp, which is no time then. */
#define RANKED_LAST (UINT64_C(1) << 62)

/* In which order STOCK extents lose their contents: the least one first, EXTENT_KEPT never. */
static uint64_t rank(const struct extent *entry)
{
    if (entry->state != EXTENT_STOCK || entry->zero || entry->stamp == EXTENT_KEPT)
        return EXTENT_KEPT;
    bool whole = align_up(entry->base, EXTENT_HUGE_PAGE) + EXTENT_HUGE_PAGE <= extent_end(entry);
    return whole ? entry->stamp : entry->stamp | RANKED_LAST;
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
        .oldest_dirty = rank(entry),
        .pieces = 1,
        .live = stock ? 0 : entry->size,
        .blocks = !stock,
        .stock = run,
        .dirty = entry->zero ? 0 : run,
    };
}

/* True if all of it is one run. */
static bool is_run(const struct extent_summary *summary)
{
    return summary->head == summary->end - summary->base;
}

/* What two neighbours amount to. */
static struct extent_summary add(const struct extent_summary *a, const struct extent_summary *b)
{
    bool touch = a->end == b->base;
    return (struct extent_summary){
        .base = a->base,
        .end = b->end,
        .head = touch && is_run(a) ? a->head + b->head : a->head,
        .tail = touch && is_run(b) ? a->tail + b->tail : b->tail,
        .largest = max_size(touch ? a->tail + b->head : 0, max_size(a->largest, b->largest)),
        .oldest = a->oldest < b->oldest ? a->oldest : b->oldest,
        .oldest_dirty = a->oldest_dirty < b->oldest_dirty ? a->oldest_dirty : b->oldest_dirty,
        .pieces = a->pieces + b->pieces - touch,
        .live = a->live + b->live,
        .blocks = a->blocks + b->blocks,
        .stock = a->stock + b->stock,
        .dirty = a->dirty + b->dirty,
    };
}

/* Sums up a node and its children. */
static void refresh(struct extent *node)
{
    struct extent_summary sum = summary_of(node);
    if (node->left != NULL)
        sum = add(&node->left->below, &sum);
    if (node->right != NULL)
        sum = add(&sum, &node->right->below);
    node->below = sum;
}

/* Sums up again the nodes on the way to the entry at an address, or to where it was. */
static void refresh_to(struct extent *node, uintptr_t base)
{
    if (node == NULL)
        return;
    if (base != node->base)
        refresh_to(base < node->base ? node->left : node->right, base);
    refresh(node);
}

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

/* Makes two trees of one: what is below an address, and the rest. */
static void split_tree(struct extent *tree, uintptr_t address, struct extent **low,
                       struct extent **high)
{
    if (tree == NULL) {
        *low = *high = NULL;
        return;
    }
    if (tree->base < address) {
        split_tree(tree->right, address, &tree->right, high);
        *low = tree;
    } else {
        split_tree(tree->left, address, low, &tree->left);
        *high = tree;
    }
    refresh(tree);
}

/* Makes one tree of two, of which the first has the lower addresses. */
static struct extent *join_trees(struct extent *low, struct extent *high)
{
    if (low == NULL || high == NULL)
        return low != NULL ? low : high;
    if (priority(low) > priority(high)) {
        low->right = join_trees(low->right, high);
        refresh(low);
        return low;
    }
    high->left = join_trees(low, high->left);
    refresh(high);
    return high;
}

static void index_insert(struct extents *table, struct extent *node)
{
    struct extent **link = &table->root;
    while (*link != NULL && priority(*link) > priority(node))
        link = node->base < (*link)->base ? &(*link)->left : &(*link)->right;
    split_tree(*link, node->base, &node->left, &node->right);
    *link = node;
    refresh_to(table->root, node->base);
}

static void index_remove(struct extents *table, struct extent *node)
{
    struct extent **link = &table->root;
    while (*link != node) /* which is in the tree: NOLINTNEXTLINE(*-core.NullDereference) */
        link = node->base < (*link)->base ? &(*link)->left : &(*link)->right;
    *link = join_trees(node->left, node->right);
    refresh_to(table->root, node->base);
}

/* ---- Searches ---- */

const struct extent_summary *extents_sum(const struct extents *table)
{
    static const struct extent_summary nothing = {.oldest = EXTENT_KEPT,
                                                  .oldest_dirty = EXTENT_KEPT};
    return table->root != NULL ? &table->root->below : &nothing;
}

struct extent *extents_at(const struct extents *table, uintptr_t address)
{
    struct extent *last = NULL; /* that begins at or below the address */

    for (struct extent *node = table->root; node != NULL;) {
        if (address < node->base) {
            node = node->left;
        } else {
            last = node;
            node = node->right;
        }
    }
    return last != NULL && address - last->base < last->size ? last : NULL;
}

/* Goes on from a run, which may be empty, over what follows it. True if it ends there with `size`
 * bytes or more; else *run is the one that what follows ends with. */
static bool pass(struct extent_run *run, const struct extent_summary *next, size_t size)
{
    bool touch = next->base == run->base + run->size;
    if (touch)
        run->size += next->head;
    if (touch && is_run(next))
        return false;
    if (run->size >= size)
        return true;
    *run = (struct extent_run){.base = next->end - next->tail, .size = next->tail};
    return false;
}

static bool pass_entry(struct extent_run *run, const struct extent *entry, size_t size)
{
    struct extent_summary own = summary_of(entry);
    return pass(run, &own, size);
}

/* Passes the entries of a subtree that begin at or above `from`, by whole subtrees where that is
 * enough. True when the run is found. */
static bool pass_tree(struct extent_run *run, const struct extent *tree, uintptr_t from,
                      size_t size)
{
    if (tree == NULL || tree->below.end <= from)
        return false;
    if (tree->below.base >= from && (tree->below.largest < size || is_run(&tree->below)))
        return pass(run, &tree->below, size);
    return pass_tree(run, tree->left, from, size) ||
           (tree->base >= from && pass_entry(run, tree, size)) ||
           pass_tree(run, tree->right, from, size);
}

bool extents_run_from(const struct extents *table, uintptr_t from, size_t size,
                      struct extent_run *run)
{
    *run = (struct extent_run){.base = from};
    return pass_tree(run, table->root, from, size) || run->size >= size;
}

uintptr_t extents_find_room(const struct extents *table, size_t size, size_t alignment)
{
    struct extent_run run = {0};
    uintptr_t best = 0;
    size_t least = SIZE_MAX; /* bytes left over in the best run */
    int fits = 0;

    for (int tries = 0; tries < EXTENTS_ALIGNED_TRIES; tries++) {
        if (!extents_run_from(table, run.base + run.size, size, &run))
            return best;
        uintptr_t start = align_up(run.base, alignment);
        size_t skipped = start - run.base;
        if (skipped > run.size || size > run.size - skipped)
            continue;
        if (run.size - size < least) {
            least = run.size - size;
            best = start;
        }
        if (least == 0 || ++fits == EXTENTS_FIT_TRIES)
            return best;
    }
    if (best == 0 && extents_run_from(table, run.base + run.size, size + alignment - 1, &run))
        best = align_up(run.base, alignment);
    return best;
}

struct extent *extents_oldest(const struct extents *table)
{
    struct extent *node = table->root;
    uint64_t oldest = extents_sum(table)->oldest;

    if (oldest == EXTENT_KEPT)
        return NULL;
    while (node->state != EXTENT_STOCK || node->stamp != oldest)
        node = node->left != NULL && node->left->below.oldest == oldest ? node->left : node->right;
    return node;
}

struct extent *extents_oldest_dirty(const struct extents *table)
{
    struct extent *node = table->root;
    uint64_t oldest = extents_sum(table)->oldest_dirty;

    if (oldest == EXTENT_KEPT)
        return NULL;
    while (rank(node) != oldest) {
        bool left = node->left != NULL && node->left->below.oldest_dirty == oldest;
        node = left ? node->left : node->right;
    }
    return node;
}

/* ---- Stores that publish ---- */

/* Keeps the compiler from moving stores across this place. */
static inline void order_stores(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The one store that changes what an entry stands for. */
static void store_state(struct extent *entry, enum extent_state state)
{
    order_stores();
    __atomic_store_n(&entry->state, (uint8_t)state, __ATOMIC_RELAXED);
    order_stores();
}

/* The one store that changes how far an entry of the index reaches. */
static void store_size(struct extents *table, struct extent *entry, size_t size)
{
    order_stores();
    __atomic_store_n(&entry->size, size, __ATOMIC_RELAXED);
    order_stores();
    refresh_to(table->root, entry->base);
}

/* ---- Entries ---- */

static void push_unused(struct extents *table, struct extent *entry)
{
    entry->right = table->unused;
    table->unused = entry;
    table->spare++;
}

static void push_chunk(struct extents *table, struct extent_chunk *chunk)
{
    for (size_t i = EXTENTS_PER_CHUNK; i-- > 0;)
        if (chunk->entries[i].state == EXTENT_UNUSED)
            push_unused(table, &chunk->entries[i]);
}

void extents_add_chunk(struct extents *table, struct extent_chunk *chunk)
{
    chunk->next = table->chunks;
    order_stores();
    __atomic_store_n(&table->chunks, chunk, __ATOMIC_RELEASE);
    push_chunk(table, chunk);
}

struct extent *extents_take_entry(struct extents *table)
{
    struct extent *entry = table->unused;
    if (entry == NULL)
        return NULL;
    table->unused = entry->right;
    table->spare--;
    store_state(entry, EXTENT_PRIVATE);
    return entry;
}

void extents_recycle(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_PRIVATE);
    store_state(entry, EXTENT_UNUSED);
    push_unused(table, entry);
}

void extents_publish(struct extents *table, struct extent *entry, enum extent_state state)
{
    ASSERT(entry->state == EXTENT_PRIVATE && entry->size != 0);
    store_state(entry, state);
    index_insert(table, entry);
}

void extents_withdraw(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK);
    store_state(entry, EXTENT_PRIVATE);
    index_remove(table, entry);
}

void extents_set_stock(struct extents *table, struct extent *entry, uint64_t stamp, bool zero)
{
    ASSERT(entry->state == EXTENT_LIVE);
    extent_set_stamp(entry, stamp);
    extent_set_zero(entry, zero);
    store_state(entry, EXTENT_STOCK);
    refresh_to(table->root, entry->base);
}

void extents_set_live(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_STOCK);
    extent_set_stamp(entry, 0);
    __atomic_store_n(&entry->heap, 0, __ATOMIC_RELAXED);
    store_state(entry, EXTENT_LIVE);
    refresh_to(table->root, entry->base);
}

struct extent *extents_cut(struct extents *table, struct extent *entry, size_t size, uint64_t stamp,
                           bool zero)
{
    ASSERT(size != 0 && size < entry->size && table->spare != 0);
    struct extent *rest = extents_take_entry(table);
    extent_set_range(rest, entry->base + size, entry->size - size);
    extent_set_stamp(rest, stamp);
    extent_set_zero(rest, zero);
    store_size(table, entry, size);
    extents_publish(table, rest, EXTENT_STOCK);
    return rest;
}

/* Splits a STOCK extent; returns the rest. */
static struct extent *split(struct extents *table, struct extent *extent, size_t size)
{
    return extents_cut(table, extent, size, extent->stamp, extent->zero);
}

/* Joins a LIVE or STOCK entry with the STOCK extent at its end: the first is both then. */
static void join(struct extents *table, struct extent *first, struct extent *second)
{
    ASSERT(second->state == EXTENT_STOCK && extent_end(first) == second->base);
    extents_withdraw(table, second);
    extent_set_zero(first, first->zero && second->zero);
    extent_set_stamp(first, first->stamp < second->stamp ? first->stamp : second->stamp);
    store_size(table, first, first->size + second->size);
    extents_recycle(table, second);
}

struct extent *extents_isolate(struct extents *table, uintptr_t start, size_t size)
{
    struct extent *entry = extents_at(table, start);
    ASSERT(entry != NULL && entry->state == EXTENT_STOCK);
    if (start > entry->base)
        entry = split(table, entry, start - entry->base);
    while (entry->size < size) {
        struct extent *next = extents_at(table, extent_end(entry));
        ASSERT(next != NULL);
        if (next->size > size - entry->size)
            split(table, next, size - entry->size);
        join(table, entry, next);
    }
    if (size < entry->size)
        split(table, entry, size);
    return entry;
}

bool extents_grow(struct extents *table, struct extent *block, size_t size)
{
    struct extent_run run;
    size_t missing = size - block->size;
    ASSERT(block->state == EXTENT_LIVE && size > block->size);
    if (!extents_run_from(table, extent_end(block), missing, &run) || run.base != extent_end(block))
        return false;
    join(table, block, extents_isolate(table, run.base, missing));
    return true;
}

/* ---- Rebuilding and checking ---- */

static bool is_indexed(const struct extent *entry)
{
    return entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK;
}

void extents_rebuild(struct extents *table)
{
    /* `chunks` is not stored to: a child forked meanwhile finds them all */
    table->root = table->unused = NULL;
    table->spare = 0;
    for (struct extent_chunk *chunk = table->chunks; chunk != NULL; chunk = chunk->next) {
        push_chunk(table, chunk);
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++)
            if (is_indexed(&chunk->entries[i]))
                index_insert(table, &chunk->entries[i]);
    }
}

/* Checks a subtree's states, order, heap property and sums, and counts its nodes. */
static bool tree_is_valid(const struct extent *node, size_t *nodes)
{
    if (node == NULL)
        return true;
    struct extent copy = *node;
    const struct extent *left = node->left, *right = node->right;
    if (!is_indexed(node) || node->size == 0 || node->size > UINTPTR_MAX - node->base)
        return false;
    if (left != NULL && (left->below.end > node->base || priority(left) > priority(node)))
        return false;
    if (right != NULL && (right->below.base < extent_end(node) || priority(right) > priority(node)))
        return false;
    refresh(&copy);
    ++*nodes;
    return memcmp(&copy.below, &node->below, sizeof(copy.below)) == 0 &&
           tree_is_valid(left, nodes) && tree_is_valid(right, nodes);
}

bool extents_is_valid(const struct extents *table)
{
    size_t nodes = 0, listed = 0;

    if (!tree_is_valid(table->root, &nodes))
        return false;
    for (const struct extent *entry = table->unused; entry != NULL; entry = entry->right)
        if (entry->state != EXTENT_UNUSED || ++listed > table->spare)
            return false;
    if (listed != table->spare)
        return false;
    for (const struct extent_chunk *chunk = table->chunks; chunk != NULL; chunk = chunk->next)
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++) {
            nodes -= is_indexed(&chunk->entries[i]);
            listed -= chunk->entries[i].state == EXTENT_UNUSED;
        }
    return nodes == 0 && listed == 0;
}
