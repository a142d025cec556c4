/*
 * What a core of a process with many threads would hold: about what is resident. Address space that
 * was never handed out is not readable, and so in no core, nor does a debugger copy it; and the
 * mappings that this takes are few.
 */
#include "check.h"
#include "smaps.h"

enum {
    GUARDED = 256, /* heaps that have all guards; a thread has one */
    THREADS = 400,
    BLOCKS = 20,       /* of each thread */
    BLOCK = 1000,      /* bytes */
    STACK = 128 << 10, /* bytes */
    FEW = 24,          /* mappings: of metadata, and where neighbours differ */
};

/* Bytes that a debugger copies for each thread, with its 20 KiB of blocks. */
#define DUMPED_MOST (512 * CHECK_KIB)
/* The same where a heap has no guard in front of its units: its lines are open as well. */
#define DUMPED_LATER (1024 * CHECK_KIB)

/* Static, so that their pages are not part of what threads add. */
static char stacks[THREADS][STACK] __attribute__((aligned(65536)));
static pthread_barrier_t holding;

static void *hold(void *unused)
{
    for (size_t i = 0; i < BLOCKS; i++)
        memset(hide(malloc(BLOCK)), 1, BLOCK);
    pthread_barrier_wait(&holding);
    (void)unused;
    sleep_for_ever();
}

static void start_holders(size_t from, size_t to)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_barrier_init(&holding, NULL, (unsigned)(to - from) + 1) == 0);
    CHECK(pthread_attr_init(&attributes) == 0);
    for (size_t i = from; i < to; i++) {
        CHECK(pthread_attr_setstack(&attributes, stacks[i], STACK) == 0);
        int error = pthread_create(&thread, &attributes, hold, NULL);
        if (error == EAGAIN)
            check_skip("the system does not allow this process as many threads");
        CHECK(error == 0);
    }
    pthread_barrier_wait(&holding);
}

struct sum {
    size_t dumped, resident; /* bytes */
    size_t missing;          /* bytes that are resident and not dumped */
    size_t mappings;
};

static void add(void *context, const struct smap *map)
{
    struct sum *sum = context;
    sum->mappings++;
    sum->dumped += map->dumped ? map->end - map->start : 0;
    sum->resident += map->resident;
    sum->missing += map->dumped ? 0 : map->resident;
}

static struct sum sum_now(void)
{
    struct sum sum = {0};
    smaps_for_each(getpid(), add, &sum);
    return sum;
}

/* Threads from..to-1 begin; what that adds is within the bounds. */
static void check_growth(size_t from, size_t to, size_t dumped_each, size_t mappings_each)
{
    size_t threads = to - from;
    struct sum before = sum_now();
    start_holders(from, to);
    struct sum after = sum_now();
    printf("%zu threads: %zu KiB dumped, %zu KiB resident, %zu mappings more\n", threads,
           (after.dumped - before.dumped) / CHECK_KIB,
           (after.resident - before.resident) / CHECK_KIB, after.mappings - before.mappings);
    CHECK(after.dumped - before.dumped <= threads * dumped_each);
    CHECK(after.missing == before.missing);
    CHECK(after.mappings - before.mappings <= threads * mappings_each + FEW);
}

int main(void)
{
    check_begin();
    free(hide(malloc(100)));
    check_growth(0, GUARDED / 2, DUMPED_MOST, 4);
    check_growth(GUARDED / 2, GUARDED - 1, DUMPED_MOST, 4);
    check_growth(GUARDED - 1, THREADS, DUMPED_LATER, 2);
    return 0;
}
