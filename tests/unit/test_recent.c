/*
 * What was in use lately, and the bound that follows, at made-up times.
 */
#include "test.h"
#include "base/recent.h"

SUITE(recent);

enum { PERIOD = 1000 /* ms */, START = 5000 };

static struct recent recent;

/* At `now`, frees a block of what is `used`. */
static void free_at(uint64_t now, size_t used)
{
    recent_before_free(&recent, used, now, PERIOD);
}

TEST(nothing_stays_that_was_not_wanted_again)
{
    free_at(START, 1000);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 0);
    ck_assert_uint_eq(recent_bound(&recent, 0, 300), 300); /* but the share */
    recent_count_grown(&recent, 500);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 0);
    recent_count_gone(&recent, 700);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 0);
}

TEST(what_was_wanted_again_stays)
{
    free_at(START, 1000);
    recent_count_gone(&recent, 400);
    recent_count_grown(&recent, 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 99), 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 101), 101);
    recent_count_grown(&recent, 500); /* only what has gone comes again */
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 400);
    recent_count_grown(&recent, 500);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 400);
}

TEST(the_peak_is_passed_by_a_quarter_at_most)
{
    free_at(START, 1000);
    free_at(START, 600);
    recent_count_gone(&recent, 5000);
    recent_count_grown(&recent, 5000);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 1250);
    ck_assert_uint_eq(recent_bound(&recent, 200, 0), 1050);
    ck_assert_uint_eq(recent_bound(&recent, 200, 9000), 1050);
    ck_assert_uint_eq(recent_bound(&recent, 1249, 9000), 1);
    ck_assert_uint_eq(recent_bound(&recent, 1250, 9000), 0);
    ck_assert_uint_eq(recent_bound(&recent, 5000, 9000), 0);
}

TEST(periods_pass)
{
    free_at(START, 1000);
    recent_count_gone(&recent, 500);
    recent_count_grown(&recent, 200);
    free_at(START + PERIOD - 1, 400); /* the same one */
    ck_assert_uint_eq(recent_bound(&recent, 1000, 9000), 250);
    free_at(START + PERIOD, 400); /* the next one, which has 400 as its peak */
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 200);
    ck_assert_uint_eq(recent_bound(&recent, 1000, 9000), 250);
    recent_count_gone(&recent, 60);
    recent_count_grown(&recent, 50 + 10 + 30); /* also of what has gone in the one before */
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 200 + 90);
    free_at(START + 2 * PERIOD, 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 60);
    ck_assert_uint_eq(recent_bound(&recent, 0, 9000), 500);
    /* after two without a free all is forgotten */
    free_at(START + 4 * PERIOD, 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 0);
    ck_assert_uint_eq(recent_bound(&recent, 0, 9000), 125);
}

/* Threads read the clock before they take the lock. */
TEST(a_time_before_the_period_is_in_it)
{
    free_at(START, 1000);
    recent_count_gone(&recent, 500);
    recent_count_grown(&recent, 500);
    free_at(START - PERIOD, 100);
    ck_assert_uint_eq(recent_bound(&recent, 0, 0), 500);
}
