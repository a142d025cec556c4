/*
 * Size classes: every size up to the largest, every alignment.
 */
#include "test.h"
#include "common/random.h"
#include "base/size_class.h"

SUITE(size_class);

enum {
    LINEAR_LIMIT = 128, /* bytes; up to here a block wastes at most MOST_LINEAR_WASTE */
    MOST_LINEAR_WASTE = 15,
    RANDOM_SIZES = 20000,
};

TEST(sizes_are_as_documented)
{
    ck_assert_uint_eq(size_class_sizes[0], BLOCK_ALIGNMENT);
    ck_assert_uint_eq(size_class_sizes[SIZE_CLASS_COUNT - 1], SIZE_CLASS_LIMIT);
    for (unsigned i = 0; i < SIZE_CLASS_COUNT; i++) {
        uint32_t size = size_class_sizes[i];

        ck_assert_uint_eq(size % BLOCK_ALIGNMENT, 0);
        if (i > 0)
            ck_assert_uint_gt(size, size_class_sizes[i - 1]);
        if (i > 0 && size <= LINEAR_LIMIT)
            ck_assert_uint_eq(size - size_class_sizes[i - 1], 16);
    }
    for (size_t power = BLOCK_ALIGNMENT; power <= SIZE_CLASS_LIMIT; power *= 2)
        ck_assert_uint_eq(size_class_sizes[size_class_of(power)], power);
    for (size_t power = LINEAR_LIMIT; power < SIZE_CLASS_LIMIT; power *= 2)
        ck_assert_uint_eq(size_class_of(2 * power) - size_class_of(power), 4);
    ck_assert_uint_eq(size_class_sizes[size_class_of(SIZE_CLASS_TINY_LIMIT)],
                      SIZE_CLASS_TINY_LIMIT);
}

/* Fails if the class of `size` is not the smallest that fits, or wastes more than is promised. */
static void check_size(size_t size)
{
    unsigned class_of_size = size_class_of(size);
    size_t block, waste;

    if (class_of_size >= SIZE_CLASS_COUNT)
        ck_abort_msg("size %zu has class %u, which does not exist", size, class_of_size);
    block = size_class_sizes[class_of_size];
    waste = block - size;
    if (size >= SIZE_CLASS_TABLE_LIMIT && size_class_of_medium(size) != class_of_size)
        ck_abort_msg("size %zu has class %u by the table only", size, class_of_size);
    if (block < size)
        ck_abort_msg("size %zu does not fit in its class of %zu", size, block);
    if (class_of_size > 0 && size_class_sizes[class_of_size - 1] >= size)
        ck_abort_msg("size %zu has class %u, but a smaller one fits", size, class_of_size);
    if (size <= LINEAR_LIMIT ? waste > MOST_LINEAR_WASTE : waste * 5 > block)
        ck_abort_msg("size %zu wastes %zu bytes of a block of %zu", size, waste, block);
}

TEST(every_size_has_the_smallest_class_that_fits)
{
    ck_assert_uint_eq(size_class_of(0), 0);
    for (size_t size = 1; size <= SIZE_CLASS_LIMIT; size++)
        check_size(size);
}

/* The class of an aligned request, by trying them all. */
static unsigned plain_of_aligned(size_t size, size_t alignment)
{
    unsigned i = 0;

    while (i < SIZE_CLASS_COUNT &&
           (size_class_sizes[i] < size || size_class_sizes[i] % alignment != 0))
        i++;
    return i;
}

static void check_aligned(size_t size, size_t alignment)
{
    unsigned found = size_class_of_aligned(size, alignment);
    unsigned expected = plain_of_aligned(size, alignment);

    if (found != expected)
        ck_abort_msg("size %zu aligned to %zu has class %u, not %u", size, alignment, found,
                     expected);
}

TEST_LOOP(aligned_classes_are_the_smallest_multiples, 0, 64)
{
    const size_t alignment = (size_t)1 << _i;
    struct random random = random_begin();

    for (unsigned i = 0; i < SIZE_CLASS_COUNT; i++) {
        check_aligned(size_class_sizes[i] - 1, alignment);
        check_aligned(size_class_sizes[i], alignment);
        check_aligned(size_class_sizes[i] + 1, alignment);
    }
    for (unsigned i = 0; i < RANDOM_SIZES; i++) {
        size_t limit = (size_t)2 << random_below(&random, 22);

        check_aligned(random_below(&random, limit), alignment);
    }
    check_aligned(0, alignment);
    ck_assert_uint_eq(size_class_of_aligned(SIZE_MAX, alignment), SIZE_CLASS_COUNT);
}
