/*
 * The functions that older C libraries lack: free_sized, free_aligned_sized, cfree. Also as the
 * first call that a thread makes, when it has no arena yet.
 */
#include "check.h"

static void test_frees_really_free(void)
{
    enum { ROUNDS = 2000 };
    static const size_t sizes[] = {1, 24, 1000, 30000, 500000, 3000000};
    size_t before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = sizes[(size_t)round % (sizeof(sizes) / sizeof(sizes[0]))];
        char *block = malloc(size);
        CHECK(block != NULL);
        block[0] = 'x';
        free_sized(block, size);
        block = aligned_alloc(256, size);
        CHECK(is_aligned(block, 256));
        block[0] = 'x';
        free_aligned_sized(block, 256, size);
        block = calloc(1, size);
        CHECK(block != NULL && block[0] == 0);
        block[0] = 'x';
        cfree(block);
        if (round == ROUNDS / 10)
            before = resident_bytes();
    }
    CHECK(resident_bytes() < before + 32 * CHECK_MIB);
}

static void test_errno_is_kept(void)
{
    static const size_t sizes[] = {24, 5000, 3000000, (size_t)200 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *first = malloc(sizes[i]), *second = aligned_alloc(64, sizes[i]),
             *third = malloc(sizes[i]);
        errno = ERANGE;
        free_sized(first, sizes[i]);
        free_aligned_sized(second, 64, sizes[i]);
        cfree(third);
        CHECK(errno == ERANGE);
    }
}

static void *first_free(void *nothing)
{
    free(nothing);
    return nothing;
}

static void *first_free_sized(void *nothing)
{
    free_sized(nothing, 16);
    return nothing;
}

static void *first_free_aligned_sized(void *nothing)
{
    free_aligned_sized(nothing, 64, 64);
    return nothing;
}

static void *first_cfree(void *nothing)
{
    cfree(nothing);
    return nothing;
}

static void *first_realloc(void *nothing)
{
    free(hide(realloc(nothing, 100)));
    return nothing;
}

static void *first_free_of_block(void *block)
{
    free(block);
    return NULL;
}

static void test_first_call_of_thread(void)
{
    static void *(*const starts[])(void *) = {first_free, first_free_sized,
                                              first_free_aligned_sized, first_cfree, first_realloc};
    pthread_t thread;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        CHECK(pthread_create(&thread, NULL, starts[i], NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    static const size_t sizes[] = {24, 5000, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        CHECK(pthread_create(&thread, NULL, first_free_of_block, malloc(sizes[i])) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

int main(void)
{
    check_begin();
    check_is_acre("free_sized");
    check_is_acre("free_aligned_sized");
    check_is_acre("cfree");
    free_sized(NULL, 100);
    free_aligned_sized(NULL, 64, 100);
    cfree(NULL);
    test_first_call_of_thread();
    test_frees_really_free();
    test_errno_is_kept();
    return 0;
}
