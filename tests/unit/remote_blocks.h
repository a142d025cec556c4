/*
 * An owner's side of remote frees, and blocks handed to other threads: what the tests of remote.h
 * share.
 */
#ifndef ACRE_TESTS_UNIT_REMOTE_BLOCKS_H
#define ACRE_TESTS_UNIT_REMOTE_BLOCKS_H

#include "block_places.h"
#include "one_bin.h"
#include "arena/remote.h"

#include <pthread.h>
#include <sched.h>

/* A LIVE block, from wherever the owner has one. */
static inline char *take(void)
{
    return take_address();
}

static inline bool free_remotely(const char *block)
{
    return remote_free(&remote, slab_of(block), slab_of(block)->class, state_of(block), BLOCK_LIVE);
}

/* ---- Threads ---- */

enum { THREADS = 3, SLOTS = 256, BLOCKS = 60000 };

/* What the owner hands to the threads: atomic, release when filled, acquire when taken. */
static char *slots[SLOTS];
static bool done; /* atomic */

struct freer {
    pthread_t thread;
    bool (*use)(char *block); /* what it does with a block before; false if something is wrong */
    size_t freed, failed;
};

/* Takes blocks out of the slots, uses and frees them. */
static inline void *free_slots(void *argument)
{
    struct freer *freer = argument;

    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (block == NULL)
                continue;
            if (freer->use(block) && free_remotely(block))
                freer->freed++;
            else
                freer->failed++;
        }
        sched_yield();
    }
    return NULL;
}

#endif
