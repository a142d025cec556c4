/*
 * What the bench programs share: seeded random numbers, touching memory, threads, the process's
 * resident size, and the one form of output, a line "name value unit" for each figure.
 *
 * The programs call malloc and its family by their plain names and are linked with no allocator:
 * the driver preloads one. They are compiled with -fno-builtin, so no call is left out. Their own
 * tables come from mmap, so that the allocator sees nothing but the work that is measured.
 */
#ifndef ACRE_BENCH_COMMON_H
#define ACRE_BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    PAGE = 4096, /* the distance of touches; a larger system page only makes some of them idle */
};

/* A seeded generator; one for each thread, so the work is the same in each run. */
struct rng {
    uint64_t state; /* never 0 */
};

/* A generator for stream number `stream` (0, 1, 2 ...); streams do not overlap in practice. */
static inline struct rng rng_make(uint64_t stream)
{
    return (struct rng){(stream + 1) * UINT64_C(0x9e3779b97f4a7c15)};
}

/* The next number below `bound`, which is 1 .. 2^32 - 1. xorshift64* (Vigna 2016), high half. */
static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    uint64_t high = (rng->state * UINT64_C(0x2545f4914f6cdd1d)) >> 32;
    return (uint32_t)((high * bound) >> 32);
}

/* A size in bytes as programs ask for it: half at most 64, most below 1 KiB, a few up to 16 KiB. */
static inline size_t rng_size(struct rng *rng)
{
    static const uint16_t limits[16] = {32,  32,  32,  64,  64,  64,   64,   128,
                                        128, 128, 256, 256, 512, 1024, 4096, 16384};
    return 1 + rng_below(rng, limits[rng_below(rng, 16)]);
}

/* Writes the first byte of a block. */
static inline void touch(void *block)
{
    *(volatile char *)block = 1;
}

/* Writes a byte in each page of bytes from .. to-1 of a block. */
static inline void touch_pages(void *block, size_t from, size_t to)
{
    for (size_t offset = from; offset < to; offset += PAGE)
        ((volatile char *)block)[offset] = 1;
}

/* Says what went wrong on standard error and exits with status 1. */
void die(const char *what) __attribute__((noreturn));

/* `block`, unless it is NULL: then the program dies, for it cannot do the work it is timed for. */
static inline void *need(void *block)
{
    if (!block)
        die("out of memory");
    return block;
}

/* A zeroed table of `bytes` bytes by mmap, all pages present; table_free returns it. */
void *table_make(size_t bytes);
void table_free(void *table, size_t bytes);

/* Runs `body` in `count` threads (1 .. THREADS_MAX), with `argument` and the thread's number, and
 * waits until all have ended. One thread means the calling one. */
enum { THREADS_MAX = 64 };
void run_threads(unsigned count, void (*body)(void *argument, unsigned number), void *argument);

/* Prints "name value unit" on standard output without allocating. */
void report(const char *name, double value, const char *unit);

/* Resident bytes of this process now, and the most there ever were. */
size_t resident_now(void);
size_t resident_peak(void);

/* A number from the command line, at least 1; dies on anything else. */
uint64_t parse_count(const char *text);

#endif
