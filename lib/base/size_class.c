/*
 * The tables of the size classes (see size_class.h), built by the compiler.
 *
 * Classes 0 to 7 are the multiples of 16 up to 128. Every later doubling, from 2^k (exclusive) to
 * 2^(k+1), is cut into four equal parts, so it holds classes 8 + 4 x (k - 7) and the three after.
 */
#include "base/size_class.h"

#include <assert.h>

enum {
    LINEAR_CLASSES = 8, /* classes that are a multiple of 16 bytes each */
    LINEAR_LOG2 = 7,    /* the largest of them is 2^7 bytes */
};

/* The number of the first class above 2^k bytes. */
#define FIRST_CLASS(k) (LINEAR_CLASSES + 4 * ((k)-LINEAR_LOG2))

/* f of the size of each class: the multiples of 16, then four above each 2^k bytes. */
#define ABOVE(f, k)                                                                                \
    [FIRST_CLASS(k)] = f(5u << ((k)-2)), f(6u << ((k)-2)), f(7u << ((k)-2)), f(8u << ((k)-2))
#define ALL_SIZES(f)                                                                               \
    f(16), f(32), f(48), f(64), f(80), f(96), f(112), f(128), ABOVE(f, 7), ABOVE(f, 8),            \
        ABOVE(f, 9), ABOVE(f, 10), ABOVE(f, 11), ABOVE(f, 12), ABOVE(f, 13), ABOVE(f, 14),         \
        ABOVE(f, 15), ABOVE(f, 16), ABOVE(f, 17), ABOVE(f, 18), ABOVE(f, 19)

#define SIZE(size) (size)
const uint32_t size_class_sizes[SIZE_CLASS_COUNT] = {ALL_SIZES(SIZE)};

/* 2^64 / size rounded up. 2^64 itself is one more than a word holds. */
#define RECIPROCAL(size) (UINT64_MAX / (size) + 1)
const uint64_t size_class_reciprocals[SIZE_CLASS_COUNT] = {ALL_SIZES(RECIPROCAL)};

/* An entry of size_class_table. */
#define TABLE_ENTRY(class) ((class) * SIZE_CLASS_STRIDE)

/* Entries of size_class_table: size 0, which shares class 0, and the multiples of 16. */
#define TABLE_LINEAR                                                                               \
    TABLE_ENTRY(0), TABLE_ENTRY(0), TABLE_ENTRY(1), TABLE_ENTRY(2), TABLE_ENTRY(3),                \
        TABLE_ENTRY(4), TABLE_ENTRY(5), TABLE_ENTRY(6), TABLE_ENTRY(7)

/* The index in size_class_table of a size of n quarters of 2^k bytes. */
#define TABLE_INDEX(k, n) ((n) << ((k)-6))

/* Entries of size_class_table: the n-th class above 2^k bytes, n from 0 to 3. */
#define TABLE_CLASS(k, n)                                                                          \
    [TABLE_INDEX(k, 4 + (n)) + 1 ... TABLE_INDEX(k, 5 + (n))] = TABLE_ENTRY(FIRST_CLASS(k) + (n))

/* Entries of size_class_table: the four classes above 2^k bytes. */
#define TABLE_ABOVE(k) TABLE_CLASS(k, 0), TABLE_CLASS(k, 1), TABLE_CLASS(k, 2), TABLE_CLASS(k, 3)

static_assert(FIRST_CLASS(20) == SIZE_CLASS_COUNT && SIZE_CLASS_LIMIT == 1 << 20,
              "the doublings end at the largest class");
static_assert(TABLE_INDEX(14, 8) == SIZE_CLASS_TABLE_LIMIT / 16,
              "the doublings of the table end where the table does");
static_assert(TABLE_ENTRY(SIZE_CLASS_COUNT) <= UINT16_MAX, "an entry holds every class");
static_assert(LINEAR_CLASSES * BLOCK_ALIGNMENT == 1 << LINEAR_LOG2,
              "the doublings begin where the multiples of 16 end");

#define TABLE                                                                                      \
    {                                                                                              \
        TABLE_LINEAR, TABLE_ABOVE(7), TABLE_ABOVE(8), TABLE_ABOVE(9), TABLE_ABOVE(10),             \
            TABLE_ABOVE(11), TABLE_ABOVE(12), TABLE_ABOVE(13), TABLE_ABOVE(14),                    \
    }

const uint16_t size_class_table[SIZE_CLASS_TABLE_LIMIT / 16 + 1] = TABLE;
CACHE_ALIGNED uint16_t size_class_short_path[SIZE_CLASS_TABLE_LIMIT / 16 + 1] = TABLE;

bool size_class_all_seen;
static bool stays_diverted; /* [constant] */

void size_class_divert_always(void)
{
    stays_diverted = true;
    size_class_divert(true);
}

void size_class_see_all(void)
{
    size_class_all_seen = true;
    size_class_divert_always();
}

void size_class_divert(bool diverted)
{
    diverted |= stays_diverted;
    for (size_t i = 0; i <= SIZE_CLASS_TABLE_LIMIT / 16; i++)
        __atomic_store_n(&size_class_short_path[i],
                         diverted ? (uint16_t)TABLE_ENTRY(SIZE_CLASS_COUNT) : size_class_table[i],
                         __ATOMIC_RELAXED);
}

/* With k the highest bit of size - 1, the two bits below it say which quarter of the doubling. */
unsigned size_class_of_medium(size_t size)
{
    const unsigned k = highest_bit(size - 1);

    ASSERT(size >= SIZE_CLASS_TABLE_LIMIT && size <= SIZE_CLASS_LIMIT);
    return FIRST_CLASS(k) + (((size - 1) >> (k - 2)) & 3);
}

/*
 * No class below `alignment` can be a multiple of it, and from there on the next power of two,
 * which is one, is at most three classes away.
 */
unsigned size_class_of_aligned(size_t size, size_t alignment)
{
    const size_t least = max_size(size, alignment);
    unsigned found;

    if (least > SIZE_CLASS_LIMIT)
        return SIZE_CLASS_COUNT;
    found = size_class_of(least);
    while (size_class_sizes[found] % alignment != 0)
        found++;
    return found;
}
