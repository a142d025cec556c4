/*
 * What acre-inspect is tried on: a process that holds known blocks, prints what it holds as acre
 * counts it, and waits until its standard input ends.
 *
 *   subject quiet     holds blocks of four threads
 *   subject busy      the same, while its threads allocate and free
 *   subject crash     the same as quiet, then ends by SIGABRT
 *   subject steps     the same as quiet; for each byte of its input it takes slow paths
 *   subject ends      the same as quiet, but ends by exit
 *   subject layout    its root says that it is of another layout
 *   subject guard     holds one guarded block and has freed another (with option guard:1); then it
 *                     writes to that, and a handler of its own ends it by SIGABRT
 *
 * PRELOADED: built without the library, which is preloaded.
 */
#define _GNU_SOURCE 1
#include <acre/acre.h>
#include <acre/inspect.h>

#include <dlfcn.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    THREADS = 3,
    BLOCKS = 200,      /* of each thread, and as many freed by the main thread */
    BLOCK_SIZE = 3000, /* bytes: of a class that nothing else here uses */
    FEW = 16,          /* the first blocks of a class in a thread lie among smaller ones */
    LARGE_BLOCKS = 2,
    LARGE_SIZE = 3 << 20,
};

static char *blocks[THREADS][2 * BLOCKS];
static pthread_barrier_t filled;
static bool busy;

/* Makes blocks; then waits, or goes on allocating for ever. */
static void *work(void *number)
{
    char **own = blocks[(intptr_t)number];
    pthread_setname_np(pthread_self(), "subject-thread");
    for (size_t i = 0; i < FEW; i++) {
        own[0] = malloc(BLOCK_SIZE);
        free(own[0]);
    }
    for (size_t i = 0; i < 2 * BLOCKS; i++) {
        own[i] = malloc(BLOCK_SIZE);
        if (own[i] == NULL)
            err(1, NULL);
        memset(own[i], 1, BLOCK_SIZE);
    }
    pthread_barrier_wait(&filled);
    for (unsigned i = 0; busy; i++) {
        void *batch[100];
        for (size_t k = 0; k < 100; k++)
            batch[k] = malloc((i * 31 + k * 97) % (k % 50 == 0 ? 3 << 20 : 9000));
        for (size_t k = 0; k < 100; k++)
            free(batch[k]);
    }
    pause();
    return NULL;
}

#ifdef PRELOADED
/* The library's own object or function of that name. */
static void *own(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    if (found == NULL)
        errx(1, "the library is not preloaded");
    return found;
}

static void print_stats(void)
{
    ((void (*)(int, enum acre_stats_format))own("acre_stats_print"))(STDOUT_FILENO,
                                                                     ACRE_STATS_JSON);
}

/* A program that named acre_root would change a copy of its own. */
static void change_layout(void)
{
    ((struct acre_root *)own("acre_root"))->layout = 99;
}
#else
static void print_stats(void)
{
    acre_stats_print(STDOUT_FILENO, ACRE_STATS_JSON);
}

static void change_layout(void)
{
    errx(1, "not preloaded");
}
#endif

/* Empties magazines and windows of a class. */
static void take_slow_paths(void)
{
    for (size_t i = 0; i < 1000; i++)
        if (malloc(32) == NULL)
            err(1, NULL);
}

static void on_fault(int number)
{
    (void)number;
    abort();
}

__attribute__((noinline, noreturn)) void hold_guarded(void);
void hold_guarded(void)
{
    static char line[64];
    for (int i = 0; i < 3; i++)
        blocks[0][i] = malloc(40);
    free(blocks[0][2]);
    int length = snprintf(line, sizeof(line), "block %p freed %p\n", (void *)blocks[0][1],
                          (void *)blocks[0][2]);
    signal(SIGSEGV, on_fault);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        err(1, NULL);
    while (read(STDIN_FILENO, line, 1) > 0)
        continue;
    *(volatile char *)blocks[0][2] = 1;
    _exit(1);
}

int main(int argc, char **argv)
{
    static char *large[LARGE_BLOCKS];
    static char line[64];
    const char *mode = argc == 2 ? argv[1] : "";
    pthread_t thread;
    if (strcmp(mode, "guard") == 0)
        hold_guarded();
    busy = strcmp(mode, "busy") == 0;
    pthread_barrier_init(&filled, NULL, THREADS + 1);
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, work, (void *)i) != 0)
            errx(1, "no thread");
    pthread_barrier_wait(&filled);
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 1; k < 2 * BLOCKS; k += 2)
            free(blocks[i][k]);
    for (size_t i = 0; i < LARGE_BLOCKS; i++)
        large[i] = malloc(LARGE_SIZE);
    free(malloc(5 << 20));
    print_stats();
    if (strcmp(mode, "layout") == 0)
        change_layout();
    int length = snprintf(line, sizeof(line), "block %p freed %p large %p\n", (void *)blocks[0][0],
                          (void *)blocks[0][1], (void *)large[0]);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        err(1, NULL);
    if (strcmp(mode, "crash") == 0)
        abort();
    while (read(STDIN_FILENO, line, 1) > 0)
        if (strcmp(mode, "steps") == 0)
            take_slow_paths();
    if (strcmp(mode, "ends") == 0)
        exit(0);
    _exit(0);
}
