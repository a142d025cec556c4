/*
 * The table of LARGE blocks and free extents: its entries and how they change. Purpose, the order
 * of the stores and the locking: extents.h; the index: extents_index.c. Owns no state; nothing here
 * calls the system.
 */
#include "large/extents.h"

#include "large/extents_index.h"

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

/* ---- Totals ---- */

/* Adds what an entry of the index counts for, `times` times; arithmetic wraps: -1 takes it off. */
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
    extents_index_insert(table, entry);
}

void extents_withdraw(struct extents *table, struct extent *entry)
{
    ASSERT(entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK);
    count_out(table, entry);
    store_state(entry, EXTENT_LEAVING);
    extents_index_remove(table, entry);
}

/* Changes the state of an entry that stays in the index. */
static void change_state(struct extents *table, struct extent *entry, enum extent_state state)
{
    count_out(table, entry);
    store_state(entry, state);
    count_in(table, entry);
    extents_index_update(entry);
}

/* Changes the size of an entry that stays in the index. */
static void change_size(struct extents *table, struct extent *entry, size_t size)
{
    count_out(table, entry);
    store_size(entry, size);
    count_in(table, entry);
    extents_index_update(entry);
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
    ASSERT(extent_end(first) == second->base);
    extents_withdraw(table, second);
    count_out(table, first);
    first->zero = first->zero && second->zero;
    first->stamp = extent_earlier(first->stamp, second->stamp);
    store_size(first, first->size + second->size);
    count_in(table, first);
    extents_index_update(first);
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
    extents_index_update(entry);
}

bool extents_grow(struct extents *table, struct extent *block, size_t size)
{
    uintptr_t reached = extent_end(block);
    struct extent *behind = extents_next(block);
    ASSERT(block->state == EXTENT_LIVE && size > block->size);

    for (; reached - block->base < size; behind = extents_next(behind)) {
        if (behind == NULL || behind->state != EXTENT_STOCK || behind->base != reached)
            return false;
        reached = extent_end(behind);
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

/* ---- Finding room ---- */

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

/* ---- Rebuilding and checking ---- */

/* Makes a table empty but for its chunks, which are not stored to: a child forked meanwhile finds
 * them all. */
static void forget_derived(struct extents *table)
{
    table->root = table->unused = NULL;
    table->spare = 0;
    table->live_bytes = table->live_blocks = 0;
    table->stock_bytes = table->stock_extents = 0;
    table->dirty_bytes = 0;
}

void extents_rebuild(struct extents *table)
{
    forget_derived(table);
    for (struct extent_chunk *chunk = table->chunks; chunk != NULL; chunk = chunk->next) {
        push_chunk(table, chunk);
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++) {
            struct extent *entry = &chunk->entries[i];
            if (entry->state == EXTENT_LIVE || entry->state == EXTENT_STOCK) {
                count_in(table, entry);
                extents_index_insert(table, entry);
            }
        }
    }
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
    size_t listed = 0, pieces = 0;
    uintptr_t end = 0; /* of the entries seen so far */

    for (const struct extent *node = extents_first(table); node; node = extents_next(node)) {
        if (!extents_index_is_valid_at(table, node) || node->base < end)
            return false;
        pieces += node->base != end;
        end = extent_end(node);
        count_in(&totals, node);
    }
    for (const struct extent *entry = table->unused; entry != NULL; entry = entry->right) {
        if (entry->state != EXTENT_UNUSED || listed == table->spare)
            return false;
        listed++;
    }
    count_entries(table, &indexed, &unused);
    return indexed == totals.live_blocks + totals.stock_extents && unused == listed &&
           listed == table->spare && pieces == extents_pieces(table) &&
           totals.live_bytes == table->live_bytes && totals.live_blocks == table->live_blocks &&
           totals.stock_bytes == table->stock_bytes &&
           totals.stock_extents == table->stock_extents && totals.dirty_bytes == table->dirty_bytes;
}
