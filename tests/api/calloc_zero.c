/*
 * calloc zeroes memory that was dirty before, freed by this thread or another one, gone back to the
 * system or not, and does not touch pages that the system just handed out. All of it runs once more
 * on a system where MADV_DONTNEED succeeds and leaves the contents.
 */
#include "check.h"
#include "fake_call.h"
#include <malloc.h>

enum reuse { REUSE_OWN, REUSE_REMOTE, REUSE_TRIMMED, REUSES };

static const size_t sizes[] = {1,    16,    17,    48,     128,    500,     1024,    4096,
                               5000, 20000, 65536, 150000, 300000, 1048576, 1048577, 3000000};

static void *free_all(void *blocks)
{
    for (void **next = blocks; *next != NULL; next++)
        free(*next);
    return NULL;
}

/* Dirties and frees blocks of one size, in this thread or another one, and takes them zeroed. */
static void check_reuse(size_t size, enum reuse how)
{
    enum { MOST = 300 };
    static void *blocks[MOST + 1];
    size_t count = size > 100000 ? 6 : MOST;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 0xA5, malloc_usable_size(blocks[i]));
    }
    blocks[count] = NULL;
    if (how == REUSE_REMOTE)
        in_thread(free_all, blocks);
    else
        free_all(blocks);
    if (how == REUSE_TRIMMED)
        malloc_trim(0);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = i % 2 ? calloc(1, size) : calloc(size, 1);
        CHECK(blocks[i] != NULL && is_zero(blocks[i], size));
        memset(blocks[i], 0x5A, size);
    }
    free_all(blocks);
}

static void test_untouched_pages(void)
{
    size_t size = 512 * CHECK_MIB, before = resident_bytes();
    char *block = calloc(size / 8, 8);
    CHECK(block != NULL);
    CHECK(resident_bytes() < before + 8 * CHECK_MIB);
    for (size_t i = 0; i < size; i += 64 * CHECK_MIB)
        CHECK(block[i] == 0);
    free(block);
}

/* A LARGE block that realloc grew after calloc: what calloc next hands out is zero all the same. */
static void test_after_growth(void)
{
    for (int round = 0; round < 8; round++) {
        size_t size = 2 * CHECK_MIB;
        char *block = calloc(1, size);
        CHECK(block != NULL && is_zero(block, size));
        block = realloc(block, 3 * size);
        CHECK(block != NULL && is_zero(block, size));
        memset(block, 0xFF, 3 * size);
        free(block);
    }
}

static void test_all(void)
{
    for (enum reuse how = REUSE_OWN; how < REUSES; how++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            check_reuse(sizes[i], how);
    test_untouched_pages();
    test_after_growth();
}

/* The library tests at its start whether advice is ignored, so the program starts itself again. */
static void start_where_advice_is_ignored(void)
{
    if (fake_advice())
        start_again("again");
    printf("not tried: a system that ignores advice\n");
}

int main(int count, char **words)
{
    (void)words;
    check_begin();
    if (count == 1)
        in_child(start_where_advice_is_ignored);
    test_all();
    return 0;
}
