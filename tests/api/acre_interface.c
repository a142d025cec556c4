/*
 * The functions of acre/acre.h: version, good size, statistics and their structure, options, the
 * thread's flush.
 */
#include "check.h"
#include "stats.h"
#include <malloc.h>

static void test_version(void)
{
    CHECK(strcmp(acre_version(), ACRE_VERSION_STRING) == 0);
    char text[64];
    snprintf(text, sizeof(text), "%d.%d.%d", ACRE_VERSION_MAJOR, ACRE_VERSION_MINOR,
             ACRE_VERSION_PATCH);
    CHECK(strcmp(acre_version(), text) == 0);
}

/* Has later blocks of a size come from a slab of its class: the first few need not. */
static void use_class(size_t size)
{
    enum { FEW = 16 };
    for (int i = 0; i < FEW; i++)
        free(hide(malloc(size)));
}

static void test_good_size(void)
{
    for (size_t size = 0; size < 3 * CHECK_MIB; size += 1 + size / 50) {
        void *block = malloc(size);
        CHECK(block != NULL && acre_good_size(size) <= malloc_usable_size(block));
        CHECK(size <= 4096 || acre_good_size(size) == malloc_usable_size(block));
        free(block);
    }
    use_class(100);
    void *block = malloc(100);
    CHECK(acre_good_size(100) == malloc_usable_size(block));
    free(block);
    CHECK(acre_good_size(0) == acre_good_size(1) && acre_good_size(1) >= 1);
    CHECK(acre_good_size(hide_size((size_t)PTRDIFF_MAX + 1)) == 0);
    CHECK(acre_good_size(hide_size(SIZE_MAX)) == 0);
}

/* No more than the caller's idea of the structure is written. */
static void test_stats_of_older_caller(void)
{
    struct acre_stats stats;
    size_t known = offsetof(struct acre_stats, heap_mapped);
    memset(&stats, 0x77, sizeof(stats));
    CHECK(acre_stats(&stats, known) == 0);
    CHECK(stats.arenas >= 1 && stats.arenas < 1000);
    for (size_t i = known; i < sizeof(stats); i++)
        CHECK(((unsigned char *)&stats)[i] == 0x77);
    CHECK(acre_stats(NULL, sizeof(stats)) == EINVAL);
}

/* A caller that was built against a newer header gets zeroes for what this library lacks. */
static void test_stats_of_newer_caller(void)
{
    struct {
        struct acre_stats stats;
        size_t newer;
    } larger;
    memset(&larger, 0, sizeof(larger));
    CHECK(acre_stats(&larger.stats, sizeof(larger)) == 0);
    CHECK(larger.stats.arenas >= 1 && larger.newer == 0);
}

/* The errors; tests/unit has the values. */
static void test_options(void)
{
    char value[64];
    CHECK(acre_option_set("decay", "250") == 0);
    CHECK(acre_option_set("decay", "soon") == EINVAL);
    CHECK(acre_option_set("no_such_option", "1") == ENOENT);
    CHECK(acre_option_get("no_such_option", value, sizeof(value)) == ENOENT);
    CHECK(acre_option_get("decay", value, 2) == ERANGE);
    CHECK(acre_option_set(NULL, "1") == EINVAL && acre_option_set("decay", NULL) == EINVAL);
    CHECK(acre_option_set(NULL, NULL) == EINVAL && acre_option_set("none", NULL) == EINVAL);
    CHECK(acre_option_get(NULL, value, sizeof(value)) == EINVAL);
    CHECK(acre_option_get("decay", NULL, 2) == EINVAL);
    CHECK(acre_option_get("decay", NULL, 0) == ERANGE);
    CHECK(acre_option_get("decay", value, sizeof(value)) == 0 && strcmp(value, "250") == 0);
    CHECK(acre_options_parse("decay:111, large_stock:2m", "a test") == 0);
    CHECK(acre_options_parse("decay:112,decay=113", "a test, wanted") == EINVAL);
    CHECK(acre_options_parse(NULL, "a test") == EINVAL);
    CHECK(acre_options_parse("decay:114", NULL) == EINVAL);
    CHECK(acre_option_get("decay", value, sizeof(value)) == 0 && strcmp(value, "112") == 0);
    CHECK(acre_option_get("large_stock", value, sizeof(value)) == 0 && strcmp(value, "2M") == 0);
}

static void test_limit(void)
{
    size_t held = 0;
    CHECK(acre_limit(NULL) == 0 && acre_limit(&held) == 0 && held != 0);
    void *block = malloc(20 * CHECK_MIB);
    CHECK(block != NULL && acre_limit(&held) == 0 && held >= 20 * CHECK_MIB);
    CHECK(acre_option_set("limit", "40M") == 0 && acre_limit(NULL) == 40 * CHECK_MIB);
    errno = 0;
    CHECK(hide(malloc(25 * CHECK_MIB)) == NULL && errno == ENOMEM);
    free(block);
    block = malloc(25 * CHECK_MIB);
    CHECK(block != NULL && acre_limit(&held) == 40 * CHECK_MIB && held <= 40 * CHECK_MIB);
    free(block);
    CHECK(acre_options_parse("limit:0", "a test") == 0 && acre_limit(NULL) == 0);
}

/* A cache that is given up when use crosses a share of the limit: no request is refused. */
enum { CACHE_ENTRY = 100000 };

static void *cache[1000];
static size_t cached, given_up;

static void give_up_cache(size_t held, size_t bytes)
{
    CHECK(bytes == 64 * CHECK_MIB && held >= bytes / 2 && held <= bytes);
    given_up++;
    while (cached != 0)
        free(cache[--cached]);
}

static void test_limit_callback(void)
{
    CHECK(acre_set_limit_callback(give_up_cache, 0) == EINVAL);
    CHECK(acre_set_limit_callback(give_up_cache, 101) == EINVAL);
    CHECK(acre_set_limit_callback(NULL, 0) == 0);
    CHECK(acre_option_set("limit", "64M") == 0);
    CHECK(acre_set_limit_callback(give_up_cache, 75) == 0);
    for (size_t i = 0; i < 5000; i++) {
        void *entry = malloc(CACHE_ENTRY); /* may give up the cache */
        CHECK(entry != NULL);
        memset(entry, 1, CACHE_ENTRY);
        cache[cached++] = entry;
    }
    CHECK(given_up >= 12 && given_up <= 15);
    give_up_cache(32 * CHECK_MIB, 64 * CHECK_MIB);
    CHECK(acre_set_limit_callback(NULL, 0) == 0 && acre_option_set("limit", "0") == 0);
}

/* Without it, blocks in the magazine and an empty current slab stay. */
static void test_flush_leaves_nothing(void)
{
    enum { COUNT = 50, SIZE = 777 }; /* of a class that nothing else here uses */
    void *blocks[COUNT];
    struct acre_stats stats;
    size_t class = 0;
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = malloc(SIZE);
    stats = stats_now();
    while (stats.classes[class].block_size < SIZE)
        class ++;
    CHECK(stats.classes[class].live_blocks >= COUNT - 16); /* the first few lie in another */
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
    stats = stats_now();
    CHECK(stats.classes[class].live_blocks == 0 && stats.classes[class].slabs == 1);
    acre_thread_flush();
    stats = stats_now();
    CHECK(stats.classes[class].slabs == 0);
}

/* What a walk is to find: each of these blocks once. */
struct walked {
    char **blocks;
    size_t *sizes, *found;
    size_t count;
    enum acre_block_state state;
    size_t stop_after; /* callbacks; 0: never */
};

static int note_block(void *context, const struct acre_block *block)
{
    struct walked *walked = context;
    free(malloc(100)); /* may be called here */
    for (size_t i = 0; i < walked->count; i++) {
        if (walked->blocks[i] != block->address)
            continue;
        CHECK(block->size >= walked->sizes[i] && block->state == walked->state);
        CHECK((block->block_class == 0) == (walked->sizes[i] > CHECK_MIB));
        CHECK((block->arena == 0) == (block->block_class == 0));
        walked->found[i]++;
    }
    return walked->stop_after != 0 && --walked->stop_after == 0 ? 7 : 0;
}

static void test_heap_walk(void)
{
    enum { COUNT = 300 };
    static char *blocks[COUNT];
    static size_t sizes[COUNT], found[COUNT];
    struct walked walked = {blocks, sizes, found, COUNT, ACRE_BLOCK_LIVE, 0};
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 50 == 49 ? 2 * CHECK_MIB : 1 + i * 311;
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL);
    }
    CHECK(acre_heap_walk(note_block, &walked) == 0);
    for (size_t i = 0; i < COUNT; i++)
        CHECK(found[i] == 1);
    walked.stop_after = 5;
    CHECK(acre_heap_walk(note_block, &walked) == 7 && walked.stop_after == 0);
    for (size_t i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static void test_print(void)
{
    char text[16384];
    int ends[2];
    CHECK(pipe(ends) == 0);
    acre_stats_print(ends[1], ACRE_STATS_TEXT);
    close(ends[1]);
    CHECK(read_all(ends[0], text, sizeof(text)) > 0);
    CHECK(strstr(text, "arenas") != NULL && strstr(text, "heaps") != NULL);
    CHECK(strpbrk(text, "123456789") != NULL);
}

static void test_check(void)
{
    char text[512];
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(acre_check(ends[1]) == 0 && acre_check(-1) == 0);
    close(ends[1]);
    CHECK(read_all(ends[0], text, sizeof(text)) == 0);
}

int main(void)
{
    check_begin();
    free(hide(malloc(1)));
    test_version();
    test_good_size();
    test_stats_of_older_caller();
    test_stats_of_newer_caller();
    test_flush_leaves_nothing();
    test_heap_walk();
    test_print();
    test_options();
    test_check();
    test_limit();
    test_limit_callback();
    return 0;
}
