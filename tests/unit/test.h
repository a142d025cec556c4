/*
 * What the unit tests share: the suite of each module, which its test_<module>.c defines and main.c
 * runs, and how a suite says that it cannot run some of its tests.
 */
#ifndef ACRE_TESTS_UNIT_TEST_H
#define ACRE_TESTS_UNIT_TEST_H

#include <check.h>
#include <stdio.h>

/* Says that tests of a suite are left out, and why: Check itself has no word for it. */
static inline void test_skipped(const char *suite, const char *tests, const char *reason)
{
    printf("skipped: %s: %s: %s\n", suite, tests, reason);
    fflush(stdout); /* or the processes of the tests would print it, too */
}

Suite *alloc_suite(void);
Suite *alloc_short_suite(void);
Suite *alloc_steps_suite(void);
Suite *alloc_trace_suite(void);
Suite *alloc_wide_suite(void);
Suite *free_wide_suite(void);
Suite *arena_suite(void);
Suite *arena_fork_suite(void);
Suite *arena_idle_suite(void);
Suite *arena_steps_suite(void);
Suite *background_suite(void);
Suite *bits_suite(void);
Suite *extents_suite(void);
Suite *extents_steps_suite(void);
Suite *free_suite(void);
Suite *heap_suite(void);
Suite *heap_pages_suite(void);
Suite *heap_places_suite(void);
Suite *heap_system_suite(void);
Suite *init_suite(void);
Suite *large_suite(void);
Suite *large_steps_suite(void);
Suite *large_system_suite(void);
Suite *list_suite(void);
Suite *lock_suite(void);
Suite *lock_fork_suite(void);
Suite *lock_fork_twice_suite(void);
Suite *meta_suite(void);
Suite *option_suite(void);
Suite *os_suite(void);
Suite *os_pages_suite(void);
Suite *out_suite(void);
Suite *remote_suite(void);
Suite *remote_purge_suite(void);
Suite *report_suite(void);
Suite *size_class_suite(void);
Suite *slab_suite(void);
Suite *slab_states_suite(void);
Suite *slab_wide_suite(void);
Suite *slab_wide_free_suite(void);
Suite *slab_wide_steps_suite(void);
Suite *states_suite(void);
Suite *stats_suite(void);
Suite *unit_map_suite(void);
Suite *vdso_suite(void);

#endif
