/*
 * mallinfo, mallinfo2, malloc_stats, malloc_info, mallopt and malloc_trim: known amounts are
 * allocated and freed, the figures change by these amounts, and each figure is that of acre_stats.
 * Also run preloaded: acre's own functions are looked up.
 */
#include "check.h"
#include <acre/acre.h>
#include <limits.h>
#include <malloc.h>

enum {
    COUNT = 2000,
    BLOCK = 1000,  /* bytes; a TINY block */
    SLACK = 65536, /* bytes that the C library itself may hold meanwhile */
    TEXT = 65536,  /* characters of a table */
};

static void *blocks[COUNT];

/* ---- acre's functions ---- */

static void *find_function(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL);
    return function;
}

static struct acre_stats stats_now(void)
{
    int (*call)(struct acre_stats *, size_t);
    struct acre_stats stats;
    *(void **)&call = find_function("acre_stats");
    CHECK(call(&stats, sizeof(stats)) == 0);
    return stats;
}

static void set_option(const char *key, const char *value)
{
    int (*call)(const char *, const char *);
    *(void **)&call = find_function("acre_option_set");
    CHECK(call(key, value) == 0);
}

static void check_option(const char *key, const char *value)
{
    int (*call)(const char *, char *, size_t);
    char now[64];
    *(void **)&call = find_function("acre_option_get");
    CHECK(call(key, now, sizeof(now)) == 0);
    CHECK(strcmp(now, value) == 0);
}

/* The blocks in all slabs that the program does not hold. */
static size_t free_blocks_of(const struct acre_stats *stats)
{
    size_t blocks_free = 0;
    for (size_t i = 0; i < stats->class_count; i++)
        blocks_free += stats->classes[i].blocks - stats->classes[i].live_blocks;
    return blocks_free;
}

static void allocate_all(size_t size)
{
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 'x', size);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

/* Bytes in use: mallinfo2 counts blocks of their own mapping separately. */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* The result of mallinfo2, each figure checked against acre_stats. Nothing else allocates. */
static struct mallinfo2 checked_info(void)
{
    struct acre_stats stats = stats_now();
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena == stats.heap_in_slabs + stats.heap_free_dirty);
    CHECK(info.ordblks == free_blocks_of(&stats));
    CHECK(info.smblks == 0 && info.usmblks == 0 && info.fsmblks == 0);
    CHECK(info.hblks == stats.large_blocks && info.hblkhd == stats.large_live);
    CHECK(info.uordblks == stats.small_live);
    CHECK(info.fordblks == info.arena - stats.small_live);
    CHECK(info.keepcost == stats.heap_free_dirty + stats.large_stock);
    return info;
}

static void test_small_blocks_show(void)
{
    enum { BLOCK_HAS = 1024 }; /* bytes: the size class of BLOCK */
    struct mallinfo2 before = checked_info();
    allocate_all(BLOCK);
    struct mallinfo2 with = checked_info();
    CHECK(with.uordblks - before.uordblks == (size_t)COUNT * BLOCK_HAS);
    CHECK(with.arena + with.hblkhd >= with.uordblks);
    for (size_t i = 0; i < COUNT; i += 2)
        free(blocks[i]);
    struct mallinfo2 half = checked_info();
    CHECK(with.uordblks - half.uordblks == (size_t)COUNT / 2 * BLOCK_HAS);
    CHECK(half.ordblks - with.ordblks == COUNT / 2);
    CHECK(half.arena == with.arena && half.fordblks > with.fordblks);
    for (size_t i = 1; i < COUNT; i += 2)
        free(blocks[i]);
    CHECK(checked_info().uordblks == before.uordblks);
}

static void test_large_blocks_show(void)
{
    struct mallinfo2 before = checked_info();
    void *large = malloc(40 * CHECK_MIB);
    CHECK(large != NULL);
    struct mallinfo2 with = checked_info();
    CHECK(with.hblks == before.hblks + 1);
    CHECK(with.hblkhd - before.hblkhd == 40 * CHECK_MIB);
    free(large);
    struct mallinfo2 after = checked_info();
    CHECK(after.hblks == before.hblks && after.hblkhd == before.hblkhd);
}

/* What is free, and could go back to the system, is keepcost: units of heaps, and LARGE blocks. */
static void test_idle_memory_shows(void)
{
    set_option("decay", "3600000");
    malloc_trim(0);
    CHECK(checked_info().keepcost == 0);
    void *units = malloc(CHECK_MIB), *pages = malloc(3 * CHECK_MIB);
    CHECK(units != NULL && pages != NULL);
    size_t before = checked_info().keepcost; /* a huge page may have been filled in */
    free(pages);
    CHECK(checked_info().keepcost - before == 3 * CHECK_MIB);
    free(units);
    struct mallinfo2 info = checked_info();
    CHECK(info.keepcost - before == 4 * CHECK_MIB && info.fordblks >= CHECK_MIB);
    malloc_trim(0);
    CHECK(checked_info().keepcost == 0);
    set_option("decay", "1000");
}

static void *allocate_in_thread(void *size)
{
    return malloc((size_t)(uintptr_t)size);
}

static void test_other_threads_show(void)
{
    size_t before = in_use();
    void *block = in_thread(allocate_in_thread, (void *)(uintptr_t)900000);
    CHECK(in_use() - before >= 900000);
    free(block);
    CHECK(in_use() <= before + SLACK);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void test_mallinfo_agrees(void)
{
    allocate_all(BLOCK);
    free(hide(malloc(3 * CHECK_MIB)));
    struct mallinfo2 wide = checked_info();
    struct mallinfo narrow = mallinfo();
    CHECK(narrow.uordblks == (int)wide.uordblks && narrow.fordblks == (int)wide.fordblks);
    CHECK(narrow.arena == (int)wide.arena && narrow.hblkhd == (int)wide.hblkhd);
    CHECK(narrow.hblks == (int)wide.hblks && narrow.ordblks == (int)wide.ordblks);
    CHECK(narrow.keepcost == (int)wide.keepcost && wide.keepcost != 0);
    CHECK(narrow.smblks == 0 && narrow.usmblks == 0 && narrow.fsmblks == 0);
    free_all();
}
#pragma GCC diagnostic pop

/* malloc_stats prints the table of acre_stats_print to standard error; tests/unit has its rows. */
static void test_malloc_stats(void)
{
    static char text[TEXT];
    int ends[2], saved = dup(STDERR_FILENO);
    struct acre_stats stats = stats_now();
    CHECK(pipe(ends) == 0);
    CHECK(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    malloc_stats();
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    read_all(ends[0], text, TEXT);
    const char *row = strstr(text, "\n  live TINY and SMALL ");
    CHECK(row != NULL &&
          strtoul(row + strlen("\n  live TINY and SMALL "), NULL, 10) == stats.small_blocks);
}

/* ---- malloc_info ---- */

/* Writes the document that malloc_info must give: XML with glibc's names, and an element for each
 * class that has free blocks. */
static void write_document(FILE *stream, const struct acre_stats *stats)
{
    size_t heap_bytes = stats->heap_in_slabs + stats->heap_free_dirty, smallest = 1;
    fprintf(stream, "<malloc version=\"acre-1\">\n<sizes>\n");
    for (size_t i = 0; i < stats->class_count; i++) {
        const struct acre_class_stats *class = &stats->classes[i];
        size_t unused = class->blocks - class->live_blocks;
        if (unused != 0)
            fprintf(stream, "<size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
                    smallest, class->block_size, unused * class->block_size, unused);
        smallest = class->block_size + 1;
    }
    fprintf(stream, "</sizes>\n<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            free_blocks_of(stats), heap_bytes - stats->small_live);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", stats->large_blocks,
            stats->large_live);
    fprintf(stream, "<system type=\"current\" size=\"%zu\"/>\n", heap_bytes);
    fprintf(stream, "<aspace type=\"total\" size=\"%zu\"/>\n", stats->heap_mapped);
    fprintf(stream, "<live type=\"small\" count=\"%zu\" size=\"%zu\"/>\n", stats->small_blocks,
            stats->small_live);
    fprintf(stream, "<live type=\"large\" count=\"%zu\" size=\"%zu\"/>\n</malloc>\n",
            stats->large_blocks, stats->large_live);
}

static void test_malloc_info(void)
{
    static char expected[TEXT], text[TEXT];
    allocate_all(BLOCK);
    void *large = malloc(700 * CHECK_MIB), *kept = blocks[0];
    blocks[0] = NULL;
    free_all();
    FILE *wanted = fmemopen(expected, sizeof(expected), "w");
    FILE *stream = fmemopen(text, sizeof(text), "w");
    CHECK(large != NULL && wanted != NULL && stream != NULL);
    struct acre_stats stats = stats_now();
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    write_document(wanted, &stats);
    CHECK(fclose(wanted) == 0);
    CHECK(strcmp(text, expected) == 0);
    CHECK(stats.small_blocks != 0 && stats.large_live == 700 * CHECK_MIB);
    free(large);
    free(kept);
    errno = 0;
    CHECK(malloc_info(1, stderr) == -1 && errno == EINVAL);
}

/* ---- mallopt, malloc_trim ---- */

/* The parameters that have a meaning here change options; the others change nothing. */
static void test_mallopt_sets_options(void)
{
    static const int others[] = {M_MXFAST,  M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                                 M_PERTURB, M_ARENA_TEST, M_ARENA_MAX,      12345};
    static const struct {
        int value;
        const char *abort;
    } actions[] = {{0, "0"}, {1, "0"}, {2, "1"}, {3, "1"}, {4, "0"}, {7, "1"}};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        CHECK(mallopt(M_CHECK_ACTION, actions[i].value) == 1);
        check_option("abort", actions[i].abort);
    }
    check_option("dirty_limit", "64M");
    CHECK(mallopt(M_TRIM_THRESHOLD, 3 << 20) == 1);
    check_option("dirty_limit", "3M");
    CHECK(mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TRIM_THRESHOLD, INT_MIN) == 1);
    check_option("dirty_limit", "3M");
    CHECK(mallopt(M_TRIM_THRESHOLD, 0) == 1);
    check_option("dirty_limit", "0");
    CHECK(mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1);
    check_option("dirty_limit", "2147483647");
    set_option("dirty_limit", "64M");
    for (size_t i = 0; i < COUNT_OF(others); i++)
        CHECK(mallopt(others[i], 64) == 1);
    check_option("dirty_limit", "64M");
    check_option("abort", "1");
    check_option("decay", "1000");
    check_option("large_stock", "16M");
    free(hide(malloc(100)));
}

static void test_trim_returns_memory(void)
{
    enum { PAGES_BLOCK = 50000, LIMIT = 24 << 20 };
    malloc_trim(0);
    CHECK(malloc_trim(0) == 0); /* nothing is idle */
    size_t before = resident_bytes();
    allocate_all(PAGES_BLOCK);
    CHECK(resident_bytes() >= before + (size_t)COUNT * PAGES_BLOCK * 9 / 10);
    free_all();
    CHECK(malloc_trim(0) == 1);
    CHECK(malloc_trim(0) == 0);
    CHECK(resident_bytes() < before + LIMIT);
    free(hide(malloc(3 * CHECK_MIB))); /* idle in the LARGE stock */
    CHECK(malloc_trim(hide_size(SIZE_MAX)) == 1 && malloc_trim(0) == 0);
    allocate_all(BLOCK);
    free_all();
}

int main(void)
{
    check_begin();
    free(hide(malloc(1)));
    test_small_blocks_show();
    test_large_blocks_show();
    test_idle_memory_shows();
    test_other_threads_show();
    test_mallinfo_agrees();
    test_malloc_stats();
    test_malloc_info();
    test_mallopt_sets_options();
    test_trim_returns_memory();
    return 0;
}
