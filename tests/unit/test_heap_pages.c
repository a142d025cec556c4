/* What is accessible of a heap, and which of its units are backed by huge pages. */
#include "test.h"
#include "heap_pages.h"
#include "heap_runs.h"
#include "os.h"
#include "vm_flags.h"

START_TEST(only_what_is_opened_is_accessible)
{
    struct slab *slab = take(1);
    struct heap *heap = slab_heap(slab);

    ck_assert(is_accessible(slab->base));
    ck_assert(!is_accessible(slab->base - os_page_size()));
    ck_assert(!is_accessible(heap->states + heap->size / HEAP_BYTES_OF_STATE));
    ck_assert(!is_accessible((char *)heap + (size_t)heap->opened_limit * UNIT_SIZE));
    ck_assert(!is_accessible((char *)heap + heap->size - 1));
    ck_assert_ptr_null(slab->owner);
    ck_assert_ptr_null(heap_nobody.owner);
    ck_assert_uint_eq(heap_nobody.geometry, 0);
}
END_TEST

/* ---- Huge pages ---- */

#define HUGE_PAGE ((size_t)HEAP_HUGE_UNITS * UNIT_SIZE)

/* Takes units until that with this number in its heap is taken; returns its slab. */
static struct slab *reach_unit(size_t unit)
{
    struct slab *slab = take(1);

    while ((uintptr_t)slab->base % HEAP_SIZE != unit * UNIT_SIZE)
        slab = take(1);
    return slab;
}

/* The system backs a first touch by a huge page only if all of that can be accessed by then. */
START_TEST(a_huge_page_is_opened_at_once)
{
    set_option("huge_pages", "always");
    char *base = reach_unit(HEAP_HUGE_UNITS)->base;

    ck_assert(is_accessible(base + HUGE_PAGE - os_page_size()));
    ck_assert(!is_accessible(base + HUGE_PAGE));
    ck_assert_int_eq(has_vm_flag(base, " hg"), huge_pages_are_supported());
    ck_assert_int_eq(has_vm_flag(base + HUGE_PAGE - 1, " hg"), huge_pages_are_supported());
}
END_TEST

START_TEST(a_small_heap_declines_huge_pages)
{
    char *base = reach_unit(HEAP_HUGE_FROM - 1)->base;

    ck_assert(!os_is_filled_in(base));
    ck_assert_int_eq(has_vm_flag(base, " nh"), huge_pages_are_supported());
}
END_TEST

/* True if the system gives huge pages to who asks: the last page is there when the first is
 * touched. */
static bool system_gives_huge_pages(void)
{
    char *wide = os_map(2 * HUGE_PAGE);
    ck_assert_ptr_nonnull(wide);
    char *base = (char *)align_up((uintptr_t)wide, HUGE_PAGE);

    os_huge_pages(base, HUGE_PAGE, true);
    *base = 1;
    bool given = os_is_filled_in(base + HUGE_PAGE - os_page_size());
    os_unmap(wide, 2 * HUGE_PAGE);
    return given;
}

START_TEST(a_grown_heap_takes_huge_pages_and_gives_back_what_it_does_not_use)
{
    bool given = system_gives_huge_pages();
    size_t rest = given ? HUGE_PAGE - UNIT_SIZE : 0;
    struct slab *slab = reach_unit(HEAP_HUGE_FROM);
    char *last_page = slab->base + HUGE_PAGE - os_page_size();

    ck_assert_int_eq(os_is_filled_in(last_page), given);
    ck_assert_int_eq(slab->zero, !given); /* the purge tells zero units from others */
    ck_assert_int_eq(has_vm_flag(slab->base, " nh"), huge_pages_are_supported());
    ck_assert_uint_eq(totals().free_dirty, rest);
    ck_assert_uint_eq(heap_set_purge(&set), rest);
    ck_assert(os_is_filled_in(slab->base));
    ck_assert(!os_is_filled_in(last_page));
    /* once: what went back is not asked for again */
    take(1);
    ck_assert(!os_is_filled_in(last_page));
}
END_TEST

START_TEST(the_rest_of_a_huge_page_decays)
{
    set_option("decay", "1");
    struct slab *slab = reach_unit(HEAP_HUGE_FROM);

    ck_assert_uint_eq(totals().free_dirty, system_gives_huge_pages() ? HUGE_PAGE - UNIT_SIZE : 0);
    heap_set_tick(&set, os_now_ms() + 10);
    ck_assert_uint_eq(totals().free_dirty, 0);
    ck_assert(!os_is_filled_in(slab->base + HUGE_PAGE - os_page_size()));
}
END_TEST

START_TEST(without_decay_no_huge_pages_are_filled_in)
{
    set_option("decay", "0");
    struct slab *slab = reach_unit(HEAP_HUGE_FROM);

    ck_assert(!os_is_filled_in(slab->base));
    ck_assert_uint_eq(totals().free_dirty, 0);
}
END_TEST

Suite *heap_pages_suite(void)
{
    Suite *suite = suite_create("heap_pages");
    TCase *tests = tcase_create("heap_pages");

    tcase_add_checked_fixture(tests, begin, NULL);
    tcase_add_test(tests, only_what_is_opened_is_accessible);
    tcase_add_test(tests, a_huge_page_is_opened_at_once);
    tcase_add_test(tests, a_small_heap_declines_huge_pages);
    tcase_add_test(tests, a_grown_heap_takes_huge_pages_and_gives_back_what_it_does_not_use);
    tcase_add_test(tests, the_rest_of_a_huge_page_decays);
    tcase_add_test(tests, without_decay_no_huge_pages_are_filled_in);
    suite_add_tcase(suite, tests);
    return suite;
}
