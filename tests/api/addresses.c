/*
 * No address that is not a block's passes for one: each address near blocks of every kind is given
 * to malloc_usable_size, free and realloc, by the thread that owns the blocks and by another one.
 * Each call must be reported, in one line that names the address, and change nothing.
 *
 * What is live is what the scenario took; blocks of libc are told apart by acre_stats, which counts
 * all that are.
 */
#include "check.h"
#include "stats.h"
#include <malloc.h>

enum {
    BLOCKS_MOST = 200000,
    UNKNOWN_MOST = 16, /* blocks of libc */
    UNIT = 64 << 10,
    HEAP = 32 << 20,
    HEAP_UNITS = HEAP / UNIT,
    HEAPS_MOST = 64,
    DENSE_UP_TO = 1024,      /* bytes: in units of such blocks every 16th address is tried, ... */
    SPARSE_STEPS = 100,      /* ... elsewhere one in about SPARSE_STEPS / 2 of them */
    AROUND_LARGE = 2 * UNIT, /* bytes tried before and after a LARGE block */
    LINE_TEXT = 512,
};

/* The blocks of the scenario. */
static struct block {
    char *start;
    size_t size;
} blocks[BLOCKS_MOST];
static size_t block_count;

/* Blocks that the sweep has found and the scenario did not take. */
static const char *unknown[UNKNOWN_MOST];
static size_t unknown_count;

static bool dense = true; /* false: nowhere every 16th address is tried */
static int reports;       /* the end of the pipe that standard error goes to */
static struct random numbers = {7};

/* ---- reports ---- */

static void catch_reports(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    reports = ends[0];
    CHECK(acre_option_set("abort", "0") == 0);
}

/* Ends the test: standard error is the pipe. */
__attribute__((noreturn)) static void fail_at(const char *what, const void *p, const char *line)
{
    printf("%s: %p: %s\n", what, p, line);
    fflush(stdout);
    _exit(1);
}

/* One line was written, about the call of `function` with p; nothing was if function is NULL. */
static void check_report(const char *function, const void *p)
{
    static __thread char line[LINE_TEXT];
    char call[64];
    ssize_t length = read(reports, line, sizeof(line) - 1);
    line[length > 0 ? length : 0] = '\0';
    if (function == NULL) {
        if (length > 0)
            fail_at("reported", p, line);
        return;
    }
    snprintf(call, sizeof(call), "%s(%p)", function, p);
    char *end = strchr(line, '\n');
    if (strstr(line, call) == NULL || end == NULL || end[1] != '\0')
        fail_at(function, p, line);
}

/* ---- what is live ---- */

static int compare(const void *a, const void *b)
{
    const char *one = ((const struct block *)a)->start, *other = ((const struct block *)b)->start;
    return (one > other) - (one < other);
}

/* The scenario's last block that starts at or below p, or NULL. */
static const struct block *block_below(const char *p)
{
    size_t low = 0, high = block_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[middle].start <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &blocks[low - 1];
}

static bool is_mine(const char *p)
{
    const struct block *block = block_below(p);
    return block != NULL && block->start == p;
}

static void keep(void *start, size_t size)
{
    CHECK(start != NULL && block_count < BLOCKS_MOST);
    fill(start, size, (unsigned)size);
    blocks[block_count++] = (struct block){start, size};
}

/* ---- trying ---- */

/* p may be a block of libc: then it is remembered, once. */
static bool is_unknown(const char *p)
{
    for (size_t i = 0; i < unknown_count; i++)
        if (unknown[i] == p)
            return true;
    return false;
}

static void try_address(char *p)
{
    if (is_mine(p) || is_unknown(p))
        return;
    p = hide(p);
    if (malloc_usable_size(p) != 0) {
        check_report(NULL, p);
        if (unknown_count == UNKNOWN_MOST)
            fail_at("passes for a block", p, "");
        unknown[unknown_count++] = p;
        return;
    }
    check_report("malloc_usable_size", p);
    free(p);
    check_report("free", p);
    CHECK(realloc(p, DENSE_UP_TO) == NULL && errno == ENOMEM);
    check_report("realloc", p);
}

/* Tries addresses from `from` on: every 16th or fewer, and as many odd ones. */
static void try_range(char *from, char *to, bool every)
{
    for (char *p = from; p < to;) {
        try_address(p);
        if (random_below(&numbers, 4) == 0)
            try_address(p + 1 + random_below(&numbers, 15));
        p += 16 * (every ? 1 : 1 + random_below(&numbers, SPARSE_STEPS));
    }
}

/* The largest block size of the scenario in the unit at `unit`; 0 if there is none. */
static size_t size_in(const char *unit)
{
    const struct block *block = block_below(unit + UNIT - 1);
    return block != NULL && block->start + block->size > unit ? block->size : 0;
}

/* Tries the units of a heap up to some after the last block in it, its header and states too. */
static void try_heap(char *heap)
{
    const struct block *last = block_below(heap + HEAP - 1);
    char *to = (char *)((uintptr_t)last->start / UNIT * UNIT) + 4 * UNIT;
    for (char *unit = heap; unit < to && unit < heap + HEAP; unit += UNIT) {
        size_t size = size_in(unit);
        try_range(unit, unit + UNIT, dense && size != 0 && size <= DENSE_UP_TO);
    }
}

/* Tries everything near the scenario's blocks. */
static void *sweep(void *unused)
{
    char *heap = NULL;
    unknown_count = 0;
    size_t live = live_blocks();
    for (size_t i = 0; i < block_count; i++) {
        char *start = blocks[i].start;
        if (blocks[i].size > CHECK_MIB) {
            try_range(start - AROUND_LARGE, start + blocks[i].size + AROUND_LARGE, false);
        } else if (heap != (char *)((uintptr_t)start / HEAP * HEAP)) {
            heap = (char *)((uintptr_t)start / HEAP * HEAP);
            try_heap(heap);
        }
    }
    CHECK(unknown_count <= live - block_count);
    CHECK(live_blocks() == live);
    return unused;
}

static void check_all_kept(void)
{
    for (size_t i = 0; i < block_count; i++)
        CHECK(is_filled(blocks[i].start, blocks[i].size, (unsigned)blocks[i].size));
}

/* Runs a scenario in a child, then tries addresses by its thread and by another one. */
static void run(void (*scenario)(void))
{
    pid_t child = fork();
    if (child != 0) {
        check_child(child);
        return;
    }
    catch_reports();
    scenario();
    qsort(blocks, block_count, sizeof(blocks[0]), compare);
    sweep(NULL);
    check_all_kept();
    in_thread(sweep, NULL);
    check_all_kept();
    /* what is allocated from now on overlaps nothing, and each block is freed without a report */
    size_t before = block_count;
    for (size_t i = 0; i < before && block_count < BLOCKS_MOST; i++)
        keep(malloc(blocks[i].size), blocks[i].size);
    check_all_kept();
    for (size_t i = 0; i < block_count; i++) {
        free(blocks[i].start);
        check_report(NULL, blocks[i].start);
    }
    _exit(0);
}

/* ---- scenarios ---- */

/* Blocks of every size class, more of each than come from a wider class at first. */
static void every_class(void)
{
    struct acre_stats stats = stats_now();
    for (size_t i = 0; i < stats.class_count; i++) {
        size_t size = stats.classes[i].block_size;
        for (size_t n = size <= DENSE_UP_TO ? 20 : size <= UNIT / 2 ? 3 : 1; n != 0; n--)
            keep(malloc(size), size);
    }
}

/* Blocks of many sizes, most of which are freed; larger ones take their places. */
static void wide_blocks(void)
{
    enum { SMALL = 100000, SHARE = 10, LIMIT = 512, MEDIUM = 4000, MEDIUM_SIZE = 2000 };
    static char *small[SMALL];
    leave_pieces(small, SMALL, SHARE, 128, LIMIT);
    for (size_t i = 0; i < SMALL / SHARE; i++)
        keep(small[i], malloc_usable_size(small[i]));
    for (size_t i = 0; i < MEDIUM; i++)
        keep(malloc(MEDIUM_SIZE), MEDIUM_SIZE);
    CHECK(wide_places() > MEDIUM); /* some have the places of several */
}

/* Slabs that were released, among those that were not. */
static void released(void)
{
    enum { ROUNDS = 40, EACH = 300 };
    static void *freed[ROUNDS][EACH];
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t size = 16 * (1 + random_below(&numbers, 300));
        for (size_t n = 0; n < EACH; n++)
            freed[i][n] = malloc(size);
        keep(malloc(UNIT + size * 16), UNIT + size * 16);
        void *large = malloc(UNIT + size * 32);
        keep(malloc(size), size);
        free(large);
    }
    for (size_t i = 0; i < ROUNDS; i++)
        for (size_t n = 0; n < EACH; n++)
            free(freed[i][n]);
    acre_thread_flush();
}

/* Slabs of one block that realloc makes longer and shorter where they are. */
static void resized(void)
{
    enum { BLOCKS = 30 };
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 40 * CHECK_KIB + random_below(&numbers, 100 * CHECK_KIB);
        char *block = malloc(size), *grown = realloc(block, 2 * size);
        size = i % 2 == 0 ? 2 * size : 2 * size - size / 2;
        keep(i % 2 == 0 ? grown : realloc(grown, size), size);
    }
}

/* Slabs whose pages went back, but for those of some blocks. */
static void purged(void)
{
    enum { BLOCKS = 60000, KEPT_SHARE = 200 };
    static void *freed[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = 16 << i % 6;
        if (i % KEPT_SHARE < 6)
            keep(malloc(size), size);
        else
            freed[i] = malloc(size);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(freed[i]);
    acre_thread_flush();
    CHECK(malloc_trim(0) == 1);
}

/* LARGE blocks beside free extents, and aligned ones. */
static void large(void)
{
    enum { BLOCKS = 24 };
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = CHECK_MIB + 1 + random_below(&numbers, 3 * CHECK_MIB);
        void *freed = malloc(size);
        if (i % 3 == 0)
            keep(aligned_alloc(256 * CHECK_KIB, size), size);
        else
            keep(malloc(size), size);
        free(freed);
    }
}

int main(void)
{
    check_begin();
    run(every_class);
    dense = false;
    run(wide_blocks);
    run(released);
    run(resized);
    run(purged);
    run(large);
    return 0;
}
