/* The histogram against the values themselves: buckets without gaps, quantiles of sorted values. */
#include "common.h"
#include "histogram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES = 20000,
    PRECISION = 32, /* a value is known to one part in that many */
};

static void expect(int holds, const char *what, uint64_t value)
{
    if (holds)
        return;
    fprintf(stderr, "test_histogram: %s: %llu\n", what, (unsigned long long)value);
    exit(1);
}

/* The buckets cover all numbers in order, each at most a 32nd of its values wide. */
static void test_buckets(void)
{
    uint64_t first = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t last = histogram_bucket_last(i);
        expect(last >= first, "a bucket ends before it begins", last);
        expect(histogram_bucket(first) == i, "not in the bucket that it begins", first);
        expect(histogram_bucket(last) == i, "not in the bucket that it ends", last);
        expect(last - first <= first / PRECISION, "the bucket is too wide", first);
        first = last + 1; /* 0 after the last one */
    }
    expect(first == 0, "no bucket for", first);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Random values of all magnitudes. */
static void make_values(uint64_t *values)
{
    struct rng rng = rng_make(0);

    for (size_t i = 0; i < VALUES; i++)
        values[i] = ((uint64_t)rng_below(&rng, UINT32_MAX) << 31) >> rng_below(&rng, 63);
}

/* Quantiles lie at or above the exact ones, by less than a 32nd, and the greatest value is exact.
 */
static void check_quantiles(const struct histogram *histogram, const uint64_t *sorted)
{
    static const struct {
        double part;
        size_t rank; /* of the exact value among VALUES, from 1 */
    } cases[] = {{0, 1},         {0.00001, 1},    {0.5, 10000},     {0.50001, 10001}, {0.99, 19800},
                 {0.999, 19980}, {0.9999, 19998}, {0.99995, 19999}, {0.99996, 20000}, {1, 20000}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t exact = sorted[cases[i].rank - 1];
        uint64_t found = histogram_quantile(histogram, cases[i].part);
        expect(found >= exact, "the quantile is too small", found);
        expect(found - exact <= exact / PRECISION, "the quantile is too great", found);
    }
    expect(histogram_quantile(histogram, 1) == sorted[VALUES - 1], "not the greatest",
           histogram_quantile(histogram, 1));
}

int main(void)
{
    static uint64_t values[VALUES];
    static struct histogram empty, whole, parts[2];

    test_buckets();
    expect(histogram_quantile(&empty, 0.5) == 0, "no values, but", 1);
    make_values(values);
    for (size_t i = 0; i < VALUES; i++) {
        histogram_record(&whole, values[i]);
        histogram_record(&parts[i % 2], values[i]);
    }
    histogram_merge(&parts[0], &parts[1]);
    expect(!memcmp(&parts[0], &whole, sizeof(whole)), "merged is not the whole", parts[0].count);
    qsort(values, VALUES, sizeof(values[0]), compare);
    check_quantiles(&whole, values);
    return 0;
}
