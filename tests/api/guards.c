/*
 * A linear overflow out of a block of each kind reaches blocks, and then a page without access,
 * never acre's metadata. Each case is this program started again: it writes byte by byte from an
 * end of a block until a fault stops it. Then the figures are what they were, every block can be
 * freed, and blocks can be allocated as before. See doc/guarantees.md, "What a linear overflow
 * reaches".
 */
#include "check.h"
#include "stats.h"
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define HEAP ((uintptr_t)32 << 20) /* bytes, and alignment, of a heap */
#define UNIT ((uintptr_t)64 << 10)

enum {
    MOST = 700000, /* blocks of a case */
    TINY = 64,     /* bytes */
    SMALL = 5000,
    SLAB = 200000, /* a block that is a slab of its own */
    LARGE = 3 << 20,
    PIECES = 100000, /* blocks, most of them freed, whose places wide ones take */
    PIECE = 256,
    WIDES = 4000,
    WIDE = 2000,
    AFTER = 20000, /* blocks taken at the end */
};

static char *blocks[MOST]; /* static: an overflow does not reach it */
static size_t count;

/* ---- writing until a fault ---- */

static sigjmp_buf fault;
static char *volatile fault_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    fault_at = (char *)info->si_addr;
    siglongjmp(fault, 1);
}

/* Writes from p on in steps of 1 or -1, until a fault. */
__attribute__((noinline)) static void write_on(volatile char *p, ptrdiff_t step)
{
    for (;; p += step)
        *p = 0x41;
}

/* The same; returns where the fault was. */
static char *write_until_fault(char *p, ptrdiff_t step)
{
    static char stack[1 << 16];
    stack_t signal_stack = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction before;
    CHECK(sigaltstack(&signal_stack, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &action, &before) == 0);
    if (sigsetjmp(fault, 1) == 0)
        write_on(p, step);
    CHECK(sigaction(SIGSEGV, &before, NULL) == 0);
    return fault_at;
}

/* ---- what must be as it was ---- */

static void check_all_works(const struct acre_stats *before)
{
    static char *again[AFTER];
    struct acre_stats after = stats_now();
    after.resident = before->resident; /* of the process */
    CHECK(memcmp(before, &after, sizeof(after)) == 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(malloc_usable_size(blocks[i]) != 0);
        free(blocks[i]);
    }
    for (unsigned i = 0; i < AFTER; i++)
        again[i] = take(16 + i % 3000, i);
    for (unsigned i = 0; i < AFTER; i++)
        give(again[i], 16 + i % 3000, i);
    free(hide(malloc(LARGE)));
    malloc_trim(0);
    CHECK(stats_now().small_blocks <= before->small_blocks - count + 1);
}

/* ---- the cases ---- */

static void add(size_t size)
{
    CHECK(count < MOST);
    blocks[count] = malloc(size);
    CHECK(blocks[count] != NULL);
    blocks[count++][0] = 1;
}

static void add_until_the_next_heap(size_t size)
{
    do
        add(size);
    while ((uintptr_t)blocks[count - 1] / HEAP == (uintptr_t)blocks[0] / HEAP);
}

/* Takes blocks until the heap of the first one is full. */
static void fill_a_heap(size_t size)
{
    add_until_the_next_heap(size);
    add_until_the_next_heap(UNIT - 1000); /* in units that were too few for a slab of those */
}

/* The lowest or highest block in the heap of blocks[0]. */
static char *outermost(bool highest)
{
    char *found = blocks[0];
    for (size_t i = 1; i < count; i++)
        if ((uintptr_t)blocks[i] / HEAP == (uintptr_t)found / HEAP &&
            (highest ? blocks[i] > found : blocks[i] < found))
            found = blocks[i];
    return found;
}

/* From a block of a full heap: over all blocks at higher addresses, and not to the header of the
 * next heap. */
static void overflow_of_a_heap(char *p)
{
    struct acre_stats before = stats_now();
    char *end = write_until_fault(p + malloc_usable_size(p), 1);
    char *last = outermost(true);
    CHECK(end >= last + malloc_usable_size(last));
    CHECK((uintptr_t)end < (uintptr_t)last + malloc_usable_size(last) + UNIT);
    CHECK((uintptr_t)end / HEAP == ((uintptr_t)end + (size_t)sysconf(_SC_PAGESIZE) - 1) / HEAP);
    check_all_works(&before);
}

static void from_the_lowest(size_t size)
{
    fill_a_heap(size);
    overflow_of_a_heap(outermost(false));
}

static void from_the_highest(size_t size)
{
    fill_a_heap(size);
    overflow_of_a_heap(outermost(true));
}

/* Downwards from the lowest block of a heap, below which are the heap's guard and states. */
static void underflow(size_t size)
{
    for (size_t i = 0; i < 100; i++)
        add(size);
    struct acre_stats before = stats_now();
    char *p = outermost(false);
    char *below = write_until_fault(p - 1, -1);
    CHECK((uintptr_t)below / HEAP == (uintptr_t)p / HEAP && (uintptr_t)(below + 1) % UNIT == 0);
    CHECK((uintptr_t)p - (uintptr_t)below <= 16 * UNIT); /* free units, of other classes */
    check_all_works(&before);
}

/* From the lowest wide block. */
static void from_a_wide_one(size_t size)
{
    leave_pieces(blocks, PIECES, 10, PIECE - 100, PIECE + 200);
    count = PIECES / 10;
    size_t places = wide_places();
    char *lowest = NULL;
    for (size_t i = 0; i < WIDES; i++) {
        add(size);
        if (wide_places() > places && (lowest == NULL || blocks[count - 1] < lowest))
            lowest = blocks[count - 1];
        places = wide_places();
    }
    CHECK(lowest != NULL);
    struct acre_stats before = stats_now();
    char *end = write_until_fault(lowest + malloc_usable_size(lowest), 1);
    CHECK((uintptr_t)end / HEAP == (uintptr_t)lowest / HEAP && (uintptr_t)end % UNIT == 0);
    check_all_works(&before);
}

/* From the process's first LARGE block: only metadata was mapped by acre before it. */
static void from_the_first_large_one(size_t size)
{
    add(size);
    struct acre_stats before = stats_now();
    char *end = blocks[0] + malloc_usable_size(blocks[0]);
    CHECK(write_until_fault(end, 1) == end);
    check_all_works(&before);
}

/* From the lowest of several LARGE blocks that touch: over these, and no further. */
static void from_one_of_many_large_ones(size_t size)
{
    for (size_t i = 0; i < 20; i++)
        add(size);
    struct acre_stats before = stats_now();
    char *lowest = blocks[0], *end;
    for (size_t i = 1; i < count; i++)
        if (blocks[i] < lowest)
            lowest = blocks[i];
    end = lowest;
    for (size_t i = 0; i < count; i++) /* the end of those that touch */
        for (size_t j = 0; j < count; j++)
            if (blocks[j] == end)
                end += malloc_usable_size(blocks[j]);
    CHECK(end > lowest);
    CHECK(write_until_fault(lowest + malloc_usable_size(lowest), 1) == end);
    check_all_works(&before);
}

static const struct {
    const char *name;
    void (*run)(size_t);
    size_t size;
} cases[] = {
    {"TINY, from the lowest block of a heap", from_the_lowest, TINY},
    {"TINY, from the highest", from_the_highest, TINY},
    {"TINY, downwards", underflow, TINY},
    {"SMALL, from the lowest block of a heap", from_the_lowest, SMALL},
    {"SMALL, from the highest", from_the_highest, SMALL},
    {"SMALL, downwards", underflow, SMALL},
    {"a slab of its own, from the lowest block of a heap", from_the_lowest, SLAB},
    {"a slab of its own, from the highest", from_the_highest, SLAB},
    {"a slab of its own, downwards", underflow, SLAB},
    {"wide", from_a_wide_one, WIDE},
    {"LARGE, the first one", from_the_first_large_one, LARGE},
    {"LARGE, the first one, with huge pages", from_the_first_large_one, 2 * LARGE},
    {"LARGE, one of many", from_one_of_many_large_ones, LARGE},
};

int main(int argument_count, char **arguments)
{
    if (argument_count > 1) {
        size_t number = strtoul(arguments[1], NULL, 10);
        check_begin();
        free(hide(malloc(10))); /* there is a heap, and the map of its units */
        cases[number].run(cases[number].size);
        return 0;
    }
    check_begin();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char number[8];
        snprintf(number, sizeof(number), "%zu", i);
        printf("%s\n", cases[i].name);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            start_again(number);
        check_child(child);
    }
    return 0;
}
