/* What the stress programs share; see common.h. Nothing here allocates between a program's blocks,
 * except what pthread_create needs. */
#include "common.h"

#include <acre/acre.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_SECONDS = 10,
    DEFAULT_THREADS = 4,
    HANG_SECONDS = 120, /* a program that goes on for so much longer than it should hangs */
    ALIGNED_MAX = 4096, /* bytes; the largest alignment that block_allocate asks for */
    MESSAGE_SIZE = 512, /* bytes of a failure's line */
};

/* Blocks above this many bytes are filled and checked only at every STRIDE-th word. */
#define FULL_PATTERN_MAX ((size_t)1 << 20)
#define STRIDE 64

/* The weak bits of addresses and counters become strong by this multiplier, of splitmix64. */
#define GOLDEN 0x9e3779b97f4a7c15u

/* Set by stress_start, constant from then on. */
static const char *program_name = "stress";
static uint64_t seed;
static unsigned long seconds = DEFAULT_SECONDS;
static int threads = DEFAULT_THREADS;
static struct timespec end;

/* What the workers of stress_main share. */
static const struct program *running;
static pthread_barrier_t meeting;
static bool is_over; /* written by one worker between two meetings, read by all after the second */

void stress_fail(const char *format, ...)
{
    char line[MESSAGE_SIZE];
    va_list arguments;
    int length = snprintf(line, sizeof line, "%s: FAILED: ", program_name);
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    va_end(arguments);
    if ((size_t)length >= sizeof line)
        length = sizeof line - 1;
    length +=
        snprintf(line + length, sizeof line - (size_t)length, " (repeat with: %s %lu %llu %d)\n",
                 program_name, seconds, (unsigned long long)seed, threads);
    if ((size_t)length >= sizeof line)
        length = sizeof line - 1;
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    _exit(written < 0 ? 2 : 1);
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t random_next(struct random *random)
{
    random->state += GOLDEN;
    return mix(random->state);
}

size_t random_below(struct random *random, size_t limit)
{
    return random_next(random) % limit;
}

size_t random_size(struct random *random, size_t limit)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(limit | 1);
    size_t size = random_next(random) & (((size_t)1 << random_below(random, bits + 1)) - 1);
    return size < limit ? size : size % limit;
}

struct random stress_random(uint64_t number)
{
    return (struct random){mix(seed + number * GOLDEN)};
}

/* The word of the pattern at word `index`. */
static uint64_t pattern(uint64_t key, size_t index)
{
    return (key + index) * GOLDEN;
}

/* The distance, in words, between those words of a block of `size` bytes that carry the pattern. */
static size_t pattern_step(size_t size)
{
    return size > FULL_PATTERN_MAX ? STRIDE : 1;
}

/* Fills the block: whole words, and of the last, shorter word its first bytes. */
static void fill(const struct block *block)
{
    size_t words = block->size / sizeof(uint64_t);
    size_t rest = block->size % sizeof(uint64_t);
    size_t step = pattern_step(block->size);
    for (size_t i = 0; i < words; i += step) {
        uint64_t word = pattern(block->key, i);
        memcpy(block->address + i * sizeof word, &word, sizeof word);
    }
    uint64_t last = pattern(block->key, words);
    memcpy(block->address + words * sizeof last, &last, rest);
}

void block_check_prefix(const struct block *block, const unsigned char *address, size_t size)
{
    size_t words = size / sizeof(uint64_t);
    size_t step = pattern_step(block->size);
    for (size_t i = 0; i < words; i += step) {
        uint64_t expected = pattern(block->key, i);
        if (memcmp(address + i * sizeof expected, &expected, sizeof expected) != 0)
            stress_fail("block %p of %zu bytes, now at %p: content changed at byte %zu",
                        (void *)block->address, block->size, (const void *)address,
                        i * sizeof expected);
    }
    size_t rest = size % sizeof(uint64_t);
    bool last_is_filled = words % step == 0 || words == block->size / sizeof(uint64_t);
    uint64_t last = pattern(block->key, words);
    if (last_is_filled && memcmp(address + words * sizeof last, &last, rest) != 0)
        stress_fail("block %p of %zu bytes, now at %p: content changed in its last bytes",
                    (void *)block->address, block->size, (const void *)address);
}

struct block block_adopt(void *address, size_t size)
{
    if (address == NULL)
        stress_fail("%zu bytes refused, errno %d", size, errno);
    if ((uintptr_t)address % STRESS_ALIGNMENT != 0)
        stress_fail("block %p of %zu bytes is not aligned", address, size);
    size_t usable = malloc_usable_size(address);
    if (usable < size)
        stress_fail("block %p of %zu bytes: only %zu usable", address, size, usable);
    struct block block = {.address = address, .size = size};
    /* Every other address: what lies between the size asked for and the usable size is ours too. */
    if (mix((uintptr_t)address) % 2 == 0 && usable <= FULL_PATTERN_MAX)
        block.size = usable;
    block.key = mix((uintptr_t)address ^ mix(block.size ^ seed));
    fill(&block);
    return block;
}

/* Fails unless the `size` bytes at `address` are zero. */
static void check_zero(const unsigned char *address, size_t size)
{
    if (size != 0 && (address[0] != 0 || memcmp(address, address + 1, size - 1) != 0))
        stress_fail("calloc: block %p of %zu bytes is not zero", (const void *)address, size);
}

/* A block by one of the functions that take an alignment. */
static void *allocate_aligned(struct random *random, size_t size)
{
    void *address = NULL;
    size_t alignment = sizeof(void *) << random_below(random, 10);
    if (alignment > ALIGNED_MAX)
        alignment = ALIGNED_MAX;
    if (random_below(random, 2) == 0)
        address = aligned_alloc(alignment, size);
    else if (posix_memalign(&address, alignment, size) != 0)
        address = NULL;
    if ((uintptr_t)address % alignment != 0)
        stress_fail("block %p of %zu bytes is not aligned to %zu", address, size, alignment);
    return address;
}

struct block block_allocate(struct random *random, size_t size)
{
    void *address;
    switch (random_below(random, 8)) {
    case 0:
        address = calloc(1, size);
        if (address != NULL)
            check_zero(address, size);
        break;
    case 1:
        address = realloc(NULL, size);
        break;
    case 2:
        address = allocate_aligned(random, size);
        break;
    default:
        address = malloc(size);
    }
    return block_adopt(address, size);
}

void block_release(struct block *block)
{
    const int mark = 12345; /* no function that free may call sets errno to that */
    if (block->address == NULL)
        return;
    block_check_prefix(block, block->address, block->size);
    errno = mark;
    free(block->address);
    if (errno != mark)
        stress_fail("free(%p) changed errno to %d", (void *)block->address, errno);
    block->address = NULL;
}

void block_release_counted(struct block *block, size_t *live)
{
    if (block->address != NULL)
        *live -= block->size;
    block_release(block);
}

void blocks_release_all(struct block *block, size_t count, size_t *live)
{
    for (size_t i = 0; i < count; i++)
        block_release_counted(&block[i], live);
    if (*live != 0)
        stress_fail("%zu bytes live in an empty table", *live);
}

/* The number that the argument is; fails unless it is one of 0 .. max. */
static unsigned long long argument(const char *text, unsigned long long max)
{
    char *rest;
    errno = 0;
    unsigned long long value = strtoull(text, &rest, 10);
    if (rest == text || *rest != '\0' || errno != 0 || value > max)
        stress_fail("bad argument '%s': usage: SECONDS SEED THREADS", text);
    return value;
}

void stress_start(const char *name, int argc, char **argv)
{
    const unsigned long day = 24 * 60 * 60;
    program_name = name;
    if (argc > 1)
        seconds = (unsigned long)argument(argv[1], day);
    if (argc > 2)
        seed = argument(argv[2], UINT64_MAX);
    if (argc > 3)
        threads = (int)argument(argv[3], STRESS_THREADS_MAX);
    if (threads == 0)
        threads = 1;
    while (seed == 0)
        if (getrandom(&seed, sizeof seed / 2, 0) < 0)
            stress_fail("getrandom: errno %d", errno);
    alarm((unsigned)seconds + HANG_SECONDS);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)seconds;
    printf("%s: acre %s%s, %lu s, seed %llu, %d threads\n", name, acre_version(),
           acre_debug_validate != NULL ? " (validating)" : "", seconds, (unsigned long long)seed,
           threads);
    fflush(stdout);
}

bool stress_time_is_over(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec);
}

int stress_threads(void)
{
    return threads;
}

uint64_t stress_seed(void)
{
    return seed;
}

void stress_validate(void)
{
    if (acre_debug_validate != NULL && acre_debug_validate() != 1)
        stress_fail("the library's structures are not valid");
}

int stress_end(unsigned long rounds)
{
    stress_validate();
    printf("%s: passed, %lu rounds\n", program_name, rounds);
    return 0;
}

/* What one worker does while all others wait. */
static void be_alone(unsigned long round)
{
    stress_validate();
    if (running->between_rounds != NULL)
        running->between_rounds(round);
    is_over = stress_time_is_over();
}

/* A worker's thread: rounds until the time is over. Returns the number of rounds. */
static void *work(void *data)
{
    struct worker *worker = data;
    unsigned long round = 0;
    if (running->start != NULL)
        running->start(worker);
    do {
        running->round(worker, round++);
        if (pthread_barrier_wait(&meeting) == PTHREAD_BARRIER_SERIAL_THREAD)
            be_alone(round);
        pthread_barrier_wait(&meeting);
    } while (!is_over);
    if (running->finish != NULL)
        running->finish(worker);
    return (void *)round;
}

int stress_main(const struct program *program, int argc, char **argv)
{
    static struct worker workers[STRESS_THREADS_MAX];
    pthread_t thread[STRESS_THREADS_MAX];
    void *rounds = NULL;

    stress_start(program->name, argc, argv);
    running = program;
    pthread_barrier_init(&meeting, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){.number = i,
                                     .random = stress_random((uint64_t)i),
                                     .memory = STRESS_MEMORY / (size_t)threads};
        if (pthread_create(&thread[i], NULL, work, &workers[i]) != 0)
            stress_fail("pthread_create");
    }
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], &rounds);
    return stress_end((unsigned long)rounds);
}
