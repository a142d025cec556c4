/*
 * The floor allocator, linked into this program, keeps malloc's promises: alignment, zeroed calloc,
 * contents across realloc, blocks that do not overlap, errors, and its limit. It reads its limit
 * anew for each chunk, so the environment may change under way.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Volatile, for compilers warn about such constants. */
static volatile size_t too_large = SIZE_MAX - 100;
static volatile size_t odd_alignment = 48;

static void expect(int holds, const char *what)
{
    if (holds)
        return;
    dprintf(STDERR_FILENO, "test_floor: %s\n", what);
    _exit(1);
}

static int is_filled(const unsigned char *block, size_t size, unsigned char byte)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != byte)
            return 0;
    return 1;
}

enum { BLOCKS = 20000 };

/* Blocks of each thread, filled with a byte of their own, hold it until all are allocated. */
static void fill_and_compare(void *argument, unsigned number)
{
    struct rng rng = rng_make(number);
    unsigned char **blocks = table_make(BLOCKS * sizeof(*blocks));

    (void)argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = rng_size(&rng);
        blocks[i] = need(i % 2 ? malloc(size) : calloc(1, size));
        expect((uintptr_t)blocks[i] % 16 == 0, "a block is not aligned to 16 bytes");
        expect(malloc_usable_size(blocks[i]) == size, "the usable size is wrong");
        expect(i % 2 || is_filled(blocks[i], size, 0), "calloc's block is not zeroed");
        memset(blocks[i], (int)((i + number) % 251 + 1), size);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        expect(is_filled(blocks[i], malloc_usable_size(blocks[i]),
                         (unsigned char)((i + number) % 251 + 1)),
               "a block changed: two overlap");
        free(blocks[i]);
    }
    table_free(blocks, BLOCKS * sizeof(*blocks));
}

/* A block keeps its contents while it grows, as the last one of its chunk and before another one.
 */
static void test_realloc(void)
{
    for (int between = 0; between < 2; between++) {
        unsigned char *block = need(malloc(100));
        memset(block, 7, 100);
        for (size_t size = 200; size < 4 * MIB; size *= 2) {
            if (between)
                need(malloc(1));
            block = need(realloc(block, size));
            expect(is_filled(block, size / 2, 7), "realloc lost bytes");
            expect(is_filled(need(calloc(1, 64)), 64, 0), "a block overlaps one that grew");
            memset(block, 7, size);
        }
        expect(realloc(block, 10) == block, "shrinking moves the block");
    }
    expect(malloc_usable_size(realloc(NULL, 24)) == 24, "realloc of NULL is no malloc");
    expect(malloc_usable_size(reallocarray(NULL, 3, 8)) == 24, "reallocarray does not multiply");
}

static void test_alignment(void)
{
    for (size_t alignment = 8; alignment <= MIB; alignment *= 2) {
        void *blocks[3] = {memalign(alignment, 100), aligned_alloc(alignment, 100), NULL};
        expect(posix_memalign(&blocks[2], alignment, 100) == 0, "posix_memalign failed");
        for (size_t i = 0; i < 3; i++) {
            expect((uintptr_t)need(blocks[i]) % alignment == 0, "a block is not aligned");
            memset(blocks[i], 1, 100);
        }
    }
    expect((uintptr_t)need(valloc(1)) % PAGE == 0, "valloc does not align");
    expect(malloc_usable_size(pvalloc(1)) == PAGE, "pvalloc does not round up");
}

/* `block` is NULL and errno says that there is no memory; clears errno. */
static void expect_refused(void *block, const char *what)
{
    expect(!block && errno == ENOMEM, what);
    errno = 0;
}

static void test_errors(void)
{
    void *block = need(malloc(1));

    errno = 0;
    expect_refused(malloc(too_large), "malloc of too much");
    expect_refused(calloc(too_large, 2), "calloc whose product overflows");
    expect_refused(realloc(block, too_large), "realloc to too much");
    expect_refused(reallocarray(block, too_large, 2), "reallocarray whose product overflows");
    expect_refused(memalign(64, too_large), "memalign of too much");
    expect_refused(pvalloc(too_large), "pvalloc of too much");
    expect(!memalign(odd_alignment, 1) && errno == EINVAL, "memalign takes any alignment");
    errno = 0;
    expect(posix_memalign(&block, 24, 1) == EINVAL, "posix_memalign takes any alignment");
    expect(posix_memalign(&block, 64, too_large) == ENOMEM, "posix_memalign of too much");
    expect(errno == 0, "posix_memalign sets errno");
}

/* Under a limit a loop comes to an end, and not at once; without it there is more. */
static void test_limit(void)
{
    enum { LIMIT_MIB = 64 };
    size_t obtained = 0;

    setenv("FLOOR_LIMIT_MIB", "64", 1);
    errno = 0;
    while (malloc(MIB))
        expect(++obtained <= LIMIT_MIB, "the limit does not hold");
    expect(errno == ENOMEM, "the limit sets no ENOMEM");
    expect(obtained > LIMIT_MIB / 4, "the limit comes too early");
    unsetenv("FLOOR_LIMIT_MIB");
    need(malloc(MIB));
}

int main(void)
{
    test_limit(); /* first, while nothing is mapped */
    run_threads(4, fill_and_compare, NULL);
    test_realloc();
    test_alignment();
    test_errors();
    return 0;
}
