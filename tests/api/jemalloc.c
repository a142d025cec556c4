/*
 * The library libacre-jemalloc: each call, on blocks of all kinds, and each name of mallctl, by its
 * name and by its mib.
 */
#include "check.h"

#include <acre/acre.h>
#include <jemalloc/jemalloc.h>
#include <malloc.h>

static const size_t sizes[] = {1, 16, 17, 100, 1000, 5000, 40000, 300000, 1100000, 5000000};

/* ---- blocks ---- */

static bool is_good(const void *p, size_t size, size_t alignment)
{
    return p != NULL && is_aligned(p, alignment) && sallocx(p, 0) >= size;
}

/* Leaves the next block of a size with other bytes than 0. */
static void leave_dirt(size_t size)
{
    void *blocks[64];
    size_t count = size < CHECK_MIB ? COUNT_OF(blocks) : 2;
    for (size_t i = 0; i < count; i++)
        blocks[i] = memset(mallocx(size, 0), 0xdd, size);
    for (size_t i = 0; i < count; i++)
        dallocx(hide(blocks[i]), 0);
}

static void test_mallocx(void)
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int exponent = 0; exponent <= 16; exponent++) {
            size_t size = sizes[i], alignment = (size_t)1 << exponent;
            CHECK(MALLOCX_ALIGN(alignment) == MALLOCX_LG_ALIGN(exponent));
            void *plain = mallocx(size, MALLOCX_ALIGN(alignment) | MALLOCX_TCACHE_NONE);
            CHECK(is_good(plain, size, alignment));
            CHECK(nallocx(size, MALLOCX_ALIGN(alignment)) >= size);
            CHECK(nallocx(size, MALLOCX_ALIGN(alignment)) <= sallocx(plain, 0));
            fill(plain, size, 1);
            leave_dirt(size);
            unsigned char *zero = mallocx(size, MALLOCX_LG_ALIGN(exponent) | MALLOCX_ZERO);
            CHECK(is_good(zero, size, alignment) && is_zero(zero, size));
            CHECK(is_filled(plain, size, 1));
            sdallocx(plain, size, MALLOCX_ALIGN(alignment));
            dallocx(zero, MALLOCX_ARENA(3) | MALLOCX_TCACHE(5));
        }
    CHECK(mallocx(hide_size((size_t)1 << 60), 0) == NULL);
    CHECK(mallocx(hide_size((size_t)1 << 60), MALLOCX_ALIGN(4096)) == NULL);
    CHECK(nallocx(SIZE_MAX, 0) == 0);
}

/* From each size to each other: contents are kept, and what is new is zero if that is asked for. */
static void resize(size_t from, size_t to, int flags, size_t alignment)
{
    unsigned char *p = mallocx(from, flags);
    CHECK(is_good(p, from, alignment));
    size_t usable = sallocx(p, 0);
    fill(p, usable, 5);
    leave_dirt(to);
    p = rallocx(p, to, flags);
    CHECK(is_good(p, to, alignment));
    size_t kept = to < usable ? to : usable;
    CHECK(is_filled(p, kept, 5));
    if (flags & MALLOCX_ZERO && to > usable)
        CHECK(is_zero(p + usable, sallocx(p, 0) - usable));
    dallocx(p, flags);
}

static void test_rallocx(void)
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t j = 0; j < COUNT_OF(sizes); j++)
            for (int exponent = 0; exponent <= 12; exponent += 6) {
                size_t alignment = (size_t)1 << exponent;
                resize(sizes[i], sizes[j], MALLOCX_ALIGN(alignment), alignment);
                resize(sizes[i], sizes[j], MALLOCX_ALIGN(alignment) | MALLOCX_ZERO, alignment);
            }
    void *p = mallocx(100, 0);
    fill(p, 100, 9);
    CHECK(rallocx(p, hide_size((size_t)1 << 60), 0) == NULL);
    CHECK(rallocx(p, hide_size((size_t)1 << 60), MALLOCX_ALIGN(64)) == NULL);
    CHECK(is_filled(p, 100, 9));
    /* to an alignment that it did not have; two at once: one may be aligned by luck */
    void *other = mallocx(100, 0);
    CHECK(is_good(p = rallocx(p, 100, MALLOCX_ALIGN(4096)), 100, 4096) && is_filled(p, 100, 9));
    CHECK(is_good(other = rallocx(other, 100, MALLOCX_ALIGN(4096)), 100, 4096));
    CHECK((p = rallocx(p, 0, 0)) != NULL);
    dallocx(p, 0);
    dallocx(other, 0);
}

static void test_xallocx(void)
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        void *p = mallocx(sizes[i], 0);
        size_t usable = sallocx(p, 0);
        fill(p, usable, 2);
        CHECK(xallocx(p, usable, 0, 0) == usable);
        CHECK(xallocx(p, usable * 4, 0, 0) == malloc_usable_size(p));
        CHECK(xallocx(p, sizes[i], usable, 0) >= sizes[i]);
        CHECK(is_filled(p, usable, 2));
        sdallocx(p, sizes[i], 0);
    }
}

/* The block is acre's: it is counted. */
static void test_is_acres(void)
{
    struct acre_stats before, after;
    CHECK(acre_stats(&before, sizeof(before)) == 0);
    void *p = mallocx(3 << 20, 0);
    CHECK(acre_stats(&after, sizeof(after)) == 0);
    CHECK(after.large_live >= before.large_live + (3 << 20));
    je_dallocx(p, 0);
    je_free(je_malloc(1));
}

/* ---- mallctl ---- */

static size_t get_size(const char *name)
{
    size_t value = 0, length = sizeof(value);
    CHECK(mallctl(name, &value, &length, NULL, 0) == 0 && length == sizeof(value));
    size_t mib[3], words = COUNT_OF(mib), same = 0;
    CHECK(mallctlnametomib(name, mib, &words) == 0 && words >= 1 && words <= 3);
    CHECK(mallctlbymib(mib, words, &same, &length, NULL, 0) == 0 && same == value);
    CHECK(mallctl(name, NULL, NULL, &value, sizeof(value)) == EPERM);
    return value;
}

static uint64_t next_epoch(void)
{
    uint64_t epoch = 1;
    size_t length = sizeof(epoch);
    CHECK(mallctl("epoch", &epoch, &length, &epoch, length) == 0);
    return epoch;
}

static void test_figures(void)
{
    uint64_t epoch = next_epoch();
    size_t allocated = get_size("stats.allocated");
    void *p = memset(mallocx(3 << 20, 0), 1, 3 << 20);
    CHECK(get_size("stats.allocated") == allocated);
    CHECK(next_epoch() == epoch + 1);
    CHECK(get_size("stats.allocated") >= allocated + (3 << 20));
    CHECK(get_size("stats.allocated") < allocated + (4 << 20));
    CHECK(get_size("stats.active") >= get_size("stats.allocated"));
    CHECK(get_size("stats.mapped") >= get_size("stats.active"));
    CHECK(get_size("stats.metadata") > 0);
    CHECK(get_size("stats.resident") >= get_size("stats.mapped") + get_size("stats.metadata"));
    CHECK(get_size("stats.resident") < mapped_bytes());
    CHECK(get_size("stats.retained") > 0 && get_size("stats.retained") < (size_t)1 << 40);
    dallocx(p, 0);
    next_epoch();
    CHECK(get_size("stats.allocated") == allocated);
    CHECK(get_size("arenas.page") == (size_t)sysconf(_SC_PAGESIZE));
    CHECK(get_size("arenas.quantum") == 16);
}

static void test_purge(void)
{
    /* as redis does it */
    char name[32];
    unsigned arenas = 0;
    size_t length = sizeof(arenas);
    CHECK(mallctl("arenas.narenas", &arenas, &length, NULL, 0) == 0 && arenas >= 1);
    snprintf(name, sizeof(name), "arena.%u.purge", arenas);
    dallocx(memset(mallocx(8 << 20, 0), 1, 8 << 20), 0);
    next_epoch();
    CHECK(get_size("stats.mapped") >= get_size("stats.active") + (8 << 20));
    CHECK(mallctl(name, NULL, NULL, NULL, 0) == 0);
    next_epoch();
    CHECK(get_size("stats.mapped") < get_size("stats.active") + (8 << 20));

    /* by the mib of another arena's */
    size_t mib[3], words = COUNT_OF(mib);
    CHECK(mallctlnametomib("arena.0.purge", mib, &words) == 0 && words == 3 && mib[1] == 0);
    mib[1] = MALLCTL_ARENAS_ALL;
    dallocx(memset(mallocx(8 << 20, 0), 1, 8 << 20), 0);
    CHECK(mallctlbymib(mib, words, NULL, NULL, NULL, 0) == 0);
    next_epoch();
    CHECK(get_size("stats.mapped") < get_size("stats.active") + (8 << 20));
    CHECK(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
    CHECK(mallctl("thread.tcache.flush", &arenas, &length, NULL, 0) == EPERM);
}

static void check_option(const char *key, const char *value)
{
    char text[32];
    CHECK(acre_option_get(key, text, sizeof(text)) == 0 && strcmp(text, value) == 0);
}

static void test_options(void)
{
    ssize_t decay = 0, new_decay = 250;
    size_t length = sizeof(decay);
    CHECK(mallctl("arenas.dirty_decay_ms", &decay, &length, &new_decay, sizeof(new_decay)) == 0);
    CHECK(decay == 1000);
    check_option("decay", "250");
    CHECK(mallctl("arena.2.muzzy_decay_ms", &decay, &length, NULL, 0) == 0 && decay == 250);
    new_decay = -1;
    CHECK(mallctl("arena.0.dirty_decay_ms", NULL, NULL, &new_decay, sizeof(new_decay)) == 0);
    check_option("decay", "3600000");
    new_decay = -2;
    CHECK(mallctl("arenas.muzzy_decay_ms", NULL, NULL, &new_decay, sizeof(new_decay)) == EFAULT);
    check_option("decay", "3600000");
    new_decay = 1000;
    CHECK(mallctl("arenas.muzzy_decay_ms", NULL, NULL, &new_decay, sizeof(new_decay)) == 0);
    CHECK(mallctl("opt.dirty_decay_ms", NULL, NULL, &new_decay, sizeof(new_decay)) == EPERM);

    bool was = true, on = true;
    length = sizeof(was);
    CHECK(mallctl("background_thread", &was, &length, &on, sizeof(on)) == 0 && !was);
    check_option("background_thread", "1");
    CHECK(mallctl("background_thread", &was, &length, NULL, 0) == 0 && was);
    on = false;
    CHECK(mallctl("background_thread", NULL, NULL, &on, sizeof(on)) == 0);
    CHECK(mallctl("config.prof", &was, &length, NULL, 0) == 0 && !was);
    CHECK(mallctl("config.stats", &was, &length, NULL, 0) == 0 && was);
}

static void test_names(void)
{
    const char *version = NULL;
    size_t length = sizeof(version);
    CHECK(mallctl("version", &version, &length, NULL, 0) == 0);
    CHECK(strncmp(version, JEMALLOC_VERSION, strlen(JEMALLOC_VERSION)) == 0);
    CHECK(strstr(version, ACRE_VERSION_STRING) != NULL);

    static const char *const wrong[] = {
        "",           "stats",           "stats.",        "stats.allocated.x", "stats.allocate",
        "epoch.",     "arena.x.purge",   "arena.*.purge", "arena..purge",      "arena.1purge",
        "arena.1",    "arena.1.purge.1", "arenas.0",      "prof.dump",         "*",
        "background", "thread.tcache",   ".epoch",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        size_t mib[3] = {7, 7, 7}, words = COUNT_OF(mib);
        CHECK(mallctl(wrong[i], NULL, NULL, NULL, 0) == ENOENT);
        CHECK(mallctlnametomib(wrong[i], mib, &words) == ENOENT && mib[0] == 7 && words == 3);
    }
    size_t mib[3], words = 1;
    CHECK(mallctlnametomib("stats.active", mib, &words) == EINVAL && words == 1);
    words = 3;
    CHECK(mallctlnametomib("stats.active", mib, &words) == 0 && words == 2);
    CHECK(mallctlbymib(mib, 0, NULL, NULL, NULL, 0) == ENOENT);
    CHECK(mallctlbymib(mib, 1, NULL, NULL, NULL, 0) == ENOENT);
    mib[0] = 1000;
    CHECK(mallctlbymib(mib, 2, NULL, NULL, NULL, 0) == ENOENT);

    /* a value of another length: as much as fits, and EINVAL */
    uint32_t half = 0;
    length = sizeof(half);
    CHECK(mallctl("arenas.page", &half, &length, NULL, 0) == EINVAL && length == sizeof(half));
    CHECK(half == (uint32_t)sysconf(_SC_PAGESIZE));
    size_t two[2] = {0, 0};
    length = sizeof(two);
    CHECK(mallctl("arenas.page", two, &length, NULL, 0) == EINVAL && length == sizeof(two[0]));
    CHECK(mallctl("epoch", NULL, NULL, &half, sizeof(half)) == EINVAL);
    CHECK(mallctl("epoch", NULL, NULL, NULL, 8) == EINVAL);
}

/* ---- malloc_stats_print ---- */

struct text {
    char bytes[100000];
    size_t length;
};

static void append(void *context, const char *bytes)
{
    struct text *text = context;
    size_t length = strlen(bytes);
    CHECK(text->length + length < sizeof(text->bytes));
    memcpy(text->bytes + text->length, bytes, length + 1);
    text->length += length;
}

static void test_stats_print(void)
{
    static struct text table, json;
    malloc_stats_print(append, &table, NULL);
    CHECK(strstr(table.bytes, "live TINY and SMALL") != NULL);
    CHECK(table.bytes[table.length - 1] == '\n');
    malloc_stats_print(append, &json, "J");
    CHECK(json.bytes[0] == '{' && strstr(json.bytes, "\"arenas\"") != NULL);
    CHECK(strchr(json.bytes, '}') != NULL);

    int ends[2], saved = dup(STDERR_FILENO);
    CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    malloc_stats_print(NULL, NULL, "J");
    CHECK(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    static char text[100000];
    CHECK(read_all(ends[0], text, sizeof(text)) > 0 && text[0] == '{');
}

/* ---- forks and threads ---- */

static void *ask_for_ever(void *argument)
{
    (void)argument;
    for (;;)
        next_epoch();
    return NULL;
}

static void ask(void)
{
    next_epoch();
    dallocx(rallocx(mallocx(100, MALLOCX_ZERO), 1000, 0), 0);
}

/* A child is not held up by what a thread that it does not have was counting. */
static void test_forks(void)
{
    start_thread(ask_for_ever, NULL);
    start_thread(ask_for_ever, NULL);
    for (int i = 0; i < 200; i++)
        in_child(ask);
}

int main(void)
{
    check_begin();
    check_is_acre("mallctl");
    test_mallocx();
    test_rallocx();
    test_xallocx();
    test_is_acres();
    test_figures();
    test_purge();
    test_options();
    test_names();
    test_stats_print();
    test_forks();
    return 0;
}
