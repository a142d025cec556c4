/* Random numbers and the exponential distribution, against figures of other programs. */
#include "test.h"
#include "base/chance.h"

SUITE(chance);

static bool is_near(double value, double expected, double error)
{
    double difference = value - expected;
    return difference <= error && -difference <= error;
}

/* x and -ln(x): bc -l, 20 digits. */
static const double logarithms[][2] = {
    {1, 0},
    {0.5, 0.69314718055994530942},
    {0.75, 0.28768207245178092744},
    {0.70710678118654752, 0.34657359027997265850},
    {0.70710678118654746, 0.34657359027997274336},
    {0.99999, 0.00001000005000033333},
    {0.001, 6.90775527898213705205},
    {0x1p-53, 36.73680056967710139927},
};

TEST(logarithms_are_right)
{
    for (size_t i = 0; i < COUNT_OF(logarithms); i++)
        ck_assert_msg(is_near(chance_minus_log(logarithms[i][0]), logarithms[i][1], 1e-11),
                      "%g: %.15g", logarithms[i][0], chance_minus_log(logarithms[i][0]));
}

/* x and 1 - exp(-x), likewise. */
static const double chances[][2] = {
    {1e-9, 9.99999999500000000e-10},
    {0.0001, 0.00009999500016666250},
    {0.0625, 0.06058693718652421388},
    {0.07, 0.06760618009405178208},
    {1, 0.63212055882855767840},
    {10, 0.99995460007023751515},
    {40, 1},
    {1e12, 1},
};

TEST(chances_are_right)
{
    for (size_t i = 0; i < COUNT_OF(chances); i++)
        ck_assert_msg(is_near(chance_of(chances[i][0]), chances[i][1], 1e-10 * chances[i][1]),
                      "%g: %.15g", chances[i][0], chance_of(chances[i][0]));
}

/* Mean, mean square, and neighbours' product of numbers that are evenly distributed and
 * independent, each within five times its standard deviation; none is 0 or above 1. */
TEST(random_numbers_are_even)
{
    enum { COUNT = 1000000 };
    uint64_t state = 1;
    double sum = 0, squares = 0, products = 0, last = chance_number(&state);
    for (int i = 0; i < COUNT; i++) {
        double number = chance_number(&state);
        ck_assert(number > 0 && number <= 1);
        sum += number;
        squares += number * number;
        products += number * last;
        last = number;
    }
    /* deviations of one number: sqrt(1/12), sqrt(4/45), about sqrt(7/144 + 2/48) */
    ck_assert(is_near(sum / COUNT, 0.5, 5 * 0.289e-3));
    ck_assert(is_near(squares / COUNT, 1.0 / 3, 5 * 0.299e-3));
    ck_assert(is_near(products / COUNT, 0.25, 5 * 0.301e-3));
}
