/* The threads that make steps: see threads.h. Their stacks are static, so that they are
 * not mapped between acre's memory. */
#include "threads.h"

#include "attempt.h"
#include "libc_blocks.h"

#include <pthread.h>
#include <semaphore.h>

enum { STACK_SIZE = 256 << 10 }; /* bytes */

static struct helper {
    pthread_t thread;
    sem_t begin, end;
    void (*function)(void *); /* NULL: the thread ends */
    void *argument;
    unsigned libc_block; /* its place among those of the C library */
    _Alignas(4096) char stack[STACK_SIZE];
} helpers[THREADS]; /* number 0 is not used */

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

static void *run(void *argument)
{
    struct helper *helper = argument;
    for (;;) {
        wait_for(&helper->begin);
        if (helper->function == NULL)
            return NULL;
        helper->function(helper->argument);
        sem_post(&helper->end);
    }
}

static void start(struct helper *helper)
{
    pthread_attr_t attributes;
    sem_init(&helper->begin, 0, 0);
    sem_init(&helper->end, 0, 0);
    unsigned before = libc_blocks_next();
    attempt_limit_address_space(false); /* or there may be no room for a thread */
    if (pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstack(&attributes, helper->stack, STACK_SIZE) != 0 ||
        pthread_create(&helper->thread, &attributes, run, helper) != 0)
        attempt_failed("pthread_create");
    pthread_attr_destroy(&attributes);
    attempt_limit_address_space(true);
    if (libc_blocks_next() == before)
        attempt_failed("the C library has taken no block for a thread");
    /* the last one, since acre may start its background thread before that */
    helper->libc_block = libc_blocks_next() - 1;
}

void threads_begin(void)
{
    for (unsigned i = 1; i < attempt->threads; i++)
        start(&helpers[i]);
}

void threads_start(unsigned thread, void (*function)(void *), void *argument)
{
    helpers[thread].function = function;
    helpers[thread].argument = argument;
    sem_post(&helpers[thread].begin);
}

void threads_wait(unsigned thread)
{
    wait_for(&helpers[thread].end);
}

void threads_call(unsigned thread, void (*function)(void *), void *argument)
{
    if (thread == 0) {
        function(argument);
        return;
    }
    threads_start(thread, function, argument);
    threads_wait(thread);
}

void threads_renew(unsigned thread)
{
    struct helper *helper = &helpers[thread];
    threads_start(thread, NULL, NULL);
    if (pthread_join(helper->thread, NULL) != 0)
        attempt_failed("pthread_join");
    libc_blocks_gone(helper->libc_block);
    start(helper);
}
