/*
 * Forks while other threads take and free blocks. Worker 0 forks; the children check and free
 * blocks that they inherit, those of the thread that forked and those of threads that do not exist
 * in them, take new ones, start a thread or fork again, and exit; worker 0 waits for each and
 * checks its status.
 *
 * A worker says which blocks are complete by a flag in each slot, set after the block is filled and
 * cleared before it is freed. A child sees the stores of each thread up to some point in their
 * order, so the blocks of the slots that it finds full are live and filled.
 */
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SLOTS = 2000,  /* of each worker */
    CHILDREN = 20, /* that worker 0 makes in a round */
    CHILDREN_AT_ONCE = 3,
    OPERATIONS = 500,   /* of worker 0 between two forks, of a child, and of its thread */
    SMALL_LIMIT = 2000, /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 500,  /* one of so many blocks may be larger */
    CHILD_SECONDS = 60, /* a child that lives longer hangs */
    GENERATIONS = 2,    /* a child of a child makes no more */
};

#define SIZE_LIMIT ((size_t)2 << 20)    /* bytes; sizes of all blocks are below */
#define FORK_MEMORY (STRESS_MEMORY / 8) /* bytes for all workers; each child may have as much */

struct slot {
    struct block block;
    bool is_full; /* atomic; written by its worker alone */
};

struct table {
    struct slot slot[SLOTS];
    size_t live; /* bytes of its blocks; of its worker alone */
};

static struct table tables[STRESS_THREADS_MAX];
static bool worker_0_is_done; /* atomic; with its round */

/* Empties the slot, then frees its block. */
static void release(struct table *table, struct slot *slot)
{
    if (!__atomic_load_n(&slot->is_full, __ATOMIC_ACQUIRE))
        return;
    __atomic_store_n(&slot->is_full, false, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler, too, keeps the order */
    table->live -= slot->block.size;
    block_release(&slot->block);
}

/* Replaces blocks at random. */
static void operate(struct random *random, struct table *table, int operations)
{
    for (int i = 0; i < operations; i++) {
        struct slot *slot = &table->slot[random_below(random, SLOTS)];
        bool is_small = random_below(random, LARGE_SHARE) != 0;
        size_t size = random_size(random, is_small ? SMALL_LIMIT : SIZE_LIMIT);
        release(table, slot);
        if (table->live + size > FORK_MEMORY / (size_t)stress_threads())
            continue;
        slot->block = block_allocate(random, size);
        table->live += slot->block.size;
        __atomic_store_n(&slot->is_full, true, __ATOMIC_RELEASE);
    }
}

/* Frees most blocks of the table, those that a child inherits included. */
static void release_most(struct random *random, struct table *table)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (random_below(random, 4) != 0)
            release(table, &table->slot[i]);
}

/* The one thread that some children make works on a table of its own. */
static void *work_in_child(void *data)
{
    static struct table table;
    operate(data, &table, OPERATIONS);
    for (size_t i = 0; i < SLOTS; i++)
        release(&table, &table.slot[i]);
    return NULL;
}

/* Waits for the child and fails unless it exited with 0. */
static void wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            stress_fail("waitpid(%d): errno %d", (int)child, errno);
    if (WIFSIGNALED(status))
        stress_fail("child %d ended by signal %d", (int)child, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        stress_fail("child %d ended with status %d", (int)child, WEXITSTATUS(status));
}

/* Starts a child; its random numbers follow from the parent's. */
static pid_t make_child(struct random *random, int generation);

/* All that a child does. The locals of the parent's other threads are lost, and what they held. */
static void live_as_child(struct random *random, int generation)
{
    struct random of_thread = {random_next(random)};
    pthread_t thread;
    bool has_thread = random_below(random, 4) == 0;

    alarm(CHILD_SECONDS);
    if (random_below(random, 8) == 0)
        _exit(0); /* as a child that calls exec at once */
    if (has_thread && pthread_create(&thread, NULL, work_in_child, &of_thread) != 0)
        stress_fail("pthread_create in a child");
    for (int i = 0; i < stress_threads(); i++)
        release_most(random, &tables[i]);
    operate(random, &tables[0], OPERATIONS);
    if (generation < GENERATIONS && random_below(random, 4) == 0)
        wait_for(make_child(random, generation + 1));
    operate(random, &tables[0], OPERATIONS);
    for (int i = 0; i < stress_threads(); i++)
        release_most(random, &tables[i]);
    if (has_thread)
        pthread_join(thread, NULL);
    if (random_below(random, 2) == 0)
        exit(0);
    _exit(0);
}

static pid_t make_child(struct random *random, int generation)
{
    struct random of_child = {random_next(random)};
    pid_t child = fork();
    if (child < 0)
        stress_fail("fork: errno %d", errno);
    if (child == 0)
        live_as_child(&of_child, generation);
    return child;
}

/* Worker 0: children, a few at once, and blocks of its own in between. */
static void make_children(struct worker *worker)
{
    pid_t child[CHILDREN_AT_ONCE] = {0};
    for (int i = 0; i < CHILDREN + CHILDREN_AT_ONCE; i++) {
        pid_t *place = &child[i % CHILDREN_AT_ONCE];
        if (*place != 0)
            wait_for(*place);
        operate(&worker->random, &tables[0], OPERATIONS);
        *place = i < CHILDREN ? make_child(&worker->random, 1) : 0;
    }
    __atomic_store_n(&worker_0_is_done, true, __ATOMIC_RELEASE);
}

static void round_of(struct worker *worker, unsigned long round)
{
    (void)round;
    if (worker->number == 0)
        make_children(worker);
    else
        while (!__atomic_load_n(&worker_0_is_done, __ATOMIC_ACQUIRE))
            operate(&worker->random, &tables[worker->number], OPERATIONS);
}

static void between_rounds(unsigned long round)
{
    (void)round;
    __atomic_store_n(&worker_0_is_done, false, __ATOMIC_RELEASE);
}

static void finish(struct worker *worker)
{
    struct table *table = &tables[worker->number];
    for (size_t i = 0; i < SLOTS; i++)
        release(table, &table->slot[i]);
}

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "fork", .round = round_of, .between_rounds = between_rounds, .finish = finish};
    return stress_main(&program, argc, argv);
}
