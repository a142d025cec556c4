/*
 * Holds blocks of many sizes in many arenas, for the heap map of acre-inspect: many THREADS MIB has
 * THREADS threads that allocate MIB MiB each and then free most of some sizes. Its name, and a
 * thread's, look like markup. It prints the address of a small block and of a LARGE one, and waits
 * until its standard input ends.
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    NAMES = 4,
    SIZES = 8,
    KEPT_KIND = 4,     /* index of the size of the block whose address is printed */
    TOUCHED = 1 << 20, /* bytes of each thread that it writes to; the rest stays without memory */
    LARGE_BLOCKS = 40,
};

/* A block that a thread has. */
struct held {
    char *block;
    uint32_t kind; /* index of its size */
};

static size_t bytes_each;
static char *block, *large[LARGE_BLOCKS];
static pthread_barrier_t filled;

static const char *const names[NAMES] = {"worker", "<b id=bad>\"x\"&", "io", "</script>'\\"};

/* A generator of numbers; its seed is the thread's number, so each run is alike. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void *work(void *argument)
{
    static const size_t sizes[SIZES] = {48, 64, 200, 700, 3000, 9000, 30000, 200000};
    uint32_t number = (uint32_t)(uintptr_t)argument, seed = number;
    size_t count = 0, used = 0, room = bytes_each / sizes[0] * sizeof(struct held);
    char name[16];
    snprintf(name, sizeof(name), "%s", names[number % NAMES]);
    pthread_setname_np(pthread_self(), name);
    /* not from malloc, so that only the blocks are on the map */
    struct held *held = mmap(NULL, room, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (held == MAP_FAILED)
        err(1, NULL);
    while (used < bytes_each) {
        uint32_t kind = next_random(&seed) % SIZES;
        /* as many bytes of each size, as far as that goes */
        for (size_t part = 0; part < 200000 && used < bytes_each; part += sizes[kind]) {
            held[count] = (struct held){malloc(sizes[kind]), kind};
            if (held[count].block == NULL)
                err(1, NULL);
            if (used < TOUCHED)
                memset(held[count].block, 1, sizes[kind]);
            used += sizes[kind];
            count++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (number == 0 && held[i].kind == KEPT_KIND)
            block = held[i].block;
        else if (next_random(&seed) % 32 < 30 - 4 * held[i].kind && number % 3 != 0)
            free(held[i].block);
    }
    munmap(held, room);
    pthread_barrier_wait(&filled);
    pause();
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned threads = argc == 3 ? (unsigned)atoi(argv[1]) : 0;
    pthread_attr_t attributes;
    pthread_t thread;
    char input;
    if (argc != 3)
        errx(2, "usage: many THREADS MIB");
    if (threads == 0) { /* nothing allocates */
        dprintf(STDOUT_FILENO, "block none\n");
        while (read(STDIN_FILENO, &input, 1) > 0)
            ;
        _exit(0);
    }
    bytes_each = (size_t)atoi(argv[2]) << 20;
    prctl(PR_SET_NAME, "<img src=x>");
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&filled, NULL, threads + 1);
    for (uintptr_t i = 0; i < threads; i++)
        if (pthread_create(&thread, &attributes, work, (void *)i) != 0)
            errx(1, "no thread");
    pthread_barrier_wait(&filled);
    for (size_t i = 0; i < LARGE_BLOCKS; i++)
        large[i] = malloc(((size_t)2 << 20) + (i * i << 16));
    for (size_t i = 2; i < LARGE_BLOCKS; i += 5)
        free(large[i]);
    printf("block %p large %p\n", (void *)block, (void *)large[0]);
    fflush(stdout);
    while (read(STDIN_FILENO, &input, 1) > 0)
        ;
    _exit(0);
}
