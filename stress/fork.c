/*
 * A storm of forks. Threads replace blocks in one table of slots, their own and each other's, so
 * that frees are local and remote; several of them fork at any moment. A child finds out which
 * blocks it has inherited, counts what is live beside them, starts threads of its own that go on
 * with the same table, lets them fork again, and in the end frees all and counts once more. Whoever
 * forked waits for the child and checks its status.
 *
 * A slot is EMPTY, FULL or in the hands of one thread, which has at most one. A child sees the
 * stores of each thread up to some point in their order. So the blocks of slots that it finds FULL
 * are live and filled, and of a slot in the hands of a lost thread it cannot say whether the block
 * is: that is the one block which may be lost for each thread (two where realloc was copying). What
 * is live can be counted exactly: it is no more than these, the FULL slots and what was live before
 * the first one was filled, and no less. When all that is known is freed, each slab that is left
 * must hold one of the others, or memory was lost. With option hardened or fill a lost thread may
 * have been filling a block that it was freeing: that one is not live, and its slab stays.
 */
#include "common.h"

#include <acre/acre.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SLOTS_EACH = 1500,    /* slots for each thread */
    CHILD_THREADS = 3,    /* that a child starts at most */
    FORKS = 4,            /* of a process, for each of its threads */
    OPERATIONS = 300,     /* of a thread between two forks */
    SMALL_LIMIT = 2000,   /* bytes; sizes of most blocks are below */
    LARGE_SHARE = 500,    /* one in that many blocks may be larger */
    CHILD_SECONDS = 100,  /* a child that lives longer hangs */
    GENERATIONS = 3,      /* processes of the last one do not fork */
    STACK_SIZE = 1 << 17, /* bytes, of a thread */
};

#define SIZE_LIMIT ((size_t)2 << 20)    /* bytes; sizes of all blocks are below */
#define FORK_MEMORY (STRESS_MEMORY / 8) /* bytes for all threads; each child may have as much */

enum slot_state {
    EMPTY,
    FULL,
    BUSY,     /* a thread takes or frees its block */
    RESIZING, /* a thread changes the size of its block */
};

struct slot {
    int state; /* atomic, enum slot_state; EMPTY or FULL to BUSY or RESIZING by compare-and-swap */
    struct block block; /* of the thread that has the slot */
};

static struct slot slots[STRESS_THREADS_MAX * SLOTS_EACH];
static size_t slot_count; /* constant: SLOTS_EACH for each thread of the first process */
static size_t live;       /* atomic, relaxed: bytes of all blocks in the slots */

/* One process of the storm: the first one, or a child. */
static struct process {
    int generation;           /* 0: the first one */
    int threads;              /* that it has, the one that starts the others included */
    unsigned long lost;       /* threads that it and the processes before it came without */
    unsigned long uncounted;  /* live blocks that are in no slot: libc's, and what was lost */
    int forks_left;           /* atomic */
    int working;              /* atomic: of the threads that it started, those that still fork */
    pthread_barrier_t begun;  /* its threads exist: `uncounted` can be counted */
    pthread_barrier_t go;     /* it has been */
    pthread_barrier_t worked; /* no thread works on slots or forks any more */
} process;

/* For the last line; in memory that all processes share. */
static struct figures {
    unsigned long children[GENERATIONS]; /* by generation, from 1; atomic, like all here */
    unsigned long inherited;             /* blocks that children found in slots */
    unsigned long lost_threads;          /* threads that children came without */
    unsigned long lost_blocks;           /* blocks that were live and in no slot for it */
} * figures;

/* Stacks of one's own: libc frees what it allocates for a thread with such a stack when it is
 * joined. A thread that forked goes on using its stack in the child, so each generation has its own
 * ones. */
static char stacks[GENERATIONS][STRESS_THREADS_MAX][STACK_SIZE] __attribute__((aligned(4096)));

static void count(unsigned long *figure, unsigned long by)
{
    __atomic_fetch_add(figure, by, __ATOMIC_RELAXED);
}

/* ---- slots ---- */

/* Takes the slot into this thread's hands: as `state`. False if another one has it. */
static bool claim(struct slot *slot, enum slot_state state, bool *is_full)
{
    int found = __atomic_load_n(&slot->state, __ATOMIC_RELAXED);
    if (found != EMPTY && found != FULL)
        return false;
    *is_full = found == FULL;
    return __atomic_compare_exchange_n(&slot->state, &found, state, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void leave(struct slot *slot, enum slot_state state)
{
    __atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
}

static void release_block(struct slot *slot)
{
    __atomic_fetch_sub(&live, slot->block.size, __ATOMIC_RELAXED);
    block_release(&slot->block);
}

/* Frees the slot's block if it has one that nobody works on. */
static void empty(struct slot *slot)
{
    bool is_full;
    if (!claim(slot, BUSY, &is_full))
        return;
    if (is_full)
        release_block(slot);
    leave(slot, EMPTY);
}

static size_t choose_size(struct random *random)
{
    size_t size = random_size(random, SMALL_LIMIT, LARGE_SHARE, SIZE_LIMIT);
    return __atomic_load_n(&live, __ATOMIC_RELAXED) + size <= FORK_MEMORY ? size : 0;
}

/* Frees the block of a slot, and takes another one for it if memory allows. */
static void replace(struct random *random, struct slot *slot)
{
    bool is_full;
    size_t size = choose_size(random);
    if (!claim(slot, BUSY, &is_full))
        return;
    if (is_full)
        release_block(slot);
    if (size != 0) {
        /* in two steps: a thread never has two blocks that are in no slot */
        leave(slot, EMPTY);
        if (!claim(slot, BUSY, &is_full))
            return;
        if (is_full)
            release_block(slot);
        slot->block = block_allocate(random, size);
        __atomic_fetch_add(&live, slot->block.size, __ATOMIC_RELAXED);
        leave(slot, FULL);
    } else {
        leave(slot, EMPTY);
    }
}

/* Changes the size of a slot's block, if it has one. */
static void resize(struct random *random, struct slot *slot)
{
    bool is_full;
    size_t size = choose_size(random);
    if (!claim(slot, RESIZING, &is_full))
        return;
    if (is_full && size != 0) {
        size_t old_size = slot->block.size;
        block_check_prefix(&slot->block, slot->block.address, old_size);
        slot->block = block_resize(&slot->block, size);
        __atomic_fetch_add(&live, slot->block.size - old_size, __ATOMIC_RELAXED);
    }
    leave(slot, is_full ? FULL : EMPTY);
}

/* Works on slots at random: half of the time on those of thread `number`, half on any. */
static void operate(struct random *random, size_t number)
{
    for (int i = 0; i < OPERATIONS; i++) {
        size_t chosen = random_below(random, slot_count);
        if (random_below(random, 2) == 0)
            chosen = (number * SLOTS_EACH + chosen % SLOTS_EACH) % slot_count;
        if (random_below(random, 16) == 0)
            resize(random, &slots[chosen]);
        else
            replace(random, &slots[chosen]);
    }
}

static void empty_all(void)
{
    for (size_t i = 0; i < slot_count; i++)
        empty(&slots[i]);
}

/* ---- counting ---- */

/* How many slots are in the given state. */
static unsigned long slots_in(enum slot_state state)
{
    unsigned long found = 0;
    for (size_t i = 0; i < slot_count; i++)
        found += __atomic_load_n(&slots[i].state, __ATOMIC_ACQUIRE) == (int)state;
    return found;
}

/* Live blocks that are not in a slot; other threads are quiet. */
static unsigned long count_other_blocks(void)
{
    struct acre_stats stats;
    unsigned long in_slots = slots_in(FULL);
    acre_stats(&stats, sizeof stats);
    if (stats.small_blocks + stats.large_blocks < in_slots)
        stress_fail("generation %d: of %lu blocks only %zu are live", process.generation, in_slots,
                    stats.small_blocks + stats.large_blocks);
    return stats.small_blocks + stats.large_blocks - in_slots;
}

/* In a child, before anything else: what is live beside the known blocks came along in the hands
 * of threads that did not. */
static void count_inherited(void)
{
    unsigned long busy = slots_in(BUSY), resizing = slots_in(RESIZING);
    unsigned long others = count_other_blocks();
    unsigned long lost_threads = (unsigned long)process.threads - 1;
    if (busy + resizing > lost_threads)
        stress_fail("%lu slots are in the hands of %lu threads", busy + resizing, lost_threads);
    if (others < process.uncounted || others > process.uncounted + busy + 2 * resizing)
        stress_fail("generation %d: %lu blocks are live beside the known ones, expected %lu to %lu",
                    process.generation, others, process.uncounted,
                    process.uncounted + busy + 2 * resizing);
    count(&figures->children[process.generation - 1], 1);
    count(&figures->inherited, slots_in(FULL));
    count(&figures->lost_threads, lost_threads);
    count(&figures->lost_blocks, others - process.uncounted);
    process.lost += lost_threads;
    process.uncounted = others;
}

/* Slabs that may stay without a live block. */
static unsigned long lost_slabs(void)
{
    char hardened[2] = "", fill[2] = "";
    (void)acre_option_get("hardened", hardened, sizeof hardened);
    (void)acre_option_get("fill", fill, sizeof fill);
    return hardened[0] == '1' || fill[0] == '1' ? process.lost : 0;
}

/* By the only thread, when all slots are empty: `expected` blocks are live, and beside the slabs
 * that hold these nothing is in use. */
static void check_all_is_free(unsigned long expected)
{
    struct acre_stats stats;
    unsigned long may_stay = lost_slabs();
    malloc_trim(0);
    unsigned long others = count_other_blocks();
    if (others != expected)
        stress_fail("generation %d: %lu blocks are live in the end, expected %lu",
                    process.generation, others, expected);
    acre_stats(&stats, sizeof stats);
    for (size_t class = 0; class < stats.class_count; class ++)
        if (stats.classes[class].slabs > stats.classes[class].live_blocks) {
            size_t staying = stats.classes[class].slabs - stats.classes[class].live_blocks;
            if (staying > may_stay)
                stress_fail("generation %d: %zu live blocks of %zu bytes in %zu slabs",
                            process.generation, stats.classes[class].live_blocks,
                            stats.classes[class].block_size, stats.classes[class].slabs);
            may_stay -= staying;
        }
    if (stats.large_stock != 0)
        stress_fail("generation %d: %zu bytes of stock after malloc_trim", process.generation,
                    stats.large_stock);
}

/* ---- processes ---- */

static void run_threads(struct random *random, int threads, int forks);

/* All that a child does. What was in the hands of the parent's other threads is lost. */
static void live_as_child(struct random *random)
{
    alarm(CHILD_SECONDS);
    process.generation++;
    if (random_below(random, 8) == 0)
        _exit(0); /* as a child that calls exec at once */
    count_inherited();
    for (size_t i = 0; i < slot_count; i++) {
        if (slots[i].state == BUSY || slots[i].state == RESIZING)
            slots[i].state = EMPTY;
        else if (random_below(random, 2) == 0)
            empty(&slots[i]);
    }
    unsigned long uncounted = process.uncounted;
    if (random_below(random, 2) == 0) {
        bool forks = process.generation + 1 < GENERATIONS && random_below(random, 2) == 0;
        int threads = 1 + (int)random_below(random, CHILD_THREADS);
        run_threads(random, threads, forks ? threads : 0);
    }
    operate(random, 0);
    empty_all();
    check_all_is_free(uncounted);
    stress_validate();
    if (random_below(random, 2) == 0)
        exit(0);
    _exit(0);
}

/* Forks if the process may still; its random numbers follow from the parent's. 0: it may not. */
static pid_t make_child(struct random *random)
{
    struct random of_child = {random_next(random)};
    if (__atomic_fetch_sub(&process.forks_left, 1, __ATOMIC_RELAXED) <= 0)
        return 0;
    pid_t child = fork();
    if (child < 0)
        stress_fail("fork: errno %d", errno);
    if (child == 0)
        live_as_child(&of_child);
    return child;
}

/* One thread of a process. */
static void *work(void *data)
{
    struct worker *worker = data;
    size_t number = (size_t)worker->number;
    pid_t child;
    free(malloc(1)); /* whatever a thread's first allocation needs is there when all have begun */
    pthread_barrier_wait(&process.begun);
    pthread_barrier_wait(&process.go);
    do {
        operate(&worker->random, number);
        child = make_child(&worker->random);
        operate(&worker->random, number);
        if (child != 0)
            stress_wait_for(child);
    } while (child != 0);
    __atomic_fetch_sub(&process.working, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&process.worked);
    return NULL;
}

/* Runs threads beside this one, which works on slots, too, until they have forked often enough. */
static void run_threads(struct random *random, int threads, int forks)
{
    struct worker workers[STRESS_THREADS_MAX];
    pthread_t running[STRESS_THREADS_MAX];
    process.threads = threads + 1;
    process.working = threads;
    process.forks_left = forks;
    pthread_barrier_init(&process.begun, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&process.go, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&process.worked, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        pthread_attr_t attributes;
        workers[i] = (struct worker){.number = i, .random = {random_next(random)}};
        pthread_attr_init(&attributes);
        if (pthread_attr_setstack(&attributes, stacks[process.generation][i], STACK_SIZE) != 0 ||
            pthread_create(&running[i], &attributes, work, &workers[i]) != 0)
            stress_fail("pthread_create");
        pthread_attr_destroy(&attributes);
    }
    pthread_barrier_wait(&process.begun);
    process.uncounted = count_other_blocks();
    pthread_barrier_wait(&process.go);
    while (__atomic_load_n(&process.working, __ATOMIC_RELAXED) != 0)
        operate(random, 0);
    pthread_barrier_wait(&process.worked);
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    pthread_barrier_destroy(&process.begun);
    pthread_barrier_destroy(&process.go);
    pthread_barrier_destroy(&process.worked);
}

int main(int argc, char **argv)
{
    unsigned long rounds = 0;
    stress_start("fork", argc, argv);
    struct random random = stress_random(0);
    slot_count = (size_t)stress_threads() * SLOTS_EACH;
    figures =
        mmap(NULL, sizeof *figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (figures == MAP_FAILED)
        stress_fail("mmap: errno %d", errno);
    unsigned long at_start = count_other_blocks();
    while (!stress_time_is_over()) {
        run_threads(&random, stress_threads(), FORKS * stress_threads());
        empty_all();
        check_all_is_free(at_start);
        stress_validate();
        rounds++;
    }
    printf("fork: %lu children, %lu of theirs; %lu blocks inherited; with %lu threads %lu blocks "
           "lost\n",
           figures->children[0], figures->children[1], figures->inherited, figures->lost_threads,
           figures->lost_blocks);
    return stress_end(rounds);
}
