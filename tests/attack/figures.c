/*
 * What an attacker who has a bug can count on, as figures, after HardsHeap (Yun, Kapil, Kim, CCS
 * 2021): each is measured by calls of malloc and free alone, by default and with option hardened,
 * if there is one.
 *
 *   figures [MODE]        all modes, or one
 *
 * reclaim    A block is freed. Blocks of its size are allocated until one has its address: how many
 *            (the median), how often the first one has it, and how often the most frequent number
 *            of them comes, in bits: what a use after free, or a freed block that is filled anew,
 *            can rely on.
 * adjacency  Two blocks are allocated one after the other: how often they touch. What an overflow
 *            can rely on.
 * spray      Blocks are allocated until they fill some memory: the share of the bytes from the
 *            lowest to the highest that are in one of them. What a pointer to somewhere there can
 *            rely on.
 *
 * The exit status is 1 if the first block has the address, or blocks touch, more or less often than
 * the mode's bounds say. The bounds are of probabilities; what was measured may be beyond them by 5
 * standard deviations.
 */
#include "random.h"

#include <acre/acre.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRIALS = 1000,
    GROUND = 512,        /* blocks that the program has of the size, before an attack */
    RECLAIM_MOST = 4096, /* blocks that are allocated to have an address again */
    PAIRS = 1000,
    SPRAY_BYTES = 8 << 20,
    SPRAY_MOST = 1 << 18, /* blocks */
};

#define SIGMAS 5

struct figures {
    unsigned median;             /* blocks; RECLAIM_MOST + 1: the address did not come */
    double first, most_frequent; /* probabilities */
    double adjacent;
    double sprayed; /* share of the range */
};

static const struct mode {
    const char *name, *option, *options; /* an option that it needs, or NULL; ACRE_OPTIONS */
    struct bounds {
        double least, most;
    } first, adjacent;
} modes[] = {
    /* The block that was freed last is handed out first, and new blocks lie side by side. */
    {"default", NULL, "", {1, 1}, {0.9, 1}},
    {"hardened", "hardened", "hardened:1", {0, 1.0 / 32}, {0, 1.0 / 16}},
};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };

static const size_t sizes[] = {32, 500, 6000};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static struct random numbers;

static char *allocate(size_t size)
{
    char *block = malloc(size);
    if (block == NULL)
        abort();
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static void free_all(char **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
}

/* Allocates until a block has the address. Their number. */
static unsigned allocate_until(size_t size, const char *address)
{
    static char *blocks[RECLAIM_MOST];
    unsigned count = 0;
    bool found = false;
    while (!found && count < RECLAIM_MOST) {
        blocks[count] = allocate(size);
        found = blocks[count++] == address;
    }
    free_all(blocks, count);
    return found ? count : RECLAIM_MOST + 1;
}

static void measure_reclaim(size_t size, struct figures *figures)
{
    static unsigned times[RECLAIM_MOST + 2]; /* by the number of blocks */
    char *blocks[GROUND];
    memset(times, 0, sizeof(times));
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        for (unsigned i = 0; i < GROUND; i++)
            blocks[i] = allocate(size);
        size_t victim = random_below(&numbers, GROUND);
        free(blocks[victim]);
        times[allocate_until(size, blocks[victim])]++;
        blocks[victim] = NULL;
        free_all(blocks, GROUND);
    }
    unsigned most = 0, below = 0;
    for (unsigned i = 1; i <= RECLAIM_MOST; i++)
        most = times[i] > most ? times[i] : most;
    figures->median = 1;
    for (unsigned i = 1; (below += times[i]) * 2 < TRIALS; i++)
        figures->median = i + 1;
    figures->first = (double)times[1] / TRIALS;
    figures->most_frequent = (double)most / TRIALS;
}

static int compare(const void *a, const void *b)
{
    const char *const *first = a, *const *second = b;
    return *first < *second ? -1 : *first > *second;
}

/* The distance of blocks that touch: the smallest between any two. */
static size_t smallest_distance(char **blocks, size_t count)
{
    size_t least = SIZE_MAX;
    qsort(blocks, count, sizeof(*blocks), compare);
    for (size_t i = 1; i < count; i++)
        if ((size_t)(blocks[i] - blocks[i - 1]) < least)
            least = (size_t)(blocks[i] - blocks[i - 1]);
    return least;
}

static void measure_adjacency(size_t size, struct figures *figures)
{
    static char *blocks[2 * PAIRS];
    static ptrdiff_t distances[PAIRS];
    unsigned adjacent = 0;
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        blocks[i] = allocate(size);
    for (unsigned i = 0; i < PAIRS; i++)
        distances[i] = blocks[2 * i + 1] - blocks[2 * i];
    ptrdiff_t touching = (ptrdiff_t)smallest_distance(blocks, 2 * PAIRS);
    for (unsigned i = 0; i < PAIRS; i++)
        adjacent += distances[i] == touching || distances[i] == -touching;
    free_all(blocks, 2 * PAIRS);
    figures->adjacent = (double)adjacent / PAIRS;
}

static void measure_spray(size_t size, struct figures *figures)
{
    static char *blocks[SPRAY_MOST];
    size_t count = SPRAY_BYTES / size < SPRAY_MOST ? SPRAY_BYTES / size : SPRAY_MOST;
    for (size_t i = 0; i < count; i++)
        blocks[i] = allocate(size);
    size_t touching = smallest_distance(blocks, count);
    size_t range = (size_t)(blocks[count - 1] - blocks[0]) + touching;
    free_all(blocks, count);
    figures->sprayed = (double)(count * touching) / (double)range;
}

/* Prints a line if a share is outside of its bounds. */
static unsigned check(const char *what, double share, struct bounds bounds, unsigned trials)
{
    double below = SIGMAS * sqrt(bounds.least * (1 - bounds.least) / trials);
    double above = SIGMAS * sqrt(bounds.most * (1 - bounds.most) / trials);
    if (share >= bounds.least - below && share <= bounds.most + above)
        return 0;
    printf("    %s: %.4f is not in %.4f to %.4f\n", what, share, bounds.least - below,
           bounds.most + above);
    return 1;
}

static unsigned measure(const struct mode *mode)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < SIZES; i++) {
        struct figures figures;
        char median[16] = "never", bits[16] = "-";
        measure_reclaim(sizes[i], &figures);
        measure_adjacency(sizes[i], &figures);
        measure_spray(sizes[i], &figures);
        if (figures.median <= RECLAIM_MOST)
            snprintf(median, sizeof(median), "%u", figures.median);
        if (figures.most_frequent > 0)
            snprintf(bits, sizeof(bits), "%.1f", fabs(log2(figures.most_frequent)));
        printf("%-9s %5zu %8s %8.1f %5s %9.1f %6.1f\n", mode->name, sizes[i], median,
               100 * figures.first, bits, 100 * figures.adjacent, 100 * figures.sprayed);
        bad += check("reclaimed by the first", figures.first, mode->first, TRIALS);
        bad += check("adjacent", figures.adjacent, mode->adjacent, PAIRS);
    }
    return bad;
}

/* Each mode has a process of its own, since some options count only at its start. */
static unsigned run(const struct mode *mode)
{
    char value[64];
    int status;
    if (mode->option != NULL && acre_option_get(mode->option, value, sizeof(value)) != 0)
        return 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("ACRE_OPTIONS", mode->options, 1);
        execl("/proc/self/exe", "figures", mode->name, (char *)NULL);
        _exit(127);
    }
    return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

int main(int count, char **arguments)
{
    unsigned bad = 0;
    numbers = random_begin();
    if (count == 1)
        printf("%-9s %5s %8s %8s %5s %9s %6s\n", "mode", "size", "reclaim", "first %", "bits",
               "adjacent%", "spray%");
    for (unsigned i = 0; i < MODES; i++) {
        if (count == 1)
            bad += run(&modes[i]);
        else if (strcmp(arguments[1], modes[i].name) == 0)
            bad += measure(&modes[i]);
    }
    return bad != 0;
}
