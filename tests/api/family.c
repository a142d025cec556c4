/*
 * The malloc family: zero sizes, NULL, errno, sizes and alignments that cannot be had, all
 * functions that free. Runs both linked with acre and with acre preloaded.
 */
#include "check.h"
#include <malloc.h>

/* Sizes of a TINY, a SMALL and two LARGE blocks; the last one is larger than the stock keeps. */
static const size_t sample_sizes[] = {24, 5000, 300000, 2000001, (size_t)200 << 20};
enum { SAMPLE_SIZES = COUNT_OF(sample_sizes) };

/* Sizes that no allocator can serve: above PTRDIFF_MAX, or wrapping around when rounded up. */
static const size_t impossible_sizes[] = {PTRDIFF_MAX,
                                          (size_t)PTRDIFF_MAX + 1,
                                          (size_t)PTRDIFF_MAX + 4097,
                                          SIZE_MAX - 65536,
                                          SIZE_MAX - 4096,
                                          SIZE_MAX - 4095,
                                          SIZE_MAX - 4094,
                                          SIZE_MAX - 16,
                                          SIZE_MAX - 15,
                                          SIZE_MAX - 14,
                                          SIZE_MAX - 1,
                                          SIZE_MAX};
enum { IMPOSSIBLE_SIZES = COUNT_OF(impossible_sizes) };

/* True if the call just made gave no block and said so; prepares errno for the next one. */
static bool no_memory(const void *result)
{
    bool right = result == NULL && errno == ENOMEM;
    errno = 0;
    return right;
}

static bool invalid(const void *result)
{
    bool right = result == NULL && errno == EINVAL;
    errno = 0;
    return right;
}

static void test_names_are_bound(void)
{
    static const char *const names[] = {"malloc",
                                        "calloc",
                                        "realloc",
                                        "reallocarray",
                                        "free",
                                        "posix_memalign",
                                        "aligned_alloc",
                                        "memalign",
                                        "valloc",
                                        "pvalloc",
                                        "mallinfo",
                                        "mallinfo2",
                                        "mallopt",
                                        "malloc_trim",
                                        "malloc_stats",
                                        "malloc_info",
                                        "__libc_malloc",
                                        "__libc_calloc",
                                        "__libc_realloc",
                                        "__libc_free",
                                        "__libc_memalign",
                                        "__libc_valloc",
                                        "__libc_pvalloc",
                                        "malloc_usable_size",
                                        "free_sized",
                                        "free_aligned_sized",
                                        "cfree"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        check_is_acre(names[i]);
}

static void test_zero_sizes(void)
{
    void *blocks[6] = {malloc(0),    malloc(0),        calloc(0, 8),
                       calloc(8, 0), realloc(NULL, 0), reallocarray(NULL, 0, 8)};
    for (size_t i = 0; i < 6; i++) {
        CHECK(blocks[i] != NULL && is_aligned(blocks[i], 16));
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    }
    for (size_t i = 0; i < 6; i++)
        free(blocks[i]);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void test_realloc_to_zero_frees(void)
{
    for (size_t i = 0; i < SAMPLE_SIZES; i++) {
        struct mallinfo2 before = mallinfo2();
        void *block = malloc(sample_sizes[i]);
        CHECK(block != NULL);
        CHECK(realloc(hide(block), hide_size(0)) == NULL);
        block = malloc(sample_sizes[i]);
        CHECK(reallocarray(hide(block), hide_size(0), 8) == NULL);
        block = malloc(sample_sizes[i]);
        CHECK(reallocarray(hide(block), 8, hide_size(0)) == NULL);
        struct mallinfo2 after = mallinfo2();
        CHECK(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd);
    }
}

static void test_realloc_of_null_allocates(void)
{
    for (size_t i = 0; i < SAMPLE_SIZES; i++) {
        char *block = realloc(NULL, sample_sizes[i]);
        CHECK(block != NULL && malloc_usable_size(block) >= sample_sizes[i]);
        block[0] = block[sample_sizes[i] - 1] = 'x';
        free(block);
        block = reallocarray(NULL, sample_sizes[i] / 8, 8);
        CHECK(block != NULL && malloc_usable_size(block) >= sample_sizes[i] / 8 * 8);
        free(block);
    }
}

static void test_impossible_sizes(void)
{
    errno = 0;
    for (size_t i = 0; i < IMPOSSIBLE_SIZES; i++) {
        size_t size = hide_size(impossible_sizes[i]);
        CHECK(no_memory(malloc(size)));
        CHECK(no_memory(calloc(1, size)));
        CHECK(no_memory(calloc(size, 1)));
        CHECK(no_memory(realloc(NULL, size)));
        CHECK(no_memory(reallocarray(NULL, size, 1)));
        CHECK(no_memory(valloc(size)));
        CHECK(no_memory(pvalloc(size)));
        for (size_t alignment = 8; alignment <= 64 * CHECK_MIB; alignment *= 2) {
            CHECK(no_memory(memalign(alignment, size)));
            CHECK(no_memory(aligned_alloc(alignment, size)));
            void *pointer = &errno;
            CHECK(posix_memalign(&pointer, alignment, size) == ENOMEM);
            CHECK(pointer == &errno && no_memory(NULL));
        }
    }
}

static void test_impossible_products(void)
{
    static const size_t factors[][2] = {{SIZE_MAX, SIZE_MAX},
                                        {SIZE_MAX / 2, 3},
                                        {SIZE_MAX / 2 + 1, 2},
                                        {(size_t)1 << 32, (size_t)1 << 32},
                                        {((size_t)1 << 32) + 1, (size_t)1 << 32},
                                        {3, SIZE_MAX / 2},
                                        {SIZE_MAX / 4, 2}};
    errno = 0;
    for (size_t i = 0; i < COUNT_OF(factors); i++) {
        size_t count = hide_size(factors[i][0]), size = hide_size(factors[i][1]);
        CHECK(no_memory(calloc(count, size)));
        CHECK(no_memory(reallocarray(NULL, count, size)));
        char *block = malloc(100);
        fill(block, 100, (unsigned)i);
        CHECK(no_memory(reallocarray(hide(block), count, size)));
        CHECK(is_filled(block, 100, (unsigned)i));
        free(block);
        errno = 0;
    }
}

static void test_failed_realloc_keeps_block(void)
{
    for (size_t i = 0; i < SAMPLE_SIZES; i++) {
        char *block = malloc(sample_sizes[i]);
        CHECK(block != NULL);
        size_t usable = malloc_usable_size(block);
        fill(block, sample_sizes[i], (unsigned)i);
        errno = 0;
        for (size_t k = 0; k < IMPOSSIBLE_SIZES; k++)
            CHECK(no_memory(realloc(hide(block), hide_size(impossible_sizes[k]))));
        CHECK(malloc_usable_size(block) == usable);
        CHECK(is_filled(block, sample_sizes[i], (unsigned)i));
        free(block);
    }
}

static void test_invalid_alignments(void)
{
    static const size_t alignments[] = {3, 24, 65, 4095, 4097, SIZE_MAX, ((size_t)1 << 63) + 1};
    errno = 0;
    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        size_t alignment = hide_size(alignments[i]);
        CHECK(invalid(memalign(alignment, 100)));
        CHECK(invalid(aligned_alloc(alignment, 100)));
        void *pointer = &errno;
        CHECK(posix_memalign(&pointer, alignment, 100) == EINVAL);
        CHECK(pointer == &errno && errno == 0);
    }
    CHECK(invalid(aligned_alloc(hide_size(0), 100)));
    static const size_t too_small[] = {0, 1, 2, 4};
    for (size_t i = 0; i < COUNT_OF(too_small); i++) {
        void *pointer = &errno;
        CHECK(posix_memalign(&pointer, hide_size(too_small[i]), 100) == EINVAL);
        CHECK(pointer == &errno && errno == 0);
    }
}

/* Powers of two that are valid alignments, but more than there is address space. */
static void test_alignments_beyond_memory(void)
{
    for (unsigned bit = 48; bit < 64; bit++) {
        size_t alignment = hide_size((size_t)1 << bit);
        errno = 0;
        CHECK(memalign(alignment, 100) == NULL && (errno == ENOMEM || errno == EINVAL));
        CHECK(aligned_alloc(alignment, 100) == NULL);
        void *pointer = &errno;
        CHECK(posix_memalign(&pointer, alignment, 100) != 0 && pointer == &errno);
    }
}

/* As with glibc: ENOMEM is in errno, too, and EINVAL and success leave that alone. */
static void test_errno_of_posix_memalign(void)
{
    void *pointer = NULL;
    errno = ERANGE;
    CHECK(posix_memalign(&pointer, 4096, 10000) == 0);
    CHECK(errno == ERANGE && is_aligned(pointer, 4096));
    free(pointer);
    void *untouched = &pointer;
    CHECK(posix_memalign(&untouched, hide_size(48), 64) == EINVAL);
    CHECK(errno == ERANGE && untouched == &pointer);
    CHECK(posix_memalign(&untouched, 64, hide_size(SIZE_MAX)) == ENOMEM);
    CHECK(errno == ENOMEM && untouched == &pointer);
    errno = ERANGE;
    CHECK(posix_memalign(&untouched, 64, hide_size((size_t)1 << 50)) == ENOMEM);
    CHECK(errno == ENOMEM && untouched == &pointer);
}

/* Not declared by older C libraries, nor known to a program that is not linked with acre. */
static void (*sized_free)(void *, size_t), (*aligned_sized_free)(void *, size_t, size_t);
static void (*other_free)(void *);

/* Every function that frees; the sizes that some take are those that were asked for. */
struct freeing {
    enum { FREE, FREE_SIZED, FREE_ALIGNED_SIZED, CFREE, REALLOC, FREEING } function;
    void *block;
    size_t size;
};

static void *free_by(void *argument)
{
    const struct freeing *freeing = argument;
    errno = ERANGE;
    if (freeing->function == FREE)
        free(freeing->block);
    else if (freeing->function == FREE_SIZED)
        sized_free(freeing->block, freeing->size);
    else if (freeing->function == FREE_ALIGNED_SIZED)
        aligned_sized_free(freeing->block, 64, freeing->size);
    else if (freeing->function == CFREE)
        other_free(freeing->block);
    else
        free(hide(realloc(freeing->block, 100)));
    CHECK(errno == ERANGE);
    return NULL;
}

/* The block is freed, and errno stays; also where it is the first call that a thread makes. */
static void test_free(void)
{
    *(void **)&sized_free = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&aligned_sized_free = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    *(void **)&other_free = dlsym(RTLD_DEFAULT, "cfree");
    for (int function = FREE; function < FREEING; function++) {
        struct freeing freeing = {.function = function};
        free_by(&freeing);
        in_thread(free_by, &freeing);
        for (size_t i = 0; i < SAMPLE_SIZES; i++) {
            struct mallinfo2 before = mallinfo2();
            freeing.size = sample_sizes[i];
            freeing.block = aligned_alloc(64, freeing.size);
            free_by(&freeing);
            freeing.block = aligned_alloc(64, freeing.size);
            in_thread(free_by, &freeing);
            struct mallinfo2 after = mallinfo2();
            CHECK(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd);
        }
    }
}

/* The names that older programs and glibc's own parts use are the same functions. */
static void test_libc_names(void)
{
    void *(*libc_malloc)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "__libc_malloc");
    void *(*libc_calloc)(size_t, size_t) =
        (void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, "__libc_calloc");
    void *(*libc_memalign)(size_t, size_t) =
        (void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, "__libc_memalign");
    void (*libc_free)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "__libc_free");
    void *(*libc_realloc)(void *, size_t) =
        (void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, "__libc_realloc");
    free(hide(libc_malloc(100)));
    char *zeroed = libc_calloc(10, 100);
    CHECK(zeroed != NULL && is_zero(zeroed, 1000));
    zeroed = libc_realloc(zeroed, 5000);
    CHECK(zeroed != NULL && is_zero(zeroed, 1000));
    libc_free(zeroed);
    void *aligned = libc_memalign(512, 100);
    CHECK(is_aligned(aligned, 512));
    libc_free(aligned);
}

int main(void)
{
    check_begin();
    test_names_are_bound();
    test_zero_sizes();
    test_realloc_to_zero_frees();
    test_realloc_of_null_allocates();
    test_impossible_sizes();
    test_impossible_products();
    test_failed_realloc_keeps_block();
    test_invalid_alignments();
    test_alignments_beyond_memory();
    test_errno_of_posix_memalign();
    test_free();
    test_libc_names();
    return 0;
}
