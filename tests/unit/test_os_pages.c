/*
 * What the system layer says of pages that have memory, and how it makes them zero: where the
 * system takes them back, where it cannot, and where it only says that it did.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>
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

enum { PATTERN_COUNT = sizeof patterns / sizeof patterns[0] };

/* The range, without huge pages, those pages of the pattern dirty. */
static unsigned char *dirty_range(int pattern)
{
    size_t page = os_page_size();
    unsigned char *p = os_map(PAGES * page);
    ck_assert_ptr_nonnull(p);
    os_huge_pages(p, PAGES * page, false);
    for (size_t i = 0; i < PAGES; i++)
        if (patterns[pattern](i))
            memset(p + i * page, 0xbb, page);
    return p;
}

static bool is_zero(const unsigned char *p)
{
    return p[0] == 0 && memcmp(p, p + 1, PAGES * os_page_size() - 1) == 0;
}

static size_t pages_in(int pattern)
{
    size_t count = 0;
    for (size_t i = 0; i < PAGES; i++)
        count += patterns[pattern](i);
    return count;
}

TEST_LOOP(pages_with_memory_are_zeroed_and_others_get_none, 0, PATTERN_COUNT)
{
    size_t page = os_page_size();
    unsigned char *p = dirty_range(_i);
    ck_assert_uint_eq(os_filled_in(p, PAGES * page), pages_in(_i) * page);
    os_zero(p, PAGES * page);
    ck_assert_uint_eq(os_filled_in(p, PAGES * page), pages_in(_i) * page);
    ck_assert(is_zero(p));
    ck_assert(os_unmap(p, PAGES * page));
}

/* Locks some of the range, with a word where that is refused. */
static void lock_some(void *p)
{
    /* past libc: the sanitizers make mlock a function that does nothing */
    if (syscall(SYS_mlock, p, 10 * os_page_size()) != 0)
        printf("not tried: pages may not be locked here\n");
}

/* What is locked the system does not take back. */
TEST_LOOP(locked_pages_are_zeroed, 0, PATTERN_COUNT)
{
    size_t page = os_page_size();
    unsigned char *p = dirty_range(_i);
    lock_some(p);
    os_zero(p, PAGES * page);
    ck_assert(is_zero(p));
    ck_assert(os_unmap(p, PAGES * page));
}

/* False, with a word, where the system cannot be made to do so. */
static bool faked(bool (*fake)(void))
{
    bool done = fake();
    if (!done)
        printf("not tried: the system has no filters for system calls\n");
    return done;
}

TEST_LOOP(without_mincore_all_is_zeroed, 0, PATTERN_COUNT)
{
    unsigned char *p = dirty_range(_i);
    if (faked(fake_no_mincore))
        ck_assert_uint_eq(os_filled_in(p, PAGES * os_page_size()), 0);
    os_zero(p, PAGES * os_page_size());
    ck_assert(is_zero(p));
}

/* Pages without memory may have contents: they were swapped out. Whether or not they go back. */
TEST_LOOP(contents_without_memory_are_zeroed, 0, PATTERN_COUNT)
{
    unsigned char *p = dirty_range(_i);
    if (faked(fake_empty_pages))
        ck_assert_uint_eq(os_filled_in(p, PAGES * os_page_size()), 0);
    os_zero(p, PAGES * os_page_size());
    ck_assert(is_zero(p));

    p = dirty_range(_i);
    lock_some(p);
    os_zero(p, PAGES * os_page_size());
    ck_assert(is_zero(p));
}

/* No purge is taken for done, and nothing relies on one. */
TEST_LOOP(advice_that_is_ignored_is_no_purge, 0, PATTERN_COUNT)
{
    unsigned char *p = dirty_range(_i), *page = os_map(os_page_size());
    bool ignored = faked(fake_advice);
    os_try_purge(page);
    ck_assert_uint_eq(*page, 0);
    ck_assert_int_eq(os_purge(p, PAGES * os_page_size()), !ignored);
    os_zero(p, PAGES * os_page_size());
    ck_assert(is_zero(p));
}
