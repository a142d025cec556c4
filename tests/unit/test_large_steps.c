/*
 * What a child loses of LARGE that is forked at any instruction of a call whose thread is not in
 * it: the ranges that are LEAVING then. There is one at a time at most. Check runs each test in a
 * process of its own, so each begins with an empty list.
 */
#include "test.h"
#include "step.h"
#include "large.h"

#include "large_list.h"
#include "option.h"
#include "os.h"

#include <inttypes.h>

#ifdef CAN_STEP

enum { FEWEST_STEPS = 500 }; /* instructions that any operation takes at least */

static void *first, *second; /* blocks side by side, if the operation has any */
static size_t most_leaving;

static void count_leaving(void)
{
    size_t leaving = 0;

    for (const struct extent_chunk *chunk = large_list.table.chunks; chunk; chunk = chunk->next)
        for (size_t i = 0; i < EXTENTS_PER_CHUNK; i++)
            leaving += chunk->entries[i].state == EXTENT_LEAVING;
    most_leaving = max_size(most_leaving, leaving);
}

static void operation_map(void)
{
    first = large_alloc(2 * MIB, 1, NULL);
}

/* Nearly always there is something to cut off both in front and behind. */
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
    large_purge(true);
}

static const struct {
    void (*run)(void);
    bool has_blocks;
} operations[] = {
    {operation_map, false},         {operation_map_aligned, false},
    {operation_extend, true},       {operation_free_and_unmap, true},
    {operation_free_surplus, true}, {operation_shrink_and_unmap, true},
    {operation_purge, true},
};

START_TEST(one_range_at_a_time_is_on_its_way)
{
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    if (operations[_i].has_blocks) {
        second = large_alloc(2 * MIB, 1, NULL);
        first = large_alloc(2 * MIB, 1, NULL);
    }
    ck_assert_int_gt(step_through(operations[_i].run, count_leaving), FEWEST_STEPS);
    ck_assert_uint_eq(most_leaving, 1);
    most_leaving = 0;
    count_leaving();
    ck_assert_uint_eq(most_leaving, 0);
    ck_assert(large_is_valid());
}
END_TEST

static void add_step_tests(TCase *tests)
{
    tcase_add_loop_test(tests, one_range_at_a_time_is_on_its_way, 0,
                        (int)(sizeof(operations) / sizeof(operations[0])));
}

#else

static void add_step_tests(TCase *tests)
{
    (void)tests;
}

#endif

Suite *large_steps_suite(void)
{
    Suite *suite = suite_create("large_steps");
    TCase *tests = tcase_create("large_steps");

    tcase_set_timeout(tests, 60);
    add_step_tests(tests);
    suite_add_tcase(suite, tests);
    return suite;
}
