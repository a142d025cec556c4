/*
 * A log-linear histogram: 32 buckets of equal width to each doubling, so that a value is known to
 * one part in 32 wherever it lies, from 0 to 2^64 - 1, in 15 KiB and with a few instructions for
 * each. The layout is that of HdrHistogram (Tene 2012): values below 64 have buckets of their own.
 *
 * The memory is the caller's, zeroed; one thread writes at a time.
 */
#ifndef ACRE_BENCH_HISTOGRAM_H
#define ACRE_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 5,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS, /* buckets to a doubling */
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value. */
static inline unsigned histogram_bucket(uint64_t value)
{
    unsigned highest = 63 - (unsigned)__builtin_clzll(value | HISTOGRAM_STEPS);
    unsigned shift = highest - HISTOGRAM_STEP_BITS;
    return shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

/* Counts a value. */
static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[histogram_bucket(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

/* The greatest value of a bucket. */
uint64_t histogram_bucket_last(unsigned bucket);

/* Adds the counts of `from` to `to`. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The least value that `part` (0 .. 1) of all values do not exceed, rounded up to the end of its
 * bucket but not above the greatest one; 0 if there are no values. */
uint64_t histogram_quantile(const struct histogram *histogram, double part);

#endif
