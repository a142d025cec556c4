/* Scenarios of one thread. */
#include "check.h"

#include "intercept.h"
#include "plan.h"
#include "scenarios.h"
#include "shadow.h"

#include <acre/acre.h>
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { DECAY = 1000 }; /* ms, the default */

/* Lets idle memory age, by the slow path of a request. */
static void pass_decays(unsigned decays)
{
    while (decays-- != 0) {
        intercept_pass_ms(DECAY + 1);
        shadow_free(shadow_malloc(CHECK_MIB + 1));
        acre_thread_flush();
        shadow_take(70, 40000, 0); /* a slow path: more blocks than a magazine and a window */
    }
}

/* The first block of a process, and a few of each size. */
static void few(void)
{
    for (size_t size = 1; size <= CHECK_MIB; size += size / 3 + 1)
        shadow_malloc(size);
    shadow_calloc(100);
    shadow_aligned(4096, 4096);
    shadow_free_from(0, 2);
}

/* About 192 KiB of blocks of a size, 400 at most. */
static void take_slabs(size_t size, bool zeroed)
{
    size_t count = 192 * CHECK_KIB / size;
    count = count < 400 ? count : 400;
    if (!zeroed)
        shadow_take(count, size, 0);
    for (size_t i = 0, refused = 0; zeroed && i < count && refused < 9; i++)
        refused += shadow_calloc(size) == SHADOW_NONE;
}

/* Slabs of all sizes, full and given back, with dirty memory used again by calloc. */
static void slabs(void)
{
    static const unsigned short sizes[] = {16, 48, 200, 1024, 3000, 9000, 30000};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            take_slabs(sizes[i], round != 0);
        shadow_free_from(round, 2);
        acre_thread_flush();
    }
    shadow_free_from(0, 1);
    for (int i = 0; i < 40; i++)
        shadow_calloc(20000 + 300 * (size_t)i);
}

/* Blocks that are slabs of their own, resized where they are. */
static void own_slabs(void)
{
    int blocks[24];
    for (int i = 0; i < 24; i++)
        blocks[i] = shadow_malloc(40000 + 9000 * (size_t)i);
    for (int i = 0; i < 24; i += 2) {
        shadow_free(blocks[i]);
        shadow_realloc(blocks[i + 1], 400000);
    }
    for (int i = 1; i < 24; i += 2)
        shadow_realloc(blocks[i], 70000 + 20000 * (size_t)i);
    for (int i = 1; i < 24; i += 4)
        shadow_realloc(blocks[i], 100);
    shadow_calloc(900000);
}

/* More than a heap holds: further heaps, huge pages; then empty heaps, closed. */
static void heaps(void)
{
    shadow_take(50, CHECK_MIB - 5000, 0);
    shadow_free_from(0, 3);
    pass_decays(2);
    shadow_take(20, 600000, 0);
    shadow_free_from(0, 1);
    pass_decays(2);
    malloc_trim(0);
    for (int i = 0; i < 10; i++)
        shadow_calloc(CHECK_MIB - 5000);
}

/* Pages of FREE blocks, purged by an arena that grows. */
static void purged_pages(void)
{
    shadow_take(2200, 2500, 0);
    shadow_free_from(0, 2);
    shadow_free_from(1, 8);
    malloc_trim(0);
    for (int i = 0; i < 400; i++)
        shadow_calloc(i % 2 != 0 ? 2500 : 7000);
}

/* Blocks in the place of several smaller ones. */
static void wide(void)
{
    for (int i = 0; i < 4; i++)
        shadow_take(1500, 1000, 1);
    for (int i = 0; i < shadow_limit(); i++)
        if (i % 64 < 48)
            shadow_free(i);
    shadow_take(300, 12000, 20);
    shadow_free_from(0, 3);
    for (int i = 0; i < 100; i++)
        shadow_calloc(12000);
}

static void large(void)
{
    int blocks[12];
    for (int i = 0; i < 12; i++)
        blocks[i] = shadow_malloc((2 + (size_t)i % 5) * CHECK_MIB + 5000);
    for (int i = 0; i < 12; i += 3)
        shadow_free(blocks[i]);
    shadow_calloc(3 * CHECK_MIB);
    shadow_realloc(blocks[1], 9 * CHECK_MIB); /* over what follows, or moved */
    shadow_realloc(blocks[2], 20 * CHECK_MIB);
    shadow_realloc(blocks[2], 21 * CHECK_MIB); /* into its reserve */
    shadow_realloc(blocks[2], 2 * CHECK_MIB);  /* its tail goes into the stock */
    shadow_realloc(blocks[4], 100);
    shadow_aligned(8 * CHECK_MIB, 5 * CHECK_MIB);
    shadow_aligned(64 * CHECK_MIB, 2 * CHECK_MIB);
    shadow_aligned(CHECK_MIB, 100);
    shadow_free_from(0, 2);
    shadow_malloc(40 * CHECK_MIB);
    shadow_calloc(6 * CHECK_MIB);
    shadow_free_from(1, 2);
    shadow_take(6, 12 * CHECK_MIB, 0); /* beyond the bound of the stock */
    shadow_free_from(0, 1);
    pass_decays(2);
    malloc_trim(0);
}

/* LARGE blocks that take the places of two that were freed, so that what was the guard of one lies
 * inside of them; all of their memory is written. */
static void guards(void)
{
    large();
    for (int round = 0; round < 2; round++) {
        shadow_take(4, 2 * CHECK_MIB, 0);
        shadow_free_from(0, 1);
        shadow_take(2, 4 * CHECK_MIB - 4096, 0);
        shadow_write_pages();
        shadow_free_from(0, 1);
    }
}

/* The same with no stock and no delay: each free goes back at once. */
static void at_once(void)
{
    for (int i = 0; i < 3; i++) {
        int block = shadow_malloc(5 * CHECK_MIB);
        shadow_malloc(2 * CHECK_MIB);
        shadow_realloc(block, 9 * CHECK_MIB);
        shadow_realloc(block, 3 * CHECK_MIB);
        shadow_aligned(4 * CHECK_MIB, 2 * CHECK_MIB);
        for (size_t size = 100; size < CHECK_MIB; size *= 3)
            shadow_malloc(size);
        shadow_free_from(i, 2);
    }
}

/* A first half of what can be had, freed and had again, under a limit. */
static void pressure(void)
{
    char text[64] = "";
    struct rlimit limit;
    read_file("/proc/self/statm", text, sizeof(text));
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    shadow_malloc(100);
    limit.rlim_cur = strtoul(text, NULL, 10) * 4096 + 240 * CHECK_MIB;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    shadow_under_limit(true);
    shadow_take(40, CHECK_MIB - 5000, 0);
    shadow_free_from(1, 1);
    shadow_take(5, 12 * CHECK_MIB, 0); /* what heaps have idle goes back for it */
    shadow_free_from(1, 1);
    shadow_take(40, CHECK_MIB - 5000, 0);
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    shadow_under_limit(false);
}

/* Ticks: what has been idle for a decay goes back, at the next slow path. */
static void ticks(void)
{
    shadow_take(60, 60000, 0);
    shadow_take(300, 3000, 0);
    shadow_take(4, 3 * CHECK_MIB, 0);
    shadow_free_from(0, 1);
    pass_decays(4);
    shadow_free_from(0, 1);
    pass_decays(3);
}

/* A mode that takes a stack at each sample. One that gets no memory says so, and requests are as
 * without it. */
static void sampled(void)
{
    few();
    shadow_take(40, 3000, 100);
    shadow_take(3, 2 * CHECK_MIB, 5000);
    shadow_realloc(shadow_malloc(CHECK_MIB + 1), 3 * CHECK_MIB);
    shadow_free_from(1, 2);
    acre_thread_flush();
    shadow_calloc(50000);
}

/* The heap profile, begun again with another interval: its tables are made anew. */
static void profiled(void)
{
    sampled();
    CHECK(acre_option_set("profile", "0") == 0);
    shadow_take(20, 300, 5);
    CHECK(acre_option_set("profile_samples", "500") == 0);
    CHECK(acre_option_set("profile", "16K") == 0);
    sampled();
}

/* ---- statistics ---- */

static char *file_name(char *name, size_t size, const char *suffix)
{
    snprintf(name, size, "%s%s", getenv("ACRE_FAULTS_FILE"), suffix);
    return name;
}

/* A file of statistics is whole, if it is there. */
static void check_file(void)
{
    static char name[256], text[1 << 20];
    file_name(name, sizeof(name), ".json");
    if (access(name, R_OK) != 0)
        return;
    size_t length = read_file(name, text, sizeof(text));
    CHECK(length > 2 && text[0] == '{' && strcmp(text + length - 2, "}\n") == 0);
}

/* The library has a handler for the signal, unless that was refused. */
static void raise_if_handled(int number)
{
    struct sigaction now;
    CHECK(sigaction(number, NULL, &now) == 0);
    CHECK(now.sa_handler != SIG_DFL || intercept_may_fail(0));
    if (now.sa_handler != SIG_DFL)
        CHECK(raise(number) == 0);
}

static void statistics(void)
{
    static char name[256];
    struct acre_stats stats;
    CHECK(acre_option_set("stats_file", file_name(name, sizeof(name), ".json")) == 0 ||
          intercept_may_fail(0));
    for (int i = 0; i < 50; i++)
        shadow_malloc(1000 * (size_t)i);
    raise_if_handled(SIGUSR2);
    pass_decays(1);
    check_file();
    pass_decays(4);
    check_file();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    acre_stats_print(null, ACRE_STATS_TEXT);
    acre_stats_print(null, ACRE_STATS_PROMETHEUS);
    close(null);
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
}

const struct scenario scenarios_alone[] = {
    {"few", NULL, few, false},
    {"slabs", NULL, slabs, false},
    {"own_slabs", NULL, own_slabs, false},
    {"heaps", NULL, heaps, false},
    {"heaps_small_pages", "huge_pages:never", heaps, false},
    {"purged_pages", NULL, purged_pages, false},
    {"wide", NULL, wide, false},
    {"large", NULL, large, false},
    {"large_huge", "huge_pages:always", large, false},
    {"large_guards", "hardened:1", guards, false},
    {"at_once", "decay:0,large_stock:0,dirty_limit:0", at_once, false},
    {"pressure", NULL, pressure, false},
    {"ticks", NULL, ticks, false},
    {"profiled", "profile:4K,profile_samples:60", profiled, false},
    {"traced", "trace:200", sampled, false},
    {"statistics", "stats:exit,stats_seconds:3,stats_signal:12", statistics, false},
    {NULL, NULL, NULL, false},
};

void scenarios_remove_files(const char *directory)
{
    DIR *files = opendir(directory);
    CHECK(files != NULL);
    for (struct dirent *file = readdir(files); file != NULL; file = readdir(files))
        if (file->d_name[0] != '.')
            CHECK(unlinkat(dirfd(files), file->d_name, 0) == 0);
    closedir(files);
    CHECK(rmdir(directory) == 0);
}
