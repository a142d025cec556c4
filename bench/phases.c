/*
 * phases: the resident size over the run of a program that goes through phases.
 *
 *     phases [DIVISOR [IDLE_MS]]   runs at 1/DIVISOR (1 .. 1000) of its size; a step of the idle
 *                                  phase lasts IDLE_MS (default 500) milliseconds
 *
 * Four threads fill a table with blocks of random sizes, replace them at random, free nine tenths
 * of them at random, sleep, and fill the table again. Each phase is a number of steps; after each
 * step all threads wait and the resident size is taken. By turns each thread works on its own part
 * of the table and on a neighbour's, so about half of the frees are remote. The work is seeded, and
 * what is live at each step is the same in each run.
 *
 * The output is two lines for each sample, "PHASE.NUMBER.live VALUE MiB", the bytes asked for, and
 * "PHASE.NUMBER.resident VALUE MiB", those of the whole process without the table. The first phase,
 * "start", is one sample before any work.
 */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS = 4,
    SLOTS = 90000, /* for each thread, full size: about 250 MiB in all */
    DIVISOR_MAX = 1000,
    CHURN_PART = 4,    /* each churn step replaces 1/CHURN_PART of the blocks */
    FREE_STEPS = 10,   /* of the phase that frees most */
    FREE_PERCENT = 90, /* of the blocks, in that phase */
    IDLE_MS = 500,
};

/* A place for a block; empty where the block is NULL. */
struct slot {
    void *block;
    size_t size;
};

/* The part of the table that one thread works on in one step, and what it changes by that. */
struct part {
    struct slot *slots;
    size_t count;
    struct rng *rng;
    int64_t live; /* bytes allocated less bytes freed by this thread so far */
};

static void slot_fill(struct part *part, struct slot *slot)
{
    slot->size = rng_size(part->rng);
    slot->block = need(malloc(slot->size));
    memset(slot->block, 1, slot->size);
    part->live += (int64_t)slot->size;
}

static void slot_empty(struct part *part, struct slot *slot)
{
    free(slot->block);
    slot->block = NULL;
    part->live -= (int64_t)slot->size;
}

/* Fills the empty ones of the step's share of the slots. */
static void grow(struct part *part, unsigned step, unsigned steps)
{
    for (size_t i = part->count * step / steps; i < part->count * (step + 1) / steps; i++)
        if (!part->slots[i].block)
            slot_fill(part, &part->slots[i]);
}

/* Replaces random blocks. */
static void churn(struct part *part, unsigned step, unsigned steps)
{
    (void)step;
    (void)steps;
    for (size_t i = 0; i < part->count / CHURN_PART; i++) {
        struct slot *slot = &part->slots[rng_below(part->rng, (uint32_t)part->count)];
        slot_empty(part, slot);
        slot_fill(part, slot);
    }
}

/* Frees blocks at random: each step the same share of those that there were before the phase. */
static void free_most(struct part *part, unsigned step, unsigned steps)
{
    uint32_t share = FREE_PERCENT / steps; /* percent of the blocks before the phase */

    for (size_t i = 0; i < part->count; i++)
        if (part->slots[i].block && rng_below(part->rng, 100 - share * step) < share)
            slot_empty(part, &part->slots[i]);
}

/* A phase; without work it is a sleep. */
struct phase {
    const char *name;
    unsigned steps; /* samples */
    void (*work)(struct part *part, unsigned step, unsigned steps);
};

static const struct phase phases[] = {
    {"grow", 20, grow}, {"churn", 20, churn}, {"free", FREE_STEPS, free_most},
    {"idle", 20, NULL}, {"regrow", 20, grow},
};

enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

/* What the threads share. Thread 0 takes the samples, while the others wait. */
struct run {
    size_t count;              /* slots for each thread; constant */
    long idle_ms;              /* constant */
    struct slot *table;        /* THREADS parts of `count` slots; each step one thread on each */
    size_t table_bytes;        /* constant */
    int64_t live[THREADS];     /* by each thread; read by thread 0 between the barriers */
    pthread_barrier_t worked;  /* the step's work is done */
    pthread_barrier_t sampled; /* the step's sample is taken */
};

static void sample(const struct run *run, const char *phase, unsigned step)
{
    char name[32];
    int64_t live = 0;

    for (size_t i = 0; i < THREADS; i++)
        live += run->live[i];
    snprintf(name, sizeof(name), "%s.%u.live", phase, step);
    report(name, (double)live / MIB, "MiB");
    snprintf(name, sizeof(name), "%s.%u.resident", phase, step);
    report(name, (double)(resident_now() - run->table_bytes) / MIB, "MiB");
}

static void idle(const struct run *run)
{
    nanosleep(&(struct timespec){run->idle_ms / 1000, run->idle_ms % 1000 * 1000000}, NULL);
}

static void body(void *argument, unsigned number)
{
    struct run *run = argument;
    struct rng rng = rng_make(number);
    struct part part = {.count = run->count, .rng = &rng};

    for (unsigned i = 0; i < PHASES; i++) {
        for (unsigned step = 0; step < phases[i].steps; step++) {
            part.slots = run->table + (number + step % 2) % THREADS * run->count;
            if (phases[i].work)
                phases[i].work(&part, step, phases[i].steps);
            else if (number == 0)
                idle(run);
            run->live[number] = part.live;
            pthread_barrier_wait(&run->worked);
            if (number == 0)
                sample(run, phases[i].name, step);
            pthread_barrier_wait(&run->sampled);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc > 3)
        die("usage: phases [DIVISOR [IDLE_MS]]");
    size_t divisor = argc > 1 ? parse_count(argv[1]) : 1;
    if (divisor > DIVISOR_MAX)
        die("the divisor is at most 1000");
    struct run run = {.count = SLOTS / divisor, .idle_ms = IDLE_MS};
    if (argc > 2)
        run.idle_ms = (long)parse_count(argv[2]);
    run.table_bytes = THREADS * run.count * sizeof(*run.table);
    run.table = table_make(run.table_bytes);
    pthread_barrier_init(&run.worked, NULL, THREADS);
    pthread_barrier_init(&run.sampled, NULL, THREADS);
    sample(&run, "start", 0);
    run_threads(THREADS, body, &run);
    return 0;
}
