/*
 * Other threads than the calling one, in a test or in its child; a failed check ends the child.
 */
#ifndef ACRE_TESTS_UNIT_IN_THREAD_H
#define ACRE_TESTS_UNIT_IN_THREAD_H

#include "test.h"
#include "paths/free.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

/* Waits until a condition holds; other threads run meanwhile. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        while (!(condition))                                                                       \
            sched_yield();                                                                         \
    } while (0)

static inline pthread_t begin_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run, argument), 0);
    return thread;
}

/* Waits for the end of a thread; what it returned. */
static inline void *end_thread(pthread_t thread)
{
    void *result;
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return result;
}

/* What run(argument) returns in a thread of its own. */
static inline void *run_thread(void *(*run)(void *), void *argument)
{
    return end_thread(begin_thread(run, argument));
}

/* The same on a stack of the caller's. */
static inline void *run_thread_on(void *stack, size_t size, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, size), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, run, argument), 0);
    pthread_attr_destroy(&attributes);
    return end_thread(thread);
}

/* Calls `run` for each of the elements of an array at the same time, in a thread each. */
static inline void run_threads(void *(*run)(void *), void *elements, size_t count, size_t size)
{
    enum { MOST = 64 };
    pthread_t threads[MOST];
    ck_assert_uint_le(count, MOST);
    for (size_t i = 0; i < count; i++)
        threads[i] = begin_thread(run, (char *)elements + i * size);
    for (size_t i = 0; i < count; i++)
        end_thread(threads[i]);
}

static inline void *free_in_thread(void *p)
{
    free_block(p);
    return NULL;
}

/* A thread that does what it is told, one thing after another, and sleeps in between. */
struct partner {
    pthread_t thread;
    sem_t told, done;
    void (*act)(void *); /* what it does next; NULL: it ends */
    void *argument;
};

static inline void partner_wait(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

static inline void *partner_run(void *argument)
{
    struct partner *partner = argument;
    for (;;) {
        partner_wait(&partner->told);
        if (partner->act == NULL)
            return NULL;
        partner->act(partner->argument);
        sem_post(&partner->done);
    }
}

static inline void partner_begin(struct partner *partner)
{
    sem_init(&partner->told, 0, 0);
    sem_init(&partner->done, 0, 0);
    partner->thread = begin_thread(partner_run, partner);
}

/* Returns when the partner has done it. */
static inline void partner_does(struct partner *partner, void (*act)(void *), void *argument)
{
    partner->act = act;
    partner->argument = argument;
    sem_post(&partner->told);
    partner_wait(&partner->done);
}

static inline void partner_end(struct partner *partner)
{
    partner->act = NULL;
    sem_post(&partner->told);
    end_thread(partner->thread);
}

#endif
