/* What was in use lately: see recent.h. */
#include "base/recent.h"

enum { PEAK_SHARE = 4 }; /* used and idle bytes may be peak + peak / 4 */

void recent_before_free(struct recent *recent, size_t used, uint64_t now, uint64_t period)
{
    uint64_t passed = now > recent->since ? now - recent->since : 0;
    if (passed >= period) {
        bool follows = passed / 2 < period;
        recent->before = follows ? recent->now : (struct recent_period){0};
        recent->now = (struct recent_period){0};
        recent->since = now;
    }
    recent->now.peak = max_size(recent->now.peak, used);
}

void recent_count_gone(struct recent *recent, size_t bytes)
{
    recent->now.gone += bytes;
}

static void take_again(struct recent_period *period, size_t *bytes)
{
    size_t again = min_size(period->gone, *bytes);
    period->gone -= again;
    period->again += again;
    *bytes -= again;
}

void recent_count_grown(struct recent *recent, size_t bytes)
{
    take_again(&recent->now, &bytes);
    take_again(&recent->before, &bytes);
}

size_t recent_bound(const struct recent *recent, size_t used, size_t share)
{
    size_t peak = max_size(recent->now.peak, recent->before.peak);
    peak += peak / PEAK_SHARE;
    size_t wanted = max_size(share, recent->now.again + recent->before.again);
    return min_size(wanted, peak > used ? peak - used : 0);
}
