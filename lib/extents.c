/*
 * The table of LARGE blocks and free extents and its index, a treap. Purpose, the order of the
 * stores and the locking: extents.h. Owns no state; nothing here calls the system.
 */
#include "extents.h"

#include <assert.h>

static_assert(EXTENT_UNUSED == 0, "a new chunk, all zero, is a chunk of unused entries");

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

/* The one store that changes how far an entry reaches. */
static void store_size(struct extent *entry, size_t size)
{
    order_stores();
    __atomic_store_n(&entry->size, size, __ATOMIC_RELAXED);
    order_stores();
}

static uintptr_t end_of(const struct extent *entry)
{
    return entry->base + entry->size;
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

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What an entry amounts to by itself. */
static struct extent_summary summary_of(const struct extent *entry)
{
    bool stock = entry->state == EXTENT_STOCK;
    size_t run = stock ? entry->size : 0;
    return (struct extent_summary){
        .base = entry->base,
        .end = end_of(entry),
        .head = run,
        .tail = run,
        .largest = run,
        .oldest = stock ? entry->stamp : EXTENT_KEPT,
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
        .oldest = earlier(a->oldest, b->oldest),
    };
}

static bool equal(const struct extent_summary *a, const struct extent_summary *b)
{
    return a->base == b->base && a->end == b->end && a->head == b->head && a->tail == b->tail &&
           a->largest == b->largest && a->oldest == b->oldest;
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

/* Sums up from node to the root, as far as anything changes. */
static void refresh_upwards(struct extent *node)
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

static void index_insert(struct extents *table, struct extent *node)
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
    refresh_upwards(node->parent);
}

/* The node's state already says that it is no stock. */
static void index_remove(struct extents *table, struct extent *node)
{
    refresh_upwards(node);
    while (node->left != NULL && node->right != NULL)
        rotate_up(table, priority(node->left) > priority(node->right) ? node->left : node->right);

    struct extent *child = node->left != NULL ? node->left : node->right;
    *link_to(table, node) = child;
    if (child != NULL)
        child->parent = node->parent;
    refresh_upwards(node->parent);
}

/* ---- Totals ---- */

/* Adds what an entry of the index counts for, `times` times; arithmetic wraps, so -1 takes it off.
 */
static void count(struct extents *table, const struct extent *entry, size_t times)
{
    if (entry->state == EXTENT_LIVE) {
        table->live_bytes += times * entry->size;
        table->live_blocks += times;
    } else {
        table->stock_bytes += times * entry->size;
        table->stock_extents += times;
        table->dirty_bytes += entry->zero ? 0 : times * entry->size;
    }
}

static void count_in(struct extents *table, const struct extent *entry)
{
    count(table, entry, 1);
}

/* Before an entry changes. */
static void count_out(struct extents *table, const struct extent *entry)
{
    count(table, entry, (size_t)-1);
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
    __atomic_store_n(&table->chunks, chunk, __ATOMIC_RELAXED);
    push_chunk(table, chunk);
}

struct extent *extents_take_entry(struct extents *table)
{
    struct extent *entry = table->unused;
    if (entry == NULL)
        return NULL;
    table->unused = entry->right;
    table->spare--;
    store_state(entry, EXTENT_LEAVING);
    return entry;
}

void extents_recycle(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_LEAVING);
    store_state(entry, EXTENT_UNUSED);
    push_unused(table, entry);
}

void extents_publish(struct extents *table, struct extent *entry, enum extent_state state)
{
    ASSERT(entry->state == EXTENT_LEAVING && entry->size != 0);
    store_state(entry, state);
    count_in(table, entry);
    index_insert(table, entry);
}

void extents_withdraw(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK);
    count_out(table, entry);
    store_state(entry, EXTENT_LEAVING);
    index_remove(table, entry);
}

/* Changes the state of an entry that stays in the index. */
static void change_state(struct extents *table, struct extent *entry, enum extent_state state)
{
    count_out(table, entry);
    store_state(entry, state);
    count_in(table, entry);
    refresh_upwards(entry);
}

/* Changes the size of an entry that stays in the index. */
static void change_size(struct extents *table, struct extent *entry, size_t size)
{
    count_out(table, entry);
    store_size(entry, size);
    count_in(table, entry);
    refresh_upwards(entry);
}

void extents_set_stock(struct extents *table, struct extent *entry, uint64_t stamp, bool zero)
{
    ASSERT(entry->state == EXTENT_LIVE);
    entry->stamp = stamp;
    entry->zero = zero;
    change_state(table, entry, EXTENT_STOCK);
}

struct extent *extents_split(struct extents *table, struct extent *entry, size_t size)
{
    ASSERT(size != 0 && size < entry->size && table->spare != 0);
    struct extent *rest = extents_take_entry(table);
    rest->base = entry->base + size;
    rest->size = entry->size - size;
    rest->stamp = entry->stamp;
    rest->zero = entry->zero;
    change_size(table, entry, size);
    extents_publish(table, rest, entry->state);
    return rest;
}

struct extent *extents_carve(struct extents *table, uintptr_t start, size_t size)
{
    struct extent *entry = extents_at(table, start);
    ASSERT(entry != NULL && entry->state == EXTENT_STOCK);
    if (start > entry->base)
        entry = extents_split(table, entry, start - entry->base);
    while (entry->size < size) {
        struct extent *behind = extents_next(entry);
        ASSERT(behind != NULL && behind->state == EXTENT_STOCK);
        if (behind->size > size - entry->size)
            extents_split(table, behind, size - entry->size);
        extents_join(table, entry, behind);
    }
    if (size < entry->size)
        extents_split(table, entry, size);
    change_state(table, entry, EXTENT_LIVE);
    return entry;
}

struct extent *extents_join(struct extents *table, struct extent *first, struct extent *second)
{
    ASSERT(first->state == EXTENT_STOCK && second->state == EXTENT_STOCK);
    ASSERT(end_of(first) == second->base);
    extents_withdraw(table, second);
    count_out(table, first);
    first->zero = first->zero && second->zero;
    first->stamp = earlier(first->stamp, second->stamp);
    store_size(first, first->size + second->size);
    count_in(table, first);
    refresh_upwards(first);
    extents_recycle(table, second);
    return first;
}

struct extent *extents_gather(struct extents *table, const struct extent_run *run)
{
    struct extent *entry = extents_at(table, run->base);
    while (entry->size < run->size)
        extents_join(table, entry, extents_next(entry));
    return entry;
}

/* The entry begins `taken` bytes later. It keeps its place in the index: nothing lies between. */
static void take_front(struct extents *table, struct extent *entry, size_t taken)
{
    count_out(table, entry);
    store_state(entry, EXTENT_LEAVING);
    entry->base += taken;
    entry->size -= taken;
    store_state(entry, EXTENT_STOCK);
    count_in(table, entry);
    refresh_upwards(entry);
}

bool extents_grow(struct extents *table, struct extent *block, size_t size)
{
    uintptr_t reached = end_of(block);
    struct extent *behind = extents_next(block);
    ASSERT(block->state == EXTENT_LIVE && size > block->size);

    for (; reached - block->base < size; behind = extents_next(behind)) {
        if (behind == NULL || behind->state != EXTENT_STOCK || behind->base != reached)
            return false;
        reached = end_of(behind);
    }
    while (block->size < size) {
        behind = extents_next(block);
        size_t taken = min_size(behind->size, size - block->size);
        if (taken < behind->size) {
            take_front(table, behind, taken);
        } else {
            extents_withdraw(table, behind);
            extents_recycle(table, behind);
        }
        change_size(table, block, block->size + taken);
    }
    return true;
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

struct extent *extents_stock_before(const struct extents *table, const struct extent *entry)
{
    struct extent *before = extents_at(table, entry->base - 1);
    return before != NULL && before->state == EXTENT_STOCK ? before : NULL;
}

struct extent *extents_stock_behind(const struct extents *table, const struct extent *entry)
{
    struct extent *behind = extents_at(table, end_of(entry));
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

/* Bytes that are left of a run when `size` of them at a multiple of `alignment` are taken; SIZE_MAX
 * if it has no room for them. */
static size_t left_over(const struct extent_run *run, size_t size, size_t alignment)
{
    size_t skipped = align_up(run->base, alignment) - run->base;
    if (skipped > run->size || size > run->size - skipped)
        return SIZE_MAX;
    return run->size - size;
}

uintptr_t extents_find_room(const struct extents *table, size_t size, size_t alignment)
{
    struct extent_run run = {0};
    uintptr_t best = 0;
    size_t least = SIZE_MAX; /* left over in the best run */
    int fits = 0;
    bool more = extents_run_from(table, 0, size, &run);

    for (int tries = 0; more && tries < EXTENTS_ALIGNED_TRIES; tries++) {
        size_t left = left_over(&run, size, alignment);
        if (left < least) {
            least = left;
            best = align_up(run.base, alignment);
        }
        if (left != SIZE_MAX && (left == 0 || ++fits == EXTENTS_FIT_TRIES))
            break;
        more = extents_run_from(table, run.base + run.size, size, &run);
    }
    if (best == 0 && more && extents_run_from(table, run.base, size + alignment - 1, &run))
        best = align_up(run.base, alignment);
    return best;
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

/* ---- Rebuilding and checking ---- */

void extents_rebuild(struct extents *table)
{
    *table = (struct extents){.chunks = table->chunks};
    for (struct extent_chunk *chunk = table->chunks; chunk != NULL; chunk = chunk->next) {
        push_chunk(table, chunk);
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++) {
            struct extent *entry = &chunk->entries[i];
            if (entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK) {
                count_in(table, entry);
                index_insert(table, entry);
            }
        }
    }
}

/* Checks one node of the index: its links, its place in the heap order, what it knows. */
static bool node_is_valid(const struct extents *table, const struct extent *node)
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

/* Counts the chunks' entries by state. */
static void count_entries(const struct extents *table, size_t *indexed, size_t *unused)
{
    *indexed = *unused = 0;
    for (const struct extent_chunk *chunk = table->chunks; chunk != NULL; chunk = chunk->next) {
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++) {
            uint8_t state = chunk->entries[i].state;
            *indexed += state == EXTENT_LIVE || state == EXTENT_STOCK;
            *unused += state == EXTENT_UNUSED;
        }
    }
}

bool extents_is_valid(const struct extents *table)
{
    struct extents totals = {0};
    size_t indexed, unused;
    size_t listed = 0;
    uintptr_t end = 0; /* of the entries seen so far */

    for (const struct extent *node = extents_first(table); node; node = extents_next(node)) {
        if (!node_is_valid(table, node) || node->base < end)
            return false;
        end = end_of(node);
        count_in(&totals, node);
    }
    for (const struct extent *entry = table->unused; entry != NULL; entry = entry->right) {
        if (entry->state != EXTENT_UNUSED || listed == table->spare)
            return false;
        listed++;
    }
    count_entries(table, &indexed, &unused);
    return indexed == totals.live_blocks + totals.stock_extents && unused == listed &&
           listed == table->spare && totals.live_bytes == table->live_bytes &&
           totals.live_blocks == table->live_blocks && totals.stock_bytes == table->stock_bytes &&
           totals.stock_extents == table->stock_extents && totals.dirty_bytes == table->dirty_bytes;
}
