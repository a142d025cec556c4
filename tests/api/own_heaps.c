/*
 * Heaps of one's own, as a program uses them: blocks of all sizes, threads that share a heap, pass
 * its blocks on and end, destroy, and children of fork in the midst of that.
 */
#include "check.h"
#include "stats.h"

#include <acre/acre.h>
#include <malloc.h>

enum { BLOCKS = 3000, THREADS = 4, ROUNDS = 20 };

static struct acre_heap *shared;

static size_t size_of(size_t number)
{
    return number % 250 == 0 ? 1500000 + number : number * 37 % 3000;
}

static void test_functions(void)
{
    struct acre_heap *heap = acre_heap_new();
    CHECK(heap != NULL);
    char *block = acre_heap_alloc(heap, 100);
    CHECK(block != NULL && is_aligned(block, 16) && malloc_usable_size(block) >= 100);
    fill(block, 100, 1);
    block = acre_heap_realloc(heap, block, 100000);
    CHECK(block != NULL && is_filled(block, 100, 1));
    block = acre_heap_realloc(heap, block, 5000000);
    CHECK(block != NULL && is_filled(block, 100, 1));
    block = realloc(block, 50); /* out of the heap */
    char *zero = acre_heap_calloc(heap, 300, 300);
    CHECK(zero != NULL && is_zero(zero, 90000));
    for (size_t alignment = 1; alignment <= 4 * CHECK_MIB; alignment *= 2)
        CHECK(is_aligned(acre_heap_aligned(heap, alignment, 100), alignment));
    errno = 0;
    CHECK(acre_heap_aligned(heap, 3, 100) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(acre_heap_alloc(heap, hide_size(SIZE_MAX)) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(acre_heap_calloc(heap, hide_size(SIZE_MAX), 2) == NULL && errno == ENOMEM);
    CHECK(acre_heap_realloc(heap, NULL, 10) != NULL && acre_heap_alloc(heap, 0) != NULL);
    CHECK(acre_heap_realloc(heap, acre_heap_alloc(heap, 10), 0) == NULL);
    errno = 7;
    acre_heap_free(heap, zero);
    acre_heap_free(heap, NULL);
    free(acre_heap_alloc(heap, 700));
    CHECK(errno == 7);
    acre_heap_destroy(heap);
    acre_heap_destroy(NULL);
    CHECK(errno == 7 && is_filled(block, 50, 1));
    free(block);
}

/* What a heap held comes back whole, and no address is handed out twice meanwhile. */
static void test_destroy(void)
{
    static char *blocks[BLOCKS];
    size_t live = stats_now().live, mapped = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct acre_heap *heap = acre_heap_new();
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = acre_heap_alloc(heap, size_of(i));
            CHECK(blocks[i] != NULL);
            fill(blocks[i], size_of(i), (unsigned)i);
            if (i % 4 == 3) {
                CHECK(is_filled(blocks[i - 1], size_of(i - 1), (unsigned)i - 1));
                acre_heap_free(heap, blocks[i - 1]);
            }
        }
        for (size_t i = 0; i < BLOCKS; i++)
            CHECK(i % 4 == 2 || is_filled(blocks[i], size_of(i), (unsigned)i));
        CHECK(stats_now().live > live + CHECK_MIB);
        acre_heap_destroy(heap);
        CHECK(stats_now().live <= live && acre_check(2) == 0);
        mapped = round == 1 ? mapped_bytes() : mapped;
    }
    CHECK(mapped_bytes() <= mapped + 8 * CHECK_MIB);
}

static void test_many_heaps(void)
{
    enum { HEAPS = 300 };
    static struct acre_heap *heaps[HEAPS];
    size_t arenas = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < HEAPS; i++) {
            heaps[i] = acre_heap_new();
            fill(acre_heap_alloc(heaps[i], 1000), 1000, 0);
        }
        for (size_t i = 0; i < HEAPS; i++)
            acre_heap_destroy(heaps[(i * 7) % HEAPS]);
        arenas = round == 0 ? stats_now().arenas : arenas;
    }
    CHECK(stats_now().arenas == arenas);
}

/* ---- threads ---- */

struct passed {
    char *block;
    size_t size;
    unsigned seed;
};

static struct passed places[512]; /* [lock] blocks on their way from thread to thread */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct passed exchange(struct random *random, struct passed passed)
{
    size_t place = random_below(random, COUNT_OF(places));
    pthread_mutex_lock(&lock);
    struct passed before = places[place];
    places[place] = passed;
    pthread_mutex_unlock(&lock);
    return before;
}

static void *trade(void *number)
{
    struct random random = random_begin_for((uintptr_t)number);
    for (unsigned i = 0; i < 6000; i++) {
        size_t size = i % 1000 == 0 ? 2 * CHECK_MIB : random_small(&random, 4000);
        struct passed passed = {acre_heap_alloc(shared, size), size, i};
        CHECK(passed.block != NULL);
        fill(passed.block, size < 4096 ? size : 4096, i);
        passed = exchange(&random, passed);
        if (passed.block == NULL)
            continue;
        CHECK(is_filled(passed.block, passed.size < 4096 ? passed.size : 4096, passed.seed));
        if (i % 2 == 0)
            acre_heap_free(shared, passed.block);
        else
            free(passed.block);
    }
    return NULL;
}

static void trade_in_threads(void)
{
    pthread_t threads[THREADS];
    start_threads(threads, THREADS, trade);
    join_threads(threads, THREADS);
}

static void test_threads(void)
{
    for (int round = 0; round < 3; round++) {
        size_t large = stats_now().large_blocks;
        shared = acre_heap_new();
        memset(places, 0, sizeof(places));
        trade_in_threads();
        acre_heap_destroy(shared);
        CHECK(stats_now().large_blocks <= large && acre_check(2) == 0);
    }
}

/* ---- fork ---- */

static bool stop; /* [any] */

static void *trade_on(void *number)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        trade(number);
        struct acre_heap *heap = acre_heap_new();
        for (size_t i = 1; i < 300; i++)
            acre_heap_alloc(heap, size_of(i));
        acre_heap_destroy(heap);
    }
    return NULL;
}

/* The child uses the heap, whatever the lost threads were doing to it, and ends it. */
static void use_in_child(void)
{
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = acre_heap_alloc(shared, size_of(i));
        CHECK(blocks[i] != NULL);
        fill(blocks[i], size_of(i), (unsigned)i);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(is_filled(blocks[i], size_of(i), (unsigned)i));
    CHECK(acre_check(2) == 0);
    acre_heap_destroy(shared);
    shared = acre_heap_new();
    pthread_mutex_init(&lock, NULL);
    memset(places, 0, sizeof(places));
    trade_in_threads();
    acre_heap_destroy(shared);
    CHECK(acre_check(2) == 0);
}

static void test_fork(void)
{
    pthread_t threads[THREADS];
    memset(places, 0, sizeof(places));
    shared = acre_heap_new();
    start_threads(threads, THREADS, trade_on);
    for (int i = 0; i < 8; i++)
        in_child(use_in_child);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join_threads(threads, THREADS);
    acre_heap_destroy(shared);
}

/* ---- misuse ---- */

static struct acre_error seen;

static void note(const struct acre_error *error)
{
    seen = *error;
}

static void test_misuse(void)
{
    acre_set_error_handler(note);
    CHECK(acre_option_set("on_error", "ignore") == 0 && acre_option_set("foreign", "ignore") == 0);
    struct acre_heap *heap = acre_heap_new(), *other = acre_heap_new();
    char *blocks[] = {acre_heap_alloc(other, 100), malloc(100), acre_heap_alloc(other, 3000000)};
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        acre_heap_free(heap, blocks[i]);
        CHECK(seen.kind == ACRE_ERROR_FOREIGN && seen.block == blocks[i]);
        CHECK(strcmp(seen.function, "acre_heap_free") == 0);
        CHECK(acre_heap_realloc(heap, blocks[i], 50) == NULL);
        CHECK(strcmp(seen.function, "acre_heap_realloc") == 0);
        CHECK(malloc_usable_size(blocks[i]) >= 100);
    }
    char *block = acre_heap_alloc(heap, 100);
    acre_heap_free(heap, block);
    acre_heap_free(heap, block);
    CHECK(seen.kind == ACRE_ERROR_DOUBLE_FREE && seen.pointer == block);
    acre_heap_free(heap, (char *)acre_heap_alloc(heap, 100) + 16);
    CHECK(seen.kind == ACRE_ERROR_INTERIOR);
    block = acre_heap_alloc(heap, 100);
    acre_heap_destroy(heap);
    free(block);
    CHECK(seen.kind == ACRE_ERROR_DOUBLE_FREE && seen.pointer == block);
    CHECK(acre_heap_alloc(heap, 10) == NULL && acre_heap_calloc(heap, 1, 1) == NULL &&
          acre_heap_realloc(heap, NULL, 1) == NULL && acre_heap_aligned(heap, 16, 1) == NULL);
    CHECK(seen.kind == ACRE_ERROR_ENDED_HEAP && seen.pointer == heap);
    acre_heap_destroy(heap);
    CHECK(strcmp(seen.function, "acre_heap_destroy") == 0);
    acre_heap_destroy(other);
    free(blocks[1]);
    acre_set_error_handler(NULL);
    CHECK(acre_option_set("on_error", "abort") == 0 && acre_option_set("foreign", "abort") == 0);
}

int main(void)
{
    check_begin();
    test_functions();
    test_destroy();
    test_many_heaps();
    test_threads();
    test_misuse();
    test_fork();
    return 0;
}
