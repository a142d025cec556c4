/*
 * realloc from every kind of size to every other: contents stay up to the smaller size, growing up
 * to malloc_usable_size never moves, long growth and shrinking work.
 */
#include "check.h"
#include <malloc.h>

/* Around each border: size classes, TINY and SMALL, SMALL and LARGE, pages. */
static const size_t sizes[] = {
    1,      15,     16,     17,      24,      48,      100,     128,     129,     160,    1000,
    1024,   1025,   4000,   4096,    5000,    16384,   16385,   65536,   65537,   131072, 200000,
    262144, 524289, 917504, 1048575, 1048576, 1048577, 1100000, 2097152, 3000001, 8388608};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

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

static void test_growth_in_place(void)
{
    for (unsigned i = 0; i < SIZES; i++) {
        char *block = malloc(sizes[i]);
        CHECK(block != NULL);
        size_t usable = malloc_usable_size(block);
        uintptr_t address = (uintptr_t)block;
        fill(block, sizes[i], i);
        for (size_t size = sizes[i]; size < usable; size += 1 + (usable - size) / 3) {
            block = realloc(hide(block), size);
            CHECK((uintptr_t)block == address);
        }
        block = realloc(hide(block), usable);
        CHECK((uintptr_t)block == address && malloc_usable_size(block) == usable);
        CHECK(is_filled(block, sizes[i], i));
        block[usable - 1] = 'x';
        free(block);
    }
}

/* A vector that grows to 24 MiB and shrinks again, with a neighbour allocated at each step. */
static void test_long_growth(void)
{
    enum { STEPS = 400 };
    static void *neighbours[STEPS];
    size_t size = 1, steps = 0;
    char *block = malloc(size);
    fill(block, size, 9);
    while (size < 24 * CHECK_MIB) {
        size_t larger = size + size / 8 + 1;
        block = realloc(block, larger);
        CHECK(block != NULL);
        CHECK(is_filled(block, size < 4096 ? size : 4096, 9));
        size = larger;
        fill(block, size, 9);
        CHECK(steps < STEPS);
        neighbours[steps++] = malloc(size % 3000);
    }
    CHECK(is_filled(block, size, 9));
    while (size > 1) {
        size = size * 2 / 3;
        block = realloc(block, size);
        CHECK(block != NULL && is_filled(block, size, 9));
    }
    free(block);
    while (steps > 0)
        free(neighbours[--steps]);
}

/* Shrinking a block a lot gives memory back instead of keeping all of it. */
static void test_shrinking_returns_memory(void)
{
    enum { COUNT = 64 };
    static char *blocks[COUNT];
    size_t before = resident_bytes();
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = malloc(4 * CHECK_MIB);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 'x', 4 * CHECK_MIB);
        blocks[i] = realloc(blocks[i], 100);
        CHECK(blocks[i] != NULL && malloc_usable_size(blocks[i]) < 4 * CHECK_MIB);
    }
    CHECK(resident_bytes() < before + 128 * CHECK_MIB);
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
}

int main(void)
{
    check_begin();
    test_grid();
    test_growth_in_place();
    test_long_growth();
    test_shrinking_returns_memory();
    return 0;
}
