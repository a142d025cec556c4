/*
 * mallinfo, mallinfo2, malloc_stats, mallopt and malloc_trim tell the truth: known amounts are
 * allocated and freed, and the figures move by them.
 */
#include "check.h"
#include <malloc.h>

enum {
    COUNT = 2000,
    BLOCK = 1000,  /* bytes; a TINY block */
    SLACK = 65536, /* bytes that the C library itself may hold meanwhile */
};

static void *blocks[COUNT];

static void allocate_all(size_t size)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 'x', size);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* Bytes in use: mallinfo2 counts blocks of their own mapping separately. */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void test_small_blocks_show(void)
{
    size_t before = in_use();
    allocate_all(BLOCK);
    size_t grown = in_use() - before;
    CHECK(grown >= (size_t)COUNT * BLOCK && grown <= (size_t)COUNT * BLOCK * 5 / 4 + SLACK);
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena + info.hblkhd >= info.uordblks);
    free_all();
    CHECK(in_use() <= before + SLACK);
}

static void test_large_blocks_show(void)
{
    struct mallinfo2 before = mallinfo2();
    void *large = malloc(40 * CHECK_MIB);
    CHECK(large != NULL);
    struct mallinfo2 with = mallinfo2();
    CHECK(with.hblks == before.hblks + 1);
    CHECK(with.hblkhd - before.hblkhd >= 40 * CHECK_MIB);
    CHECK(with.hblkhd - before.hblkhd <= 41 * CHECK_MIB);
    free(large);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd);
}

static void *allocate_in_thread(void *size)
{
    return malloc((size_t)(uintptr_t)size);
}

static void test_other_threads_show(void)
{
    size_t before = in_use();
    void *block = NULL;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate_in_thread, (void *)(uintptr_t)900000) == 0);
    CHECK(pthread_join(thread, &block) == 0);
    CHECK(in_use() - before >= 900000);
    free(block);
    CHECK(in_use() <= before + SLACK);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void test_mallinfo_agrees(void)
{
    allocate_all(BLOCK);
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    CHECK(narrow.uordblks == (int)wide.uordblks && narrow.fordblks == (int)wide.fordblks);
    CHECK(narrow.arena == (int)wide.arena && narrow.hblkhd == (int)wide.hblkhd);
    CHECK(narrow.hblks == (int)wide.hblks && narrow.ordblks == (int)wide.ordblks);
    free_all();
}
#pragma GCC diagnostic pop

/* What malloc_stats prints to standard error, in a buffer that the next call overwrites. */
static const char *captured_stats(void)
{
    static char text[65536];
    int ends[2];
    CHECK(pipe(ends) == 0);
    int saved = dup(STDERR_FILENO);
    CHECK(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    malloc_stats();
    fflush(stderr);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    size_t used = 0;
    ssize_t got;
    while ((got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    close(ends[0]);
    text[used] = '\0';
    return text;
}

static void test_malloc_stats_prints(void)
{
    static char first[65536];
    strcpy(first, captured_stats());
    CHECK(strchr(first, '\n') != NULL && strpbrk(first, "123456789") != NULL);
    void *large = malloc(300 * CHECK_MIB);
    CHECK(large != NULL);
    CHECK(strcmp(first, captured_stats()) != 0);
    free(large);
}

static void test_mallopt_accepts(void)
{
    static const int parameters[] = {M_MXFAST,         M_TRIM_THRESHOLD, M_TOP_PAD,
                                     M_MMAP_THRESHOLD, M_MMAP_MAX,       M_CHECK_ACTION,
                                     M_PERTURB,        M_ARENA_TEST,     M_ARENA_MAX};
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        CHECK(mallopt(parameters[i], 64) == 1);
    CHECK(mallopt(12345, 6) == 1);
    free(hide(malloc(100)));
}

static void test_trim_returns_memory(void)
{
    enum { PAGES_BLOCK = 50000, LIMIT = 24 << 20 };
    malloc_trim(0);
    size_t before = resident_bytes();
    allocate_all(PAGES_BLOCK);
    CHECK(resident_bytes() >= before + (size_t)COUNT * PAGES_BLOCK * 9 / 10);
    free_all();
    int released = malloc_trim(0);
    CHECK(released == 0 || released == 1);
    CHECK(resident_bytes() < before + LIMIT);
    CHECK(malloc_trim(hide_size(SIZE_MAX)) >= 0);
    allocate_all(BLOCK);
    free_all();
}

int main(void)
{
    check_begin();
    free(hide(malloc(1)));
    test_small_blocks_show();
    test_large_blocks_show();
    test_other_threads_show();
    test_mallinfo_agrees();
    test_malloc_stats_prints();
    test_mallopt_accepts();
    test_trim_returns_memory();
    return 0;
}
