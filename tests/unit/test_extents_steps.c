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
        to[i].zero = entry != NULL && entry->state == EXTENT_STOCK && entry->zero;
    }
}

/* A page may be as it was before, as it will be after, or in no entry. */
static bool page_is_sound(const struct page *now, size_t i)
{
    bool was = now->state == before[i].state && (!now->zero || before[i].zero);
    bool will = now->state == after[i].state && (!now->zero || after[i].zero);
    return was || will || now->state == EXTENT_UNUSED;
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

static void operation_carve(void)
{
    extents_carve(&table, address_of(2), 2 * PAGE);
}

static void operation_carve_whole(void)
{
    extents_carve(&table, address_of(0), 6 * PAGE);
}

/* Of two extents, neither of them whole. */
static void operation_carve_across(void)
{
    extents_carve(&table, address_of(4), 5 * PAGE);
}

static void operation_gather(void)
{
    struct extent_run run = {.base = address_of(16), .size = 6 * PAGE};
    extents_gather(&table, &run);
}

static void operation_join(void)
{
    extents_join(&table, extents_at(&table, address_of(0)), extents_at(&table, address_of(6)));
}

static void operation_free_and_join(void)
{
    struct extent *block = extents_at(&table, address_of(12));
    extents_set_stock(&table, block, 7, false);
    extents_join(&table, extents_at(&table, address_of(6)), block);
    extents_join(&table, extents_at(&table, address_of(6)), extents_at(&table, address_of(16)));
}

static void operation_grow(void)
{
    extents_grow(&table, extents_at(&table, address_of(12)), 6 * PAGE);
}

static void operation_grow_whole(void)
{
    extents_grow(&table, extents_at(&table, address_of(12)), 8 * PAGE);
}

static void operation_grow_across(void)
{
    extents_grow(&table, extents_at(&table, address_of(12)), 9 * PAGE);
}

static void operation_shrink(void)
{
    struct extent *tail = extents_split(&table, extents_at(&table, address_of(12)), PAGE);
    extents_set_stock(&table, tail, 7, false);
}

static void operation_leave(void)
{
    struct extent *entry = extents_at(&table, address_of(6));
    extents_withdraw(&table, entry);
    extents_recycle(&table, entry);
}

static void operation_arrive(void)
{
    struct extent *entry = extents_take_entry(&table);
    entry->base = address_of(22);
    entry->size = 2 * PAGE;
    entry->zero = true;
    extents_publish(&table, entry, EXTENT_STOCK);
}

static void (*const operations[])(void) = {
    operation_carve,         operation_carve_whole, operation_carve_across, operation_join,
    operation_free_and_join, operation_gather,      operation_grow,         operation_grow_whole,
    operation_grow_across,   operation_shrink,      operation_leave,        operation_arrive};

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
    begin_operation();
    read_pages(&table, before);
    operations[_i]();
    read_pages(&table, after);

    begin_operation();
    chunk_copy = chunk;
    changes = 0;
    seen_before = false;
    step_through(operations[_i], rebuild_copy);
    ck_assert(seen_before && changes != 0);
    ck_assert(same_truth(&chunk_copy, &chunk));
    ck_assert_int_eq(broken, 0);
    ck_assert(extents_is_valid(&table));
}
