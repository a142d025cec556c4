/*
 * A fork before the library's constructor has run, by a process with a second thread: as another
 * library's constructor may do, here the executable's preinit function, which runs before any. The
 * child notices the fork: the lost thread's arena comes into the pool, and its blocks can be freed.
 */
#include "check.h"
#include <acre/acre.h>
#include <malloc.h>
#include <semaphore.h>

enum {
    BLOCKS = 100,
    CHILD_SECONDS = 60, /* a child that lives longer hangs */
};

static char *blocks[BLOCKS];
static sem_t filled, forked;

static size_t size_of(size_t block)
{
    return block == 0 ? 1500000 : 1 + block * 37;
}

static void *take(void *unused)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        CHECK(blocks[i] != NULL);
        fill(blocks[i], size_of(i), (unsigned)i);
    }
    sem_post(&filled);
    sem_wait(&forked);
    return unused;
}

static void give_back(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(blocks[i], size_of(i), (unsigned)i));
        free(blocks[i]);
    }
}

static void check_child_of_thread(void)
{
    struct acre_stats stats;
    malloc_trim(0); /* looks into the pool */
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    CHECK(stats.arenas == 2 && stats.arenas_pooled == 1);
    give_back();
}

static void fork_in_preinit(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    pthread_t thread;
    CHECK(sem_init(&filled, 0, 0) == 0 && sem_init(&forked, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, take, NULL) == 0);
    CHECK(sem_wait(&filled) == 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        check_child_of_thread();
        _exit(0);
    }
    check_child(child);
    CHECK(sem_post(&forked) == 0 && pthread_join(thread, NULL) == 0);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = fork_in_preinit;

int main(void)
{
    check_begin();
    give_back();
    return 0;
}
