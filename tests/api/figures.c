/*
 * mallinfo, mallinfo2, malloc_stats, mallopt and malloc_trim: known amounts are allocated and
 * freed, the figures change by these amounts, and each figure is that of acre_stats.
 */
#include "check.h"
#include "acre_calls.h"
#include <limits.h>
#include <malloc.h>

enum {
    COUNT = 2000,
    BLOCK = 1000,  /* bytes; a TINY block */
    SLACK = 65536, /* bytes that the C library itself may hold meanwhile */
};

static void *blocks[COUNT];

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
    void *block = NULL;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate_in_thread, (void *)(uintptr_t)900000) == 0);
    CHECK(pthread_join(thread, &block) == 0);
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

/* What malloc_stats prints to standard error, in a buffer that the next call overwrites. */
static const char *captured_stats(void)
{
    static char text[65536];
    int ends[2];
    CHECK(pipe(ends) == 0);
    int saved = dup(STDERR_FILENO);
    CHECK(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    malloc_stats();
    fflush(stderr);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    size_t used = 0;
    ssize_t got;
    while ((got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    close(ends[0]);
    text[used] = '\0';
    return text;
}

/* Bytes as the table of malloc_stats shows them: to a tenth of the largest unit that they fill. */
static void print_bytes(char *text, size_t size, size_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0, grain = 1;
    for (; bytes / grain >= 1024; grain *= 1024)
        unit++;
    size_t tenths = (bytes * 10 + grain / 2) / grain;
    CHECK(tenths < 10240 && unit < sizeof(units) / sizeof(units[0]));
    if (tenths % 10 == 0)
        snprintf(text, size, "%zu %s", tenths / 10, units[unit]);
    else
        snprintf(text, size, "%zu.%zu %s", tenths / 10, tenths % 10, units[unit]);
}

/* Finds a line of the table: a name, a count if there is one (NONE), bytes if there are any (NONE).
 */
#define NONE SIZE_MAX

static void check_row(const char *table, const char *name, size_t count, size_t bytes)
{
    char number[32] = "", size[32] = "", line[128];
    if (count != NONE)
        snprintf(number, sizeof(number), "%zu", count);
    if (bytes != NONE)
        print_bytes(size, sizeof(size), bytes);
    if (bytes == NONE)
        snprintf(line, sizeof(line), "\n  %-22s %12s\n", name, number);
    else
        snprintf(line, sizeof(line), "\n  %-22s %12s %12s\n", name, number, size);
    if (strstr(table, line) == NULL)
        fprintf(stderr, "not in the table: %s%s", line, table);
    CHECK(strstr(table, line) != NULL);
}

static void check_class_row(const char *table, const struct acre_class_stats *class)
{
    char size[32], live[32], line[128];
    print_bytes(size, sizeof(size), class->block_size);
    print_bytes(live, sizeof(live), class->live_blocks * class->block_size);
    snprintf(line, sizeof(line), "\n  %10s %9zu %12zu %12zu %12s ", size, class->slabs,
             class->blocks, class->live_blocks, live);
    CHECK((strstr(table, line) != NULL) == (class->slabs != 0));
}

static void test_malloc_stats_shows_all(void)
{
    allocate_all(BLOCK);
    void *large = malloc(300 * CHECK_MIB), *units = malloc(CHECK_MIB);
    CHECK(large != NULL && units != NULL);
    free(units);
    free(hide(malloc(3 * CHECK_MIB)));
    struct acre_stats stats = stats_now();
    const char *table = captured_stats();
    CHECK(stats.small_blocks >= COUNT && stats.large_blocks >= 1 && stats.large_stock != 0);
    check_row(table, "live TINY and SMALL", stats.small_blocks, stats.small_live);
    check_row(table, "live LARGE", stats.large_blocks, stats.large_live);
    check_row(table, "arenas, metadata", stats.arenas, stats.metadata);
    check_row(table, "heaps, mapped", stats.heaps, stats.heap_mapped);
    check_row(table, "arenas without thread", stats.arenas_pooled, NONE);
    check_row(table, "in slabs", NONE, stats.heap_in_slabs);
    check_row(table, "free units, dirty", NONE, stats.heap_free_dirty);
    check_row(table, "LARGE stock", NONE, stats.large_stock);
    CHECK(strstr(table, "\n  resident (process) ") != NULL);
    for (size_t class = 0; class < stats.class_count; class ++)
        check_class_row(table, &stats.classes[class]);
    free(large);
    free_all();
}

/* The parameters that have a meaning here change options; the others change nothing. */
static void test_mallopt_sets_options(void)
{
    static const int others[] = {M_MXFAST,  M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                                 M_PERTURB, M_ARENA_TEST, M_ARENA_MAX,      12345};
    static const struct {
        int value;
        const char *abort;
    } actions[] = {{0, "0"}, {1, "0"}, {2, "1"}, {3, "1"}, {4, "0"}, {7, "1"}};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
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
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
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
    test_malloc_stats_shows_all();
    test_mallopt_sets_options();
    test_trim_returns_memory();
    return 0;
}
