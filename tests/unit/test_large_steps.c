/*
 * The ranges that are PRIVATE at each instruction of a call: a child of fork without the calling
 * thread loses them. There is one at most, and one around a system call. Check runs each test in a
 * process of its own, so each begins with an empty list.
 */
#include "test.h"
#include "step.h"
#include "large/large.h"

#include "large/large_list.h"
#include "base/option.h"
#include "base/os.h"

#include <sys/syscall.h>

SUITE(large_steps);

static void *first, *second;   /* blocks side by side, if the operation has any */
static long call;              /* number of the system call that the operation makes for a range */
static unsigned calls_private; /* times that it was made with a range PRIVATE */
static size_t most_private;

static size_t count_private(void)
{
    size_t private = 0;

    for (const struct extent_chunk *chunk = large_list.table.chunks; chunk; chunk = chunk->next)
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++)
    private += chunk->entries[i].state == EXTENT_PRIVATE;
    return private;
}

static void look_at_list(void)
{
    size_t private = count_private();

    most_private = max_size(most_private, private);
    calls_private += private != 0 && step_comes_call(call);
}

static void operation_map(void)
{
    first = large_alloc(2 * MIB, 1, NULL);
}

/* There is something to cut off in front of the block or after it, nearly always both. */
static void operation_map_aligned(void)
{
    first = large_alloc(2 * MIB, 64 * MIB, NULL);
}

static void operation_extend(void)
{
    large_free(first);
    second = large_alloc(5 * MIB, 1, NULL);
}

static void operation_free_and_unmap(void)
{
    option_set_text("large_stock", "0");
    large_free(first);
}

static void operation_free_surplus(void)
{
    option_set_text("large_stock", "1M");
    large_free(first);
    large_free(second);
}

static void operation_shrink_and_unmap(void)
{
    option_set_text("large_stock", "0");
    large_resize(first, MIB);
}

static void operation_purge(void)
{
    large_free(first);
    large_list_purge_all();
}

/* `second` follows it. */
static void operation_grow_and_move(void)
{
    void *grown = large_resize(first, 3 * MIB);
    ck_assert(grown != NULL && grown != first);
}

/* Into the room that `second` leaves, which has place for the reserve, too. */
static void operation_grow_in_place(void)
{
    option_set_text("large_stock", "0");
    large_free(second);
    ck_assert_ptr_eq(large_resize(first, 3 * MIB), first);
}

static const struct {
    void (*run)(void);
    bool has_blocks;
    long call;
} operations[] = {
    {operation_map, false, SYS_mmap},
    {operation_map_aligned, false, SYS_munmap},
    {operation_extend, true, SYS_mmap},
    {operation_free_and_unmap, true, SYS_munmap},
    {operation_free_surplus, true, SYS_munmap},
    {operation_shrink_and_unmap, true, SYS_munmap},
    {operation_purge, true, SYS_munmap},
    {operation_grow_and_move, true, SYS_mremap},
    {operation_grow_in_place, true, SYS_mremap},
};

TEST_LOOP_UNLESS(NO_STEPS, one_range_at_a_time_is_on_its_way, 0,
                 (int)(sizeof(operations) / sizeof(operations[0])))
{
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    if (operations[_i].has_blocks) {
        second = large_alloc(2 * MIB, 1, NULL);
        first = large_alloc(2 * MIB, 1, NULL);
    }
    call = operations[_i].call;
    step_through(operations[_i].run, look_at_list);
    ck_assert_uint_ne(calls_private, 0);
    ck_assert_uint_eq(most_private, 1);
    ck_assert_uint_eq(count_private(), 0);
    ck_assert(large_is_valid());
}
