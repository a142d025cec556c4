/*
 * realloc from every kind of size to every other: contents stay up to the smaller size, growing up
 * to malloc_usable_size moves no block but aligned ones of which less than half is used.
 */
#include "check.h"
#include <malloc.h>

/* Around each border: size classes, TINY and SMALL, SMALL and LARGE, pages. */
static const size_t sizes[] = {
    1,      15,     16,     17,      24,      48,      100,     128,     129,     160,    1000,
    1024,   1025,   4000,   4096,    5000,    16384,   16385,   65536,   65537,   131072, 200000,
    262144, 524289, 917504, 1048575, 1048576, 1048577, 1100000, 2097152, 3000001, 8388608};
enum { SIZES = COUNT_OF(sizes) };

enum {
    ALWAYS_STAYS = 64, /* bytes: a block of that many stays whatever less is asked for */
    FILLED = 10000,    /* bytes of a block, where its place is looked at above all */
};

static void test_grid(void)
{
    for (unsigned from = 0; from < SIZES; from++)
        for (unsigned to = 0; to < SIZES; to++) {
            size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            char *block = malloc(sizes[from]);
            CHECK(block != NULL);
            fill(block, sizes[from], from + to);
            block = realloc(block, sizes[to]);
            CHECK(block != NULL && is_aligned(block, 16));
            CHECK(malloc_usable_size(block) >= sizes[to]);
            CHECK(is_filled(block, kept, from + to));
            fill(block, sizes[to], from);
            block = reallocarray(block, 1, sizes[from]);
            CHECK(block != NULL && is_filled(block, kept, from));
            free(block);
        }
}

/* True if realloc to `size` bytes promises to leave a block of `usable` bytes where it is. */
static bool must_stay(size_t usable, size_t size)
{
    return size <= usable && (usable <= ALWAYS_STAYS || size >= usable / 2);
}

/* Grows a block of `size` bytes, in steps, to all that is usable; it was made without an alignment,
 * so it never moves. */
static void grow_in_place(char *block, size_t size, unsigned seed)
{
    CHECK(block != NULL);
    size_t usable = malloc_usable_size(block), kept = size < FILLED ? size : FILLED;
    uintptr_t address = (uintptr_t)block;
    CHECK(must_stay(usable, size == 0 ? 1 : size));
    fill(block, kept, seed);
    for (size += size == 0; size < usable; size += 1 + (usable - size) / 3) {
        block = realloc(hide(block), size);
        CHECK((uintptr_t)block == address);
    }
    block = realloc(hide(block), usable);
    CHECK((uintptr_t)block == address && malloc_usable_size(block) == usable);
    CHECK(is_filled(block, kept, seed));
    block[usable - 1] = 'x';
    free(block);
}

/* From every function, at every size up to some and then around the borders. Goes first: the first
 * blocks of a size that a process takes are larger than later ones. */
static void test_growth_in_place(void)
{
    for (size_t size = 0; size <= 2100; size++)
        grow_in_place(malloc(size), size, (unsigned)size);
    for (size_t size = 0; size < 1100 * CHECK_KIB; size += 1 + size / 17) {
        grow_in_place(malloc(size), size, 1);
        grow_in_place(calloc(1, size), size, 2);
        grow_in_place(realloc(malloc(size / 3 + 1), size + 1), size + 1, 3);
        grow_in_place(realloc(malloc(size * 3 + 1), size + 1), size + 1, 4);
        grow_in_place(reallocarray(malloc(size * 2 / 3 + 1), 1, size + 1), size + 1, 5);
    }
    for (unsigned i = 0; i < SIZES; i++) {
        grow_in_place(malloc(sizes[i]), sizes[i], i);
        grow_in_place(realloc(malloc(2 * sizes[i]), sizes[i]), sizes[i], i);
    }
}

/* Gives an aligned block each of some sizes up to what is usable. Where less than half of it is
 * asked for, it may move; else it stays. */
static void resize_aligned(size_t alignment, size_t size)
{
    size_t usable = size, wanted = size, kept = size < FILLED ? size : FILLED;
    for (bool last = false; !last; wanted += 1 + (usable - wanted) / 4) {
        char *block = memalign(alignment, size);
        CHECK(block != NULL && is_aligned(block, alignment));
        usable = malloc_usable_size(block);
        last = wanted >= usable;
        wanted = last ? usable : wanted;
        uintptr_t address = (uintptr_t)block;
        fill(block, kept, 7);
        block = realloc(hide(block), wanted);
        CHECK(block != NULL && malloc_usable_size(block) >= wanted);
        CHECK((uintptr_t)block == address || !must_stay(usable, wanted));
        CHECK(is_filled(block, kept, 7));
        block[wanted - 1] = 'x';
        free(block);
    }
}

static void test_growth_of_aligned_blocks(void)
{
    for (size_t alignment = 8; alignment <= 4 * CHECK_MIB; alignment *= 2)
        for (size_t size = 1; size < 1200 * CHECK_KIB; size += 1 + size / 2)
            resize_aligned(alignment, size);
}

int main(void)
{
    check_begin();
    test_growth_in_place();
    test_growth_of_aligned_blocks();
    test_grid();
    return 0;
}
