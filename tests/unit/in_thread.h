/* What another thread does in a test, while the calling one waits for it; also in a child. */
#ifndef ACRE_TESTS_UNIT_IN_THREAD_H
#define ACRE_TESTS_UNIT_IN_THREAD_H

#include "paths/free.h"

#include <pthread.h>
#include <unistd.h>

static inline void run_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, argument) != 0 || pthread_join(thread, NULL) != 0)
        _exit(99);
}

static inline void *free_in_thread(void *p)
{
    free_block(p);
    return NULL;
}

#endif
