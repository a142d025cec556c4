/*
 * Threads that come and go: destructors of other keys allocate and free, also after acre's own hook
 * has run and in every iteration that pthreads allows; no arena and no block is lost by it.
 */
#include "check.h"
#include <acre/acre.h>
#include <limits.h>

enum {
    KEYS = 16,
    WARM_THREADS = 50,
    THREADS = 1000,
    AT_ONCE = 8,
};

static pthread_key_t keys[KEYS];
static unsigned destructor_runs; /* atomic, relaxed */

/* What a key holds: which one it is, and how often its destructor comes back. */
struct value {
    unsigned key;
    unsigned iterations_left;
    char *block;
};

static struct value *make_value(unsigned key, unsigned iterations)
{
    struct value *value = malloc(sizeof(*value));
    CHECK(value != NULL);
    *value = (struct value){key, iterations, malloc(700)};
    CHECK(value->block != NULL);
    fill(value->block, 700, key);
    return value;
}

static void destroy_value(void *pointer)
{
    struct value *value = pointer, old = *value;
    CHECK(is_filled(old.block, 700, old.key));
    free(old.block);
    free(value);
    free(hide(malloc(3000)));
    __atomic_fetch_add(&destructor_runs, 1, __ATOMIC_RELAXED);
    if (old.iterations_left > 0)
        CHECK(pthread_setspecific(keys[old.key], make_value(old.key, old.iterations_left - 1)) ==
              0);
}

static void *run_thread(void *unused)
{
    for (unsigned i = 0; i < KEYS; i++)
        CHECK(pthread_setspecific(keys[i], make_value(i, PTHREAD_DESTRUCTOR_ITERATIONS - 1)) == 0);
    return unused;
}

/* A value that no allocation of this thread made: its first one happens in the destructor. */
static void *run_late_thread(void *value)
{
    CHECK(pthread_setspecific(keys[KEYS - 1], value) == 0);
    return NULL;
}

static void run_threads(unsigned count)
{
    for (unsigned i = 0; i < count; i += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (unsigned k = 0; k < AT_ONCE; k += 2) {
            CHECK(pthread_create(&threads[k], NULL, run_thread, NULL) == 0);
            struct value *value = make_value(KEYS - 1, PTHREAD_DESTRUCTOR_ITERATIONS - 1);
            CHECK(pthread_create(&threads[k + 1], NULL, run_late_thread, value) == 0);
        }
        for (unsigned k = 0; k < AT_ONCE; k++)
            CHECK(pthread_join(threads[k], NULL) == 0);
    }
}

int main(void)
{
    struct acre_stats before, after;
    check_begin();
    /* destructors run in the order of the keys: acre's is made at the first allocation, between */
    for (unsigned i = 0; i < KEYS; i++) {
        if (i == KEYS / 2)
            free(hide(malloc(1)));
        CHECK(pthread_key_create(&keys[i], destroy_value) == 0);
    }
    run_threads(WARM_THREADS);
    CHECK(acre_stats(&before, sizeof(before)) == 0);
    run_threads(THREADS);
    CHECK(acre_stats(&after, sizeof(after)) == 0);
    CHECK(destructor_runs >= THREADS * KEYS / 2);
    /* pthread_join returns before a thread is wholly gone: a batch may meet the one before it. */
    CHECK(after.arenas <= 1 + 2 * AT_ONCE);
    CHECK(after.arenas_pooled <= after.arenas - 1);
    CHECK(after.small_blocks <= before.small_blocks + AT_ONCE);
    CHECK(after.large_blocks == before.large_blocks);
    CHECK(after.mapped <= before.mapped + 2 * AT_ONCE * 32 * CHECK_MIB);
    return 0;
}
