/*
 * Two threads free the same block in the same instant, again and again: race SIZE WHO. WHO is
 * "remote" (neither is the owner) or "owner" (one is). Run with on_error:report. After each round
 * more blocks of the size are allocated than any cache holds: all must be different, and keep their
 * contents.
 */
#include "misuse.h"

#include <sched.h>

enum {
    ROUNDS = 1000,
    CHECKED = 80,    /* blocks allocated after a round */
    CHECKED_BIG = 6, /* the same, of a size above 64 KiB */
    MARKED = 32,     /* bytes marked in each */
    STATUS_OVERLAP = 4,
};

/* What the threads share. Rounds are counted up by the main thread, arrivals by all. */
static char *victim;
static unsigned round_begun;  /* atomic, release and acquire */
static unsigned rounds_ended; /* atomic, release and acquire: by helpers, summed */
static unsigned arrived;      /* atomic: threads that are about to free, summed over rounds */

static void wait_until(const unsigned *counter, unsigned value)
{
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < value)
        sched_yield();
}

/* Waits for the other thread as shortly before the free as can be. */
static void free_at_once(unsigned round)
{
    char *block = hide(victim);
    __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
    wait_until(&arrived, 2 * round);
    free(block);
}

static void *run_helper(void *unused)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        wait_until(&round_begun, round);
        free_at_once(round);
        __atomic_fetch_add(&rounds_ended, 1, __ATOMIC_ACQ_REL);
    }
    return unused;
}

/* Allocates blocks, marks them, and checks the marks: a block handed out twice shows. */
static void check_no_overlap(size_t size)
{
    char *blocks[CHECKED];
    int count = size > 65536 ? CHECKED_BIG : CHECKED;
    for (int i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        if (blocks[i] == NULL)
            exit(STATUS_USAGE);
        memset(blocks[i], i + 1, MARKED);
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < MARKED; k++)
            if (blocks[i][k] != i + 1)
                exit(STATUS_OVERLAP);
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

int main(int count, char **words)
{
    pthread_t helpers[2];
    if (count != 3)
        return STATUS_USAGE;
    bool by_owner = strcmp(words[2], "owner") == 0;
    unsigned helper_count = by_owner ? 1 : 2;
    size_t size = misuse_size(words[1]);
    for (unsigned i = 0; i < helper_count; i++)
        helpers[i] = start_thread(run_helper, NULL);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        victim = malloc(size);
        __atomic_store_n(&round_begun, round, __ATOMIC_RELEASE);
        if (by_owner)
            free_at_once(round);
        wait_until(&rounds_ended, helper_count * round);
        check_no_overlap(size);
    }
    join_threads(helpers, helper_count);
    return 0;
}
