/* Threads that free what an owner hands to them: what the tests of remote.h share. */
#ifndef ACRE_TESTS_UNIT_REMOTE_THREADS_H
#define ACRE_TESTS_UNIT_REMOTE_THREADS_H

#include "in_thread.h"
#include "slab_bins.h"

enum { THREADS = 3, SLOTS = 256, BLOCKS = 60000 };

/* What the owner hands to the threads: atomic, release when filled, acquire when taken. */
static char *slots[SLOTS];
static bool done; /* atomic */

static pthread_t freers[THREADS];

/* Takes blocks out of the slots, uses them (false: something is wrong) and frees them. Returns the
 * number of those where something is wrong. */
static inline void *free_slots(void *argument)
{
    bool (**use)(char *) = argument;
    size_t failed = 0;

    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (block != NULL)
                failed += !((*use)(block) && free_remotely(block));
        }
        sched_yield();
    }
    return (void *)failed;
}

static inline void start_freers(bool (*use)(char *))
{
    static bool (*used)(char *);

    used = use;
    for (int i = 0; i < THREADS; i++)
        freers[i] = begin_thread(free_slots, &used);
}

/* Waits until all slots are empty; the number of blocks where something was wrong. */
static inline size_t join_freers(void)
{
    size_t all = 0;

    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++)
        all += (size_t)end_thread(freers[i]);
    return all;
}

#endif
