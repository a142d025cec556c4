/*
 * 20,000 threads one after another: each takes blocks of many sizes, frees some itself, and leaves
 * some to the next thread, which frees them. The process is not larger after the last one than it
 * was after the hundredth, and one arena has served them all.
 */
#include "check.h"
#include "smaps.h"
#include "stats.h"

enum {
    WARM_THREADS = 100,
    THREADS = 20000,
    BLOCKS = 48, /* of each thread */
    /* By which the process may grow: which pages of an arena have memory depends on when ticks
     * come. A block that each thread left would be more than 19,900 / 256 pages. */
    PAGES_ALLOWED = 64,
};

/* What a thread leaves to the next one. */
static char *left[BLOCKS];

static size_t size_of(size_t block)
{
    return block == 0 ? 30000 : 1 + block * block * 2;
}

static void *run_thread(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    char *mine[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        mine[i] = take(size_of(i), self);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (left[i] != NULL)
            give(left[i], size_of(i), self - 1);
        left[i] = NULL;
        if (i % 2 == 0)
            left[i] = mine[i];
        else
            give(mine[i], size_of(i), self);
    }
    return NULL;
}

static void run_threads(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        in_thread(run_thread, (void *)(uintptr_t)i);
}

int main(void)
{
    check_begin();
    run_threads(0, WARM_THREADS);
    size_t warm = smaps_resident();
    run_threads(WARM_THREADS, THREADS);
    size_t end = smaps_resident();
    struct acre_stats stats = stats_now();
    printf("KiB resident: %zu after %d threads, %zu after %d; %zu arenas\n", warm / CHECK_KIB,
           WARM_THREADS, end / CHECK_KIB, THREADS, stats.arenas);
    CHECK(end <= warm + PAGES_ALLOWED * (size_t)sysconf(_SC_PAGESIZE));
    /* main's, and a thread's; pthread_join returns before a thread has given its arena back */
    CHECK(stats.arenas <= 3);
    return 0;
}
