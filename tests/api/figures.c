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
    BLOCK = 1000, /* bytes; a TINY block */
    TEXT = 65536, /* characters of a table */
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
    enum {
        BLOCK_HAS = 1024, /* bytes: the size class of BLOCK */
        FEW = 16
    }; /* its first blocks have the places of several others */
    for (int i = 0; i < FEW; i++)
        free(hide(malloc(BLOCK)));
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

/* What malloc_stats prints to standard error. */
static void capture_stats(char text[TEXT])
{
    int ends[2], saved = dup(STDERR_FILENO);
    CHECK(pipe(ends) == 0);
    CHECK(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    malloc_stats();
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    read_all(ends[0], text, TEXT);
}

/* Bytes as the table of malloc_stats shows them: to a tenth of the largest unit that they fill. */
static void print_bytes(char *text, size_t size, size_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0, grain = 1;
    for (; bytes / grain >= 1024; grain *= 1024)
        unit++;
    size_t tenths = (bytes * 10 + grain / 2) / grain;
    CHECK(tenths < 10240 && unit < COUNT_OF(units));
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
    snprintf(line, sizeof(line), "\n  %10s %9zu %12zu ", size, class->slabs, class->blocks);
    const char *row = strstr(table, line);
    CHECK((row != NULL) == (class->slabs != 0));
    if (row == NULL)
        return;
    /* a block in several places is one in the table and counts as those in the structure */
    char *end;
    size_t blocks = strtoul(row + strlen(line), &end, 10);
    print_bytes(live, sizeof(live), class->live_blocks * class->block_size);
    snprintf(line, sizeof(line), " %12s ", live);
    CHECK(strncmp(end, line, strlen(line)) == 0);
    CHECK(blocks <= class->live_blocks && (blocks != 0) == (class->live_blocks != 0));
}

static void test_malloc_stats_shows_all(void)
{
    allocate_all(BLOCK);
    void *large = malloc(300 * CHECK_MIB), *units = malloc(CHECK_MIB);
    CHECK(large != NULL && units != NULL);
    free(units);
    free(hide(malloc(3 * CHECK_MIB)));
    static char table[TEXT];
    /* where libc's functions allocate, their classes then have slabs of their own */
    for (int i = 0; i < 20; i++)
        capture_stats(table);
    struct acre_stats stats = stats_now();
    capture_stats(table);
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

/* ---- malloc_info ---- */

static void write_sums(FILE *stream, const struct acre_stats *stats)
{
    fprintf(stream, "<total type=\"fast\" count=\"0\" size=\"0\"/>\n");
    fprintf(stream, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", free_blocks_of(stats),
            stats->heap_in_slabs + stats->heap_free_dirty - stats->small_live);
}

/* `peak` is that of slabs. */
static void write_space(FILE *stream, const struct acre_stats *stats, size_t peak)
{
    size_t heap_bytes = stats->heap_in_slabs + stats->heap_free_dirty;
    fprintf(stream, "<system type=\"current\" size=\"%zu\"/>\n", heap_bytes);
    fprintf(stream, "<system type=\"max\" size=\"%zu\"/>\n", peak > heap_bytes ? peak : heap_bytes);
    fprintf(stream, "<aspace type=\"total\" size=\"%zu\"/>\n", stats->heap_mapped);
    fprintf(stream, "<aspace type=\"mprotect\" size=\"%zu\"/>\n", heap_bytes);
}

/* The peak that a document gives. */
static size_t peak_in(const char *text)
{
    const char *element = strstr(text, "<system type=\"max\" size=\"");
    CHECK(element != NULL);
    return strtoul(element + strlen("<system type=\"max\" size=\""), NULL, 10);
}

/* Writes the document that malloc_info must give: glibc's, and an element for each class that has
 * free blocks. */
static void write_document(FILE *stream, const struct acre_stats *stats, size_t peak)
{
    size_t smallest = 1;
    fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    for (size_t i = 0; i < stats->class_count; i++) {
        const struct acre_class_stats *class = &stats->classes[i];
        size_t unused = class->blocks - class->live_blocks;
        if (unused != 0)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
                    smallest, class->block_size, unused * class->block_size, unused);
        smallest = class->block_size + 1;
    }
    fprintf(stream, "</sizes>\n");
    write_sums(stream, stats);
    write_space(stream, stats, peak);
    fprintf(stream, "</heap>\n");
    write_sums(stream, stats);
    fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", stats->large_blocks,
            stats->large_live);
    write_space(stream, stats, peak);
    fprintf(stream, "</malloc>\n");
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
    CHECK(peak_in(text) >= stats.heap_in_slabs);
    write_document(wanted, &stats, peak_in(text));
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
        const char *action;
    } actions[] = {{0, "ignore"}, {1, "report"}, {2, "abort"},
                   {3, "abort"},  {4, "ignore"}, {7, "abort"}};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        CHECK(mallopt(M_CHECK_ACTION, actions[i].value) == 1);
        check_option("on_error", actions[i].action);
        check_option("foreign", actions[i].action);
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
    check_option("on_error", "abort");
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
    test_mallinfo_agrees();
    test_malloc_stats_shows_all();
    test_malloc_info();
    test_mallopt_sets_options();
    test_trim_returns_memory();
    return 0;
}
