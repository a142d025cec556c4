/*
 * The table of LARGE blocks and free extents, as a child finds it that is forked at any instruction
 * of any operation: on x86-64 each operation runs with the trap flag set, and after each
 * instruction a copy of the entries is rebuilt and checked. Nothing may overlap, nothing may be
 * called zero that is not, and each page is as it was before, as it will be after, or in no entry.
 */
#include "test.h"
#include "step.h"
#include "large/extents.h"

#include <string.h>

SUITE(extents_steps);

enum { PAGES = 24 }; /* of the made-up address space */

#define PAGE ((size_t)4096)
#define BASE ((uintptr_t)0x7f1234567000)

struct page {
    enum extent_state state; /* UNUSED, LIVE or STOCK */
    bool zero;               /* STOCK, and said to be zero */
    uintptr_t block;         /* the start of the LIVE block that it belongs to */
};

static struct extents table;
static struct extent_chunk chunk, chunk_copy;
static struct page before[PAGES], after[PAGES];
static volatile sig_atomic_t broken;

/* Instructions that changed an entry, of which one may be enough; and whether one came before. */
static volatile sig_atomic_t changes, seen_before;

static uintptr_t address_of(size_t page)
{
    return BASE + page * PAGE;
}

/* What the table says of the made-up pages. */
static void read_pages(const struct extents *from, struct page *to)
{
    for (size_t i = 0; i < PAGES; i++) {
        const struct extent *entry = extents_at(from, address_of(i));
        to[i] = (struct page){.state = entry != NULL ? entry->state : EXTENT_UNUSED};
        to[i].zero = to[i].state == EXTENT_STOCK && entry->zero;
        to[i].block = to[i].state == EXTENT_LIVE ? entry->base : 0;
    }
}

static bool agrees(const struct page *now, const struct page *then)
{
    return now->state == then->state && now->block == then->block && (!now->zero || then->zero);
}

/* A page may be as it was before, as it will be after, or in no entry. */
static bool page_is_sound(const struct page *now, size_t i)
{
    return now->state == EXTENT_UNUSED || agrees(now, &before[i]) || agrees(now, &after[i]);
}

/* True if the entries say the same, whatever the index is. */
static bool same_truth(const struct extent_chunk *one, const struct extent_chunk *other)
{
    for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++) {
        const struct extent *a = &one->entries[i], *b = &other->entries[i];
        if (a->state != b->state || a->base != b->base || a->size != b->size || a->zero != b->zero)
            return false;
    }
    return true;
}

/* After each instruction: rebuilds a copy of the entries, as a child forked here would. */
static void rebuild_copy(void)
{
    struct page now[PAGES];
    struct extents copy = {0};

    changes += !same_truth(&chunk_copy, &chunk);
    seen_before |= changes == 0;
    chunk_copy = chunk;
    copy.chunks = &chunk_copy;
    extents_rebuild(&copy);
    if (!extents_is_valid(&copy))
        broken = 1;
    read_pages(&copy, now);
    for (size_t i = 0; i < PAGES; i++)
        if (!page_is_sound(&now[i], i))
            broken = 1;
}

static struct extent *entry_at(size_t page)
{
    return extents_at(&table, address_of(page));
}

static void carve(size_t page, size_t count)
{
    extents_set_live(&table, extents_isolate(&table, address_of(page), count * PAGE));
}

static void isolate(size_t page, size_t count)
{
    extents_isolate(&table, address_of(page), count * PAGE);
}

static void grow(size_t page, size_t count)
{
    extents_grow(&table, entry_at(page), count * PAGE);
}

static void shrink(size_t page, size_t count)
{
    extents_cut(&table, entry_at(page), count * PAGE, 7, false);
}

static void free_and_join(size_t page, size_t before)
{
    extents_set_stock(&table, entry_at(page), 7, false);
    isolate(before, page - before + 6);
}

static void leave(size_t page, size_t count)
{
    struct extent *run = extents_isolate(&table, address_of(page), count * PAGE);
    extents_withdraw(&table, run);
    extents_recycle(&table, run);
}

static void arrive(size_t page, size_t count)
{
    struct extent *entry = extents_take_entry(&table);
    entry->base = address_of(page);
    entry->size = count * PAGE;
    entry->zero = true;
    extents_publish(&table, entry, EXTENT_STOCK);
}

/* On the pages of begin_operation. */
static const struct operation {
    void (*run)(size_t page, size_t argument);
    size_t page, argument;
} operations[] = {
    {carve, 2, 2},          {carve, 0, 6}, {carve, 4, 5},  {isolate, 0, 12},
    {grow, 12, 6},          {grow, 12, 8}, {grow, 12, 9},  {shrink, 12, 1},
    {free_and_join, 12, 6}, {leave, 6, 6}, {leave, 16, 6}, {arrive, 22, 2},
};

static const struct operation *operation;

static void run_operation(void)
{
    operation->run(operation->page, operation->argument);
}

static void write_entry(int index, size_t page, size_t count, enum extent_state state, bool zero)
{
    chunk.entries[index] = (struct extent){
        .base = address_of(page), .size = count * PAGE, .state = (uint8_t)state, .zero = zero};
}

/* STOCK known to be zero at 0..5, STOCK at 6..11, LIVE at 12..15, STOCK at 16..19, and
 * known to be zero at 20..21. */
static void begin_operation(void)
{
    memset(&chunk, 0, sizeof(chunk));
    table = (struct extents){.chunks = &chunk};
    write_entry(0, 0, 6, EXTENT_STOCK, true);
    write_entry(1, 6, 6, EXTENT_STOCK, false);
    write_entry(2, 12, 4, EXTENT_LIVE, false);
    write_entry(3, 16, 4, EXTENT_STOCK, false);
    write_entry(4, 20, 2, EXTENT_STOCK, true);
    extents_rebuild(&table);
}

TEST_LOOP_UNLESS(NO_STEPS, every_instruction_leaves_what_can_be_rebuilt, 0,
                 (int)(sizeof(operations) / sizeof(operations[0])))
{
    operation = &operations[_i];
    begin_operation();
    read_pages(&table, before);
    run_operation();
    read_pages(&table, after);

    begin_operation();
    chunk_copy = chunk;
    changes = 0;
    seen_before = false;
    step_through(run_operation, rebuild_copy);
    ck_assert(seen_before && changes != 0);
    ck_assert(same_truth(&chunk_copy, &chunk));
    ck_assert_int_eq(broken, 0);
    ck_assert(extents_is_valid(&table));
}
