/*
 * What the system layer says of pages that have memory, and how it makes them zero: where the
 * system takes them back, where it cannot, and where it only says that it did.
 */
#include "test.h"
#include "memory.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../api/fake_call.h"
#include "base/os.h"

SUITE(os_pages);

enum { PAGES = 1500 }; /* of the range under test: more than the system is asked for at once */

/* Patterns of the pages that are dirty. */
static bool none(size_t page)
{
    return page > PAGES;
}

static bool all(size_t page)
{
    return !none(page);
}

static bool every_third(size_t page)
{
    return page % 3 == 0;
}

static bool the_middle(size_t page)
{
    return page >= 500 && page < 1030;
}

static bool (*const patterns[])(size_t page) = {none, all, every_third, the_middle};

enum { PATTERNS = COUNT_OF(patterns) };

static size_t range_size(void)
{
    return PAGES * os_page_size();
}

/* The range, without huge pages, the pages of the pattern dirty. */
static unsigned char *dirty_range(bool (*is_dirty)(size_t), size_t *dirty)
{
    size_t page = os_page_size();
    unsigned char *p = os_map(range_size());
    ck_assert_ptr_nonnull(p);
    os_huge_pages(p, range_size(), false);
    *dirty = 0;
    for (size_t i = 0; i < PAGES; i++) {
        if (is_dirty(i)) {
            memset(p + i * page, 0xbb, page);
            *dirty += page;
        }
    }
    return p;
}

/* False, with a word, where the system cannot be made to do so. */
static bool is_faked(bool (*fake)(void))
{
    bool done = fake();
    if (!done)
        printf("not tried: the system has no filters for system calls\n");
    return done;
}

/* Pages that are locked the system does not take back. Pages without memory may have contents: they
 * were swapped out. */
static const struct {
    bool (*fake)(void); /* after which no page seems to have memory; NULL: the system as it is */
    bool locks;         /* some pages */
} systems[] = {{NULL, false},
               {NULL, true},
               {fake_no_mincore, false},
               {fake_empty_pages, false},
               {fake_empty_pages, true}};

/* Pages without memory get none. */
TEST_LOOP(all_contents_are_zeroed, 0, PATTERNS *COUNT_OF(systems))
{
    size_t dirty;
    unsigned char *p = dirty_range(patterns[_i % PATTERNS], &dirty);
    bool (*fake)(void) = systems[_i / PATTERNS].fake;
    bool locks = systems[_i / PATTERNS].locks;

    if (fake != NULL && is_faked(fake))
        dirty = 0;
    /* past libc: the sanitizers make mlock a function that does nothing */
    if (locks && syscall(SYS_mlock, p, 10 * os_page_size()) != 0)
        printf("not tried: pages may not be locked here\n");
    ck_assert(locks || os_filled_in(p, range_size()) == dirty);
    os_zero(p, range_size());
    ck_assert(locks || os_filled_in(p, range_size()) == dirty);
    ck_assert(is_filled(p, range_size(), 0));
}

/* No purge is taken for done, and nothing relies on one. */
TEST_LOOP(advice_that_is_ignored_is_no_purge, 0, PATTERNS)
{
    size_t dirty;
    unsigned char *p = dirty_range(patterns[_i], &dirty), *page = os_map(os_page_size());
    bool ignored = is_faked(fake_advice);
    os_try_purge(page);
    ck_assert_uint_eq(*page, 0);
    ck_assert_int_eq(os_purge(p, range_size()), !ignored);
    os_zero(p, range_size());
    ck_assert(is_filled(p, range_size(), 0));
}
