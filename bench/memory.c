/*
 * memory: scenarios that ask how much memory an allocator holds, not how fast it is.
 *
 *     memory NAME [DIVISOR]   runs a scenario, at 1/DIVISOR (1 .. 1000) of its size
 *     memory --list           prints the names
 *
 * Each figure is a line "name value unit". Resident sizes are those of the whole process, without
 * the scenario's own tables. A new scenario is one function and one line of the table at the end.
 */
#include "common.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reports the resident size now, in MiB. */
static void report_resident(const char *name)
{
    report(name, (double)resident_now() / MIB, "MiB");
}

enum {
    ALIVE_THREADS = 1000,
    ALIVE_BLOCKS = 100, /* for each thread */
};

/* What the threads of many_threads wait for; `lock` guards the rest. */
struct gathering {
    size_t least,
        sizes; /* constant; bytes of a block: this many, and as many sizes from there on */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t begun; /* threads that have taken their number */
    size_t ready; /* threads that hold their blocks */
    int go;       /* they may end */
};

static void *alive_body(void *argument)
{
    struct gathering *gathering = argument;
    void *blocks[ALIVE_BLOCKS];

    pthread_mutex_lock(&gathering->lock);
    struct rng rng = rng_make(gathering->begun++);
    pthread_mutex_unlock(&gathering->lock);
    for (size_t i = 0; i < ALIVE_BLOCKS; i++) {
        size_t size = gathering->least + rng_below(&rng, (uint32_t)gathering->sizes);
        blocks[i] = need(malloc(size));
        memset(blocks[i], 1, size);
    }
    pthread_mutex_lock(&gathering->lock);
    gathering->ready++;
    pthread_cond_broadcast(&gathering->changed);
    while (!gathering->go)
        pthread_cond_wait(&gathering->changed, &gathering->lock);
    pthread_mutex_unlock(&gathering->lock);
    for (size_t i = 0; i < ALIVE_BLOCKS; i++)
        free(blocks[i]);
    return NULL;
}

/* A thousand threads alive at once, each with a hundred small blocks of `least` bytes and more. */
static void threads_alive(size_t divisor, size_t least, size_t sizes)
{
    static struct gathering gathering = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    static pthread_t threads[ALIVE_THREADS];
    size_t count = ALIVE_THREADS / divisor;

    gathering.least = least;
    gathering.sizes = sizes;
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, alive_body, &gathering))
            die("cannot create a thread");
    pthread_mutex_lock(&gathering.lock);
    while (gathering.ready < count)
        pthread_cond_wait(&gathering.changed, &gathering.lock);
    pthread_mutex_unlock(&gathering.lock);
    report_resident("resident");
    pthread_mutex_lock(&gathering.lock);
    gathering.go = 1;
    pthread_cond_broadcast(&gathering.changed);
    pthread_mutex_unlock(&gathering.lock);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    report_resident("resident-after-exit");
}

static void many_threads(size_t divisor)
{
    threads_alive(divisor, 1, KIB);
}

/* The same with blocks of up to 3 KiB. */
static void many_threads_3k(size_t divisor)
{
    threads_alive(divisor, 16, 3000);
}

enum {
    IDLE_THREADS = 4,
    IDLE_MIB = 512, /* freed in all */
    IDLE_SECONDS = 5,
};

/* What the threads of the idle scenarios share. */
struct idle {
    size_t blocks;              /* of 1 KiB, for each thread; constant */
    pthread_barrier_t freed;    /* the threads have freed everything */
    pthread_barrier_t measured; /* the main thread is done */
};

static void *idle_body(void *argument)
{
    struct idle *idle = argument;
    size_t bytes = idle->blocks * sizeof(void *);
    void **table = table_make(bytes);

    for (size_t i = 0; i < idle->blocks; i++) {
        table[i] = need(malloc(KIB));
        touch(table[i]);
    }
    for (size_t i = 0; i < idle->blocks; i++)
        free(table[i]);
    table_free(table, bytes);
    pthread_barrier_wait(&idle->freed);
    pthread_barrier_wait(&idle->measured);
    return NULL;
}

/* Threads allocate, free everything and sleep; `measure` looks at what is left meanwhile. */
static void idle_threads(size_t divisor, void (*measure)(void))
{
    static struct idle idle;
    pthread_t threads[IDLE_THREADS];

    idle.blocks = (size_t)IDLE_MIB * MIB / KIB / IDLE_THREADS / divisor;
    pthread_barrier_init(&idle.freed, NULL, IDLE_THREADS + 1);
    pthread_barrier_init(&idle.measured, NULL, IDLE_THREADS + 1);
    for (size_t i = 0; i < IDLE_THREADS; i++)
        if (pthread_create(&threads[i], NULL, idle_body, &idle))
            die("cannot create a thread");
    pthread_barrier_wait(&idle.freed);
    report_resident("after-free");
    measure();
    pthread_barrier_wait(&idle.measured);
    for (size_t i = 0; i < IDLE_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void measure_after_trim(void)
{
    malloc_trim(0);
    report_resident("after-trim");
}

static void measure_after_wait(void)
{
    sleep(IDLE_SECONDS);
    report_resident("after-5-s");
}

/* What malloc_trim of one thread gives back of what four sleeping ones freed. */
static void idle_trim(size_t divisor)
{
    idle_threads(divisor, measure_after_trim);
}

/* What comes back by itself, with no call to the allocator at all. */
static void idle_wait(size_t divisor)
{
    idle_threads(divisor, measure_after_wait);
}

enum {
    DEAD_THREADS = 4,
    DEAD_MIB = 64, /* left behind in all */
    DEAD_SIZE = KIB,
};

/* What the threads of dead_threads fill; constant but for the blocks. */
struct legacy {
    size_t count; /* blocks for each thread */
    void **table; /* DEAD_THREADS lines of `count` blocks */
};

static void dead_body(void *argument, unsigned number)
{
    struct legacy *legacy = argument;
    void **line = legacy->table + number * legacy->count;

    for (size_t i = 0; i < legacy->count; i++) {
        line[i] = need(malloc(DEAD_SIZE));
        touch(line[i]);
    }
}

/* Threads end and leave their blocks behind; the main thread frees them. */
static void dead_threads(size_t divisor)
{
    size_t count = (size_t)DEAD_MIB * MIB / DEAD_SIZE / DEAD_THREADS / divisor;
    size_t bytes = count * DEAD_THREADS * sizeof(void *);
    struct legacy legacy = {count, table_make(bytes)};

    run_threads(DEAD_THREADS, dead_body, &legacy);
    for (size_t i = 0; i < count * DEAD_THREADS; i++)
        free(legacy.table[i]);
    table_free(legacy.table, bytes);
    report_resident("after-free");
    malloc_trim(0);
    report_resident("after-trim");
}

enum {
    FRAGMENT_BLOCKS = 1000000,
    FRAGMENT_SIZE_MIN = 16,
    FRAGMENT_SIZE_MAX = 512,
    FRAGMENT_FREED_PERCENT = 90,
    FRAGMENT_SECOND_SIZE = 2 * KIB,
};

/* Fills `table` with `count` random blocks in random order; returns their bytes. `sizes` gets the
 * size of each. */
static size_t fragment_fill(void **table, uint16_t *sizes, size_t count, struct rng *rng)
{
    size_t live = 0;

    for (size_t i = 0; i < count; i++) {
        size_t size = FRAGMENT_SIZE_MIN + rng_below(rng, FRAGMENT_SIZE_MAX - FRAGMENT_SIZE_MIN + 1);
        size_t place = rng_below(rng, (uint32_t)i + 1);
        table[i] = table[place];
        sizes[i] = sizes[place];
        table[place] = need(malloc(size));
        sizes[place] = (uint16_t)size;
        memset(table[place], 1, size);
        live += size;
    }
    return live;
}

/* Small blocks, most of them freed at random, then the same bytes in blocks of another size: how
 * far the peak lies above what is live. */
static void fragmentation(size_t divisor)
{
    size_t count = FRAGMENT_BLOCKS / divisor;
    struct rng rng = rng_make(0);
    void **table = table_make(count * sizeof(*table));
    uint16_t *sizes = table_make(count * sizeof(*sizes));
    size_t before = resident_now();
    size_t live = fragment_fill(table, sizes, count, &rng);
    size_t gone = count / 100 * FRAGMENT_FREED_PERCENT;
    size_t freed = 0;

    for (size_t i = 0; i < gone; i++) {
        freed += sizes[i];
        free(table[i]);
    }
    size_t second = freed / FRAGMENT_SECOND_SIZE;
    for (size_t i = 0; i < second; i++) {
        table[i] = need(malloc(FRAGMENT_SECOND_SIZE));
        memset(table[i], 1, FRAGMENT_SECOND_SIZE);
    }
    report("live", (double)live / MIB, "MiB");
    report("peak-over-live", (double)(resident_peak() - before) / (double)live, "ratio");
    for (size_t i = 0; i < second; i++)
        free(table[i]);
    for (size_t i = gone; i < count; i++)
        free(table[i]);
    table_free(table, count * sizeof(*table));
    table_free(sizes, count * sizeof(*sizes));
}

enum {
    LIMIT_MIB = 64,
    LIMIT_BLOCKS_MAX = LIMIT_MIB * KIB, /* 1 KiB blocks: more than fit */
};

/* Allocates 1 KiB blocks until there are no more, reports them as MiB and frees them. */
static void fill_limit(const char *name, void **table)
{
    size_t count = 0;

    while (count < LIMIT_BLOCKS_MAX && (table[count] = malloc(KIB)))
        touch(table[count++]);
    report(name, (double)count * KIB / MIB, "MiB");
    while (count)
        free(table[--count]);
}

/* How much of an address space of 64 MiB a program can use, twice, from its start on. The program
 * starts itself again below the limit, which an allocator that reserves at load time must feel too.
 */
static void address_limit(size_t divisor)
{
    struct rlimit limit;

    (void)divisor; /* the size is the point */
    if (getrlimit(RLIMIT_AS, &limit))
        die("getrlimit failed");
    if (limit.rlim_cur != (rlim_t)LIMIT_MIB * MIB) {
        limit.rlim_cur = limit.rlim_max = (rlim_t)LIMIT_MIB * MIB;
        if (setrlimit(RLIMIT_AS, &limit))
            die("setrlimit failed");
        execl("/proc/self/exe", "memory", "address-limit", (char *)NULL);
        die("the program cannot start itself again");
    }
    void **table = table_make(LIMIT_BLOCKS_MAX * sizeof(*table));
    fill_limit("obtained", table);
    fill_limit("obtained-again", table);
}

enum { LARGE_BLOCKS = 100000 };

/* Many blocks of 1 MiB + 1, a byte touched in each: more than a process may have mappings. */
static void large_blocks(size_t divisor)
{
    size_t count = LARGE_BLOCKS / divisor;
    void **table = table_make(count * sizeof(*table));
    size_t got = 0;

    while (got < count && (table[got] = malloc(MIB + 1)))
        touch(table[got++]);
    report("blocks", (double)got, "blocks");
    report_resident("resident");
    while (got)
        free(table[--got]);
    report_resident("after-free");
}

enum {
    SPARSE_BYTES = 1 << 30,
    SPARSE_TOUCHED = 300, /* bytes */
};

/* A GiB of zeroes by calloc, 300 bytes of it touched. */
static void calloc_sparse(size_t divisor)
{
    size_t size = SPARSE_BYTES / divisor;
    struct rng rng = rng_make(0);
    char *block = need(calloc(1, size));

    for (size_t i = 0; i < SPARSE_TOUCHED; i++)
        touch(block + rng_below(&rng, (uint32_t)size));
    report_resident("resident");
    free(block);
    report_resident("after-free");
}

enum { DIVISOR_MAX = 1000 }; /* what leaves each scenario something to do */

/* A scenario; the name is what the driver and the tables call it. */
struct scenario {
    const char *name;
    void (*run)(size_t divisor);
};

static const struct scenario scenarios[] = {
    {"many-threads", many_threads},   {"many-threads-3k", many_threads_3k},
    {"idle-trim", idle_trim},         {"idle-wait", idle_wait},
    {"dead-threads", dead_threads},   {"fragmentation", fragmentation},
    {"address-limit", address_limit}, {"large-blocks", large_blocks},
    {"calloc-sparse", calloc_sparse},
};

enum { SCENARIO_COUNT = sizeof(scenarios) / sizeof(scenarios[0]) };

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        die("usage: memory NAME [DIVISOR] | --list");
    size_t divisor = argc > 2 ? parse_count(argv[2]) : 1;
    if (divisor > DIVISOR_MAX)
        die("the divisor is at most 1000");
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        if (!strcmp(argv[1], "--list")) {
            printf("%s\n", scenarios[i].name);
        } else if (!strcmp(argv[1], scenarios[i].name)) {
            scenarios[i].run(divisor);
            return 0;
        }
    }
    if (strcmp(argv[1], "--list"))
        die("no such scenario; --list names them");
    return 0;
}
