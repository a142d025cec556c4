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
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
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

size_t random_size(struct random *random, size_t small_limit, size_t share, size_t limit)
{
    return random_small(random, random_below(random, share) != 0 ? small_limit : limit);
}

struct random stress_random(uint64_t number)
{
    return (struct random){random_mix(seed + number * RANDOM_STEP)};
}

/* The word of the pattern at word `index`. */
static uint64_t pattern(uint64_t key, size_t index)
{
    return (key + index) * RANDOM_STEP;
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
    if (random_mix((uintptr_t)address) % 2 == 0 && usable <= FULL_PATTERN_MAX)
        block.size = usable;
    block.cost = block.size;
    block.key = random_mix((uintptr_t)address ^ random_mix(block.size ^ seed));
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

struct block block_resize(const struct block *block, size_t size)
{
    unsigned char *address = realloc(block->address, size);
    if (address == NULL)
        stress_fail("realloc(%p, %zu) refused, errno %d", (void *)block->address, size, errno);
    if (block->address != NULL)
        block_check_prefix(block, address, size < block->size ? size : block->size);
    return block_adopt(address, size);
}

void table_release(struct table *table, size_t slot)
{
    if (table->block[slot].address != NULL)
        table->live -= table->block[slot].cost;
    block_release(&table->block[slot]);
}

void table_release_from(struct table *table, size_t first)
{
    for (size_t slot = first; slot < table->count; slot++)
        table_release(table, slot);
    if (first == 0 && table->live != 0)
        stress_fail("%zu bytes live in an empty table", table->live);
}

void table_put(struct table *table, size_t slot, struct block block)
{
    table->block[slot] = block;
    table->live += block.cost;
}

void table_resize(struct table *table, size_t slot, size_t size)
{
    if (table->block[slot].address != NULL)
        table->live -= table->block[slot].cost;
    table_put(table, slot, block_resize(&table->block[slot], size));
}

void worker_replace(struct worker *worker, size_t slot, size_t size)
{
    table_release(&worker->table, slot);
    if (worker->table.live + size <= worker->memory)
        table_put(&worker->table, slot, block_allocate(&worker->random, size));
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

void stress_wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            stress_fail("waitpid(%d): errno %d", (int)child, errno);
    if (WIFSIGNALED(status))
        stress_fail("child %d ended by signal %d", (int)child, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        stress_fail("child %d ended with status %d", (int)child, WEXITSTATUS(status));
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
    table_release_from(&worker->table, 0);
    return (void *)round;
}

static struct worker workers[STRESS_THREADS_MAX];

struct table *stress_table(int number)
{
    return &workers[number].table;
}

/* A table that the library under test has no part in. */
static struct table make_table(size_t slots)
{
    struct table table = {.count = slots};
    if (slots != 0)
        table.block = mmap(NULL, slots * sizeof(table.block[0]), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table.block == MAP_FAILED)
        stress_fail("mmap: errno %d", errno);
    return table;
}

int stress_main(const struct program *program, int argc, char **argv)
{
    size_t memory = program->memory != 0 ? program->memory : STRESS_MEMORY;
    pthread_t thread[STRESS_THREADS_MAX];
    void *rounds = NULL;

    stress_start(program->name, argc, argv);
    running = program;
    pthread_barrier_init(&meeting, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        workers[i] = (struct worker){.number = i,
                                     .random = stress_random((uint64_t)i),
                                     .memory = memory / (size_t)threads,
                                     .table = make_table(program->slots)};
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, &workers[i]) != 0)
            stress_fail("pthread_create");
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], &rounds);
    return stress_end((unsigned long)rounds);
}
