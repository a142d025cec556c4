/*
 * Alignment: 16 bytes for every size, and what was asked for by the aligned functions, up to more
 * than a heap; all of such a block is usable, can be reallocated and freed.
 */
#include "check.h"
#include <malloc.h>

enum { LARGEST_ALIGNMENT = 64 << 20 };

static void test_every_size(void)
{
    for (size_t size = 0; size <= 1200 * CHECK_KIB; size += size < 5000 ? 1 : 997) {
        char *block = malloc(size);
        CHECK(block != NULL && is_aligned(block, 16));
        CHECK(malloc_usable_size(block) >= size);
        block[0] = block[malloc_usable_size(block) - 1] = 'x';
        free(block);
        block = calloc(1, size);
        CHECK(block != NULL && is_aligned(block, 16));
        free(block);
    }
}

/* Uses all of an aligned block, lets realloc grow it, and frees it. */
static void use_aligned(char *block, size_t alignment, size_t size)
{
    CHECK(block != NULL && is_aligned(block, alignment));
    CHECK(malloc_usable_size(block) >= size);
    fill(block, size, 5);
    char *grown = realloc(block, size + 100);
    CHECK(grown != NULL && is_aligned(grown, 16));
    CHECK(is_filled(grown, size, 5));
    free(grown);
}

static void test_aligned_functions(void)
{
    static const size_t sizes[] = {0,    1,     16,    17,     100,     1000,
                                   4096, 10000, 65536, 300000, 1 << 20, 3000000};
    for (size_t alignment = 1; alignment <= LARGEST_ALIGNMENT; alignment *= 2)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            size_t size = sizes[i];
            use_aligned(memalign(alignment, size), alignment, size);
            use_aligned(aligned_alloc(alignment, size), alignment, size);
            if (alignment < sizeof(void *))
                continue;
            void *block = NULL;
            CHECK(posix_memalign(&block, alignment, size) == 0);
            use_aligned(block, alignment, size);
        }
}

/* operator new(size_t, align_val_t), whose size need not be a multiple of the alignment. */
static void test_aligned_new(void)
{
    void *(*new_aligned)(size_t, size_t);
    void (*delete_aligned)(void *, size_t);
    *(void **)&new_aligned = dlsym(RTLD_DEFAULT, "_ZnwmSt11align_val_t");
    *(void **)&delete_aligned = dlsym(RTLD_DEFAULT, "_ZdlPvSt11align_val_t");
    CHECK(new_aligned != NULL && delete_aligned != NULL);
    for (size_t alignment = 32; alignment <= 65536; alignment *= 2)
        for (size_t size = 1; size < 5000; size = size * 3 + 1) {
            void *first = new_aligned(size, alignment), *second = new_aligned(size, alignment);
            CHECK(is_aligned(first, alignment) && is_aligned(second, alignment));
            delete_aligned(first, alignment);
            delete_aligned(second, alignment);
        }
}

static void test_page_functions(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 70000, 2000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        use_aligned(valloc(sizes[i]), page, sizes[i]);
        size_t rounded = (sizes[i] + page - 1) / page * page;
        use_aligned(pvalloc(sizes[i]), page, rounded);
    }
}

/* Many aligned blocks at once: no two overlap, and all keep their contents. */
static void test_many_aligned_blocks(void)
{
    enum { COUNT = 3000 };
    static char *blocks[COUNT];
    struct random random = {1};
    for (unsigned i = 0; i < COUNT; i++) {
        size_t alignment = (size_t)16 << random_below(&random, 10);
        blocks[i] = memalign(alignment, 1 + i);
        CHECK(is_aligned(blocks[i], alignment));
        fill(blocks[i], 1 + i, i);
    }
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(is_filled(blocks[i], 1 + i, i));
    for (unsigned i = 0; i < COUNT; i++)
        free(blocks[i]);
}

int main(void)
{
    check_begin();
    test_every_size();
    test_aligned_functions();
    test_aligned_new();
    test_page_functions();
    test_many_aligned_blocks();
    return 0;
}
