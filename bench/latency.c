/*
 * latency: how long single calls of malloc and of free take while threads replace blocks at random.
 *
 *     latency NAME [WORK]   does the work; prints percentiles of malloc and free in nanoseconds
 *     latency --list        prints "name work threads" for each
 *
 * Each thread keeps blocks of random sizes and replaces a random one, again and again. Half of the
 * old blocks it frees itself; the other half it puts in random places that all threads share and
 * frees what lay there: of T threads, all but one in T of these blocks are another thread's. Each
 * malloc and each free is timed by itself, and so is nothing at all, an "empty" measurement: that
 * is what the clock costs, and how often the machine interrupts. Nothing is subtracted from the
 * figures.
 */
#include "common.h"
#include "histogram.h"
#include "ticks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 10000,  /* blocks that each thread keeps */
    SHARED = 4096,  /* places through which the threads trade */
    WARM_PART = 10, /* the first 1/WARM_PART of the work is not measured: the heap grows */
};

/* What is timed. */
enum { CALL_MALLOC, CALL_FREE, CALL_EMPTY, CALLS };
static const char *const call_names[CALLS] = {"malloc", "free", "empty"};

/* One thread's own. */
struct worker {
    struct rng rng;
    struct histogram histograms[CALLS]; /* in ticks */
    void *slots[SLOTS];
} __attribute__((aligned(PAGE)));

/* What the threads share. */
struct job {
    uint64_t work;           /* replacements by each thread; constant */
    unsigned threads;        /* 1 .. THREADS_MAX; constant */
    struct worker *workers;  /* one for each thread; the pointer is constant */
    void **shared;           /* SHARED blocks; exchanged atomically, acquire and release */
    pthread_barrier_t ready; /* every thread has filled its slots */
};

static void *random_block(struct worker *worker)
{
    void *block = need(malloc(rng_size(&worker->rng)));
    touch(block);
    return block;
}

/* The block to free now: one of the worker's own, or what it finds in a shared place. */
static void *choose_block(struct worker *worker, void **shared, void **slot)
{
    if (rng_below(&worker->rng, 2))
        return *slot;
    void **place = &shared[rng_below(&worker->rng, SHARED)];
    return __atomic_exchange_n(place, *slot, __ATOMIC_ACQ_REL);
}

/* `count` replacements; the times go to the worker's histograms. */
static void replace_blocks(struct worker *worker, void **shared, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        void **slot = &worker->slots[rng_below(&worker->rng, SLOTS)];
        void *old = choose_block(worker, shared, slot);
        size_t size = rng_size(&worker->rng);

        uint64_t begin = ticks_now();
        uint64_t end = ticks_now();
        histogram_record(&worker->histograms[CALL_EMPTY], end - begin);

        begin = ticks_now();
        free(old);
        end = ticks_now();
        histogram_record(&worker->histograms[CALL_FREE], end - begin);

        begin = ticks_now();
        void *block = malloc(size);
        end = ticks_now();
        histogram_record(&worker->histograms[CALL_MALLOC], end - begin);

        *slot = need(block);
        touch(block);
    }
}

static void worker_body(void *argument, unsigned number)
{
    struct job *job = argument;
    struct worker *worker = &job->workers[number];
    uint64_t warm = job->work / WARM_PART;

    worker->rng = rng_make(number);
    for (size_t i = 0; i < SLOTS; i++)
        worker->slots[i] = random_block(worker);
    for (size_t i = number; i < SHARED; i += job->threads)
        job->shared[i] = random_block(worker);
    pthread_barrier_wait(&job->ready);
    replace_blocks(worker, job->shared, warm);
    memset(worker->histograms, 0, sizeof(worker->histograms));
    replace_blocks(worker, job->shared, job->work - warm);
}

/* Prints the percentiles of one call. */
static void report_call(const char *call, const struct histogram *histogram, double ns)
{
    static const struct {
        const char *name;
        double part;
    } percentiles[] = {{"p50", 0.5},     {"p90", 0.9},       {"p99", 0.99},
                       {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}};
    char name[32];

    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
        snprintf(name, sizeof(name), "%s-%s", call, percentiles[i].name);
        report(name, (double)histogram_quantile(histogram, percentiles[i].part) * ns, "ns");
    }
}

static void measure(uint64_t work, unsigned threads)
{
    struct job job = {.work = work, .threads = threads};
    size_t bytes = threads * sizeof(*job.workers);

    job.workers = table_make(bytes);
    job.shared = table_make(SHARED * sizeof(*job.shared));
    pthread_barrier_init(&job.ready, NULL, threads);
    struct ticks_moment begin = ticks_moment();
    run_threads(threads, worker_body, &job);
    double ns = ticks_length_ns(begin);
    for (unsigned call = 0; call < CALLS; call++) {
        struct histogram *total = &job.workers[0].histograms[call];
        for (unsigned i = 1; i < threads; i++)
            histogram_merge(total, &job.workers[i].histograms[call]);
        report_call(call_names[call], total, ns);
    }
    table_free(job.shared, SHARED * sizeof(*job.shared));
    table_free(job.workers, bytes);
}

/* The works leave 200 calls or more beyond the 99.99th percentile. */
static const struct {
    const char *name;
    uint64_t work;
    unsigned threads;
} benches[] = {
    {"latency-1", 3000000, 1}, {"latency-2", 2000000, 2},   {"latency-4", 1500000, 4},
    {"latency-8", 1500000, 8}, {"latency-16", 1500000, 16},
};

enum { BENCH_COUNT = sizeof(benches) / sizeof(benches[0]) };

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        die("usage: latency NAME [WORK] | --list");
    for (size_t i = 0; i < BENCH_COUNT; i++) {
        if (!strcmp(argv[1], "--list")) {
            printf("%s %llu %u\n", benches[i].name, (unsigned long long)benches[i].work,
                   benches[i].threads);
        } else if (!strcmp(argv[1], benches[i].name)) {
            measure(argc > 2 ? parse_count(argv[2]) : benches[i].work, benches[i].threads);
            return 0;
        }
    }
    if (strcmp(argv[1], "--list"))
        die("no such bench; --list names them");
    return 0;
}
