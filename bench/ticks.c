/* The rate of the clock that times single calls; see ticks.h. */
#include "ticks.h"

enum {
    TRIES = 16,            /* readings of both clocks, of which the tightest counts */
    SPAN_MIN_NS = 20000000 /* a reading is off by some tens of ns: one millionth of this */
};

struct ticks_moment ticks_moment(void)
{
    struct ticks_moment best = {0, 0};
    uint64_t tightest = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = ticks_now();
        uint64_t ns = ticks_monotonic_ns();
        uint64_t width = ticks_now() - before;
        if (width < tightest) {
            tightest = width;
            best = (struct ticks_moment){before + width / 2, ns};
        }
    }
    return best;
}

double ticks_length_ns(struct ticks_moment begin)
{
    uint64_t span = ticks_monotonic_ns() - begin.ns;

    if (span < SPAN_MIN_NS)
        nanosleep(&(struct timespec){.tv_nsec = (long)(SPAN_MIN_NS - span)}, NULL);
    struct ticks_moment end = ticks_moment();
    return (double)(end.ns - begin.ns) / (double)(end.ticks - begin.ticks);
}
