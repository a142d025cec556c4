/* The log-linear histogram; see histogram.h. */
#include "histogram.h"

uint64_t histogram_bucket_last(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t first = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    to->count += from->count;
    if (from->max > to->max)
        to->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *histogram, double part)
{
    double exact = part * (double)histogram->count;
    uint64_t rank = (uint64_t)exact;
    uint64_t seen = 0;

    rank += (double)rank < exact;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen && seen >= rank) {
            uint64_t last = histogram_bucket_last(i);
            return last < histogram->max ? last : histogram->max;
        }
    }
    return 0;
}
