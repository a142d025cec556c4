/*
 * Threads that come and go: destructors of other keys allocate and free, also after acre's own hook
 * has run and in every iteration that pthreads allows; no arena and no block is lost by it.
 */
#include "check.h"
#include "stats.h"
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
    *value = (struct value){key, iterations, take(700, key)};
    return value;
}

static void destroy_value(void *pointer)
{
    struct value *value = pointer, old = *value;
    give(old.block, 700, old.key);
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
            threads[k] = start_thread(run_thread, NULL);
            threads[k + 1] = start_thread(run_late_thread,
                                          make_value(KEYS - 1, PTHREAD_DESTRUCTOR_ITERATIONS - 1));
        }
        join_threads(threads, AT_ONCE);
    }
}

int main(void)
{
    check_begin();
    /* destructors run in the order of the keys: acre's is made at the first allocation, between */
    for (unsigned i = 0; i < KEYS; i++) {
        if (i == KEYS / 2)
            free(hide(malloc(1)));
        CHECK(pthread_key_create(&keys[i], destroy_value) == 0);
    }
    run_threads(WARM_THREADS);
    struct acre_stats before = stats_now();
    run_threads(THREADS);
    struct acre_stats after = stats_now();
    CHECK(destructor_runs >= THREADS * KEYS / 2);
    /* pthread_join returns before a thread is wholly gone: a batch may meet the one before it. */
    CHECK(after.arenas <= 1 + 2 * AT_ONCE);
    CHECK(after.arenas_pooled <= after.arenas - 1);
    CHECK(after.small_blocks <= before.small_blocks + AT_ONCE);
    CHECK(after.large_blocks == before.large_blocks);
    CHECK(after.mapped <= before.mapped + 2 * AT_ONCE * 32 * CHECK_MIB);
    return 0;
}
