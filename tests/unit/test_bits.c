/*
 * The scans over bit words against a plain bit-by-bit reference on random data.
 */
#include "test.h"
#include "common/random.h"
#include "base/bits.h"

#include <stdio.h>
#include <string.h>

SUITE(bits);

enum { WORDS = 10, BITS = WORDS * 64, ROUNDS = 1000, QUERIES = 10 };

static uint64_t words[WORDS];
static bool plain[BITS]; /* the same bits, one in each element */

/* Runs of equal bits whose lengths are random below `longest`, in both forms. */
static void fill_runs(struct random *random, uint64_t longest)
{
    bool bit = random_below(random, 2);

    memset(words, 0, sizeof(words));
    for (size_t i = 0; i < BITS; bit = !bit) {
        for (size_t left = 1 + random_below(random, longest); left > 0 && i < BITS; left--, i++) {
            plain[i] = bit;
            words[i / 64] |= (uint64_t)bit << (i % 64);
        }
    }
}

/* The lowest bit in from .. limit-1 that is `bit`; limit if there is none. */
static size_t plain_lowest(bool bit, size_t from, size_t limit)
{
    size_t i = from;

    while (i < limit && plain[i] != bit)
        i++;
    return i < limit ? i : limit;
}

/* How many bits from `start` on, below `limit`, are set without a gap. */
static size_t plain_run_at(size_t start, size_t limit)
{
    size_t end = start;

    while (end < limit && plain[end])
        end++;
    return end - start;
}

static size_t plain_find_run(size_t from, size_t limit, size_t run)
{
    for (size_t i = from; i < limit; i++)
        if (plain_run_at(i, limit) >= run)
            return i;
    return limit;
}

/* Fails unless the words hold just the plain bits. */
static void check_equal(const char *after, size_t first, size_t count)
{
    for (size_t i = 0; i < BITS; i++)
        if (bits_test(words, i) != plain[i])
            ck_abort_msg("bit %zu is %d after %s(%zu, %zu)", i, !plain[i], after, first, count);
}

TEST(finds_what_the_reference_finds)
{
    struct random random = random_begin();

    for (unsigned round = 0; round < ROUNDS; round++) {
        fill_runs(&random, (uint64_t)1 << random_below(&random, 11));
        for (unsigned query = 0; query < QUERIES; query++) {
            size_t limit = query == 0 ? BITS : random_below(&random, BITS + 1);
            size_t from = query == 0 ? 0 : random_below(&random, limit + 1);
            size_t run = 1 + random_below(&random, 65);
            size_t set = 0;
            char where[80];

            for (size_t i = from; i < limit; i++)
                set += plain[i];
            snprintf(where, sizeof(where), "from %zu, limit %zu, run %zu", from, limit, run);
            ck_assert_msg(bits_lowest(words, from, limit) == plain_lowest(true, from, limit),
                          "lowest: %s", where);
            ck_assert_msg(bits_lowest_clear(words, from, limit) == plain_lowest(false, from, limit),
                          "lowest clear: %s", where);
            ck_assert_msg(bits_find_run(words, from, limit, run) ==
                              plain_find_run(from, limit, run),
                          "find run: %s", where);
            ck_assert_msg(bits_count(words, from, limit - from) == set, "count: %s", where);
        }
    }
}

TEST(sets_and_clears_just_the_range)
{
    struct random random = random_begin();

    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t limit = random_below(&random, BITS + 1);
        size_t first = random_below(&random, limit + 1);

        fill_runs(&random, 64);
        memset(plain + first, true, limit - first);
        bits_set(words, first, limit - first);
        check_equal("set", first, limit - first);

        fill_runs(&random, 64);
        memset(plain + first, false, limit - first);
        bits_clear(words, first, limit - first);
        check_equal("clear", first, limit - first);
    }
}

/* With nothing to look at, no word is read: there is none. */
TEST(reads_nothing_of_an_empty_range)
{
    ck_assert_uint_eq(bits_lowest(NULL, 0, 0), 0);
    ck_assert_uint_eq(bits_lowest_clear(NULL, 0, 0), 0);
    ck_assert_uint_eq(bits_find_run(NULL, 0, 0, 1), 0);
    ck_assert_uint_eq(bits_count(NULL, 0, 0), 0);
}
