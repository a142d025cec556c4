/* Random numbers: see chance.h. */
#include "base/chance.h"

double chance_number(uint64_t *state)
{
    return (double)((chance_bits(state) >> 11) + 1) * 0x1p-53;
}

/* x = m 2^e with m from sqrt(1/2) to sqrt(2); ln(m) = 2 artanh((m - 1) / (m + 1)), by its series.
 */
double chance_minus_log(double x)
{
    union {
        double number;
        uint64_t bits;
    } m = {x};
    int exponent = (int)(m.bits >> 52) - 1022;
    m.bits = (m.bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1022) << 52;
    if (m.number < 0.70710678118654752) {
        m.number *= 2;
        exponent--;
    }
    double t = (m.number - 1) / (m.number + 1), series = 0;
    for (int n = 13; n >= 1; n -= 2)
        series = series * t * t + 1.0 / n;
    return -(exponent * 0.69314718055994531 + 2 * t * series);
}

/* By its series up to 1/16, then p(2x) = p(x) (2 - p(x)). */
double chance_of(double x)
{
    unsigned doublings = 0;
    if (x > 64)
        return 1;
    for (; x > 1.0 / 16; x /= 2)
        doublings++;
    double p = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6)))));
    for (; doublings != 0; doublings--)
        p *= 2 - p;
    return p;
}
