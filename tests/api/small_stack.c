/*
 * Threads with the smallest stack that pthreads allow: every path of the library fits, the one that
 * reports a misuse included. A stack that is too small ends in a fault at its guard page; how deep
 * the calls went is printed.
 */
#include "check.h"
#include <acre/acre.h>
#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>

enum {
    SMALLEST = 16384, /* bytes: PTHREAD_STACK_MIN where that is a constant */
    PAINT = 0xa5,     /* what the stack is full of before */
    BLOCKS = 100,
};

static void use_all(void)
{
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(i * i * 300);
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = realloc(blocks[i], 1 + i * 40000);
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    for (size_t i = 0; i < BLOCKS; i += 2) {
        blocks[i] = i % 4 == 0 ? calloc(i + 1, 1000) : aligned_alloc(4096, 1 + i * 30000);
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

/* Each kind of misuse, reported to a descriptor that nobody reads. */
static void misuse(void)
{
    char *tiny = malloc(100), *large = malloc(3000000);
    CHECK(tiny != NULL && large != NULL);
    free(hide(tiny + 1));
    free(hide(tiny + 16));
    free(hide(large + 4096));
    free(hide(&tiny));
    CHECK(malloc_usable_size(hide(tiny + 16)) == 0);
    CHECK(realloc(hide(tiny + 16), 10) == NULL);
    free(tiny);
    free(large);
    free(hide(tiny));
    free(hide(large));
}

static void print_text(void)
{
    acre_stats_print(STDERR_FILENO, ACRE_STATS_TEXT);
}

static void print_json(void)
{
    acre_stats_print(STDERR_FILENO, ACRE_STATS_JSON);
}

static void print_prometheus(void)
{
    acre_stats_print(STDERR_FILENO, ACRE_STATS_PROMETHEUS);
}

static void print_info(void)
{
    CHECK(malloc_info(0, stderr) == 0);
}

static void ask_stats(void)
{
    static struct acre_stats stats;
    CHECK(acre_stats(&stats, sizeof(stats)) == 0 && stats.arenas >= 1);
}

static void ask_mallinfo(void)
{
    CHECK(mallinfo2().arena != 0);
}

static int look(void *count, const struct acre_block *block)
{
    *(size_t *)count += block->size != 0;
    return 0;
}

static void walk_and_check(void)
{
    size_t count = 0;
    CHECK(acre_heap_walk(look, &count) == 0 && count != 0);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static void give_back(void)
{
    acre_options_print(STDERR_FILENO);
    acre_thread_flush();
    malloc_trim(0);
}

static void use_and_trim(void)
{
    use_all();
    malloc_trim(0);
}

/* A child forked from such a thread repairs what it inherits on it. */
static void fork_there(void)
{
    in_child(use_and_trim);
}

static void *run(void *work)
{
    (*(void (**)(void))work)();
    return NULL;
}

/* Bytes at the lower end of the stack that are still as they were painted. */
static size_t untouched(const unsigned char *stack, size_t size)
{
    size_t bytes = 0;
    while (bytes < size && stack[bytes] == PAINT)
        bytes++;
    return bytes;
}

static void run_on_smallest(const char *name, void (*work)(void))
{
    pthread_attr_t attributes;
    pthread_t thread;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (size < SMALLEST)
        size = SMALLEST;
    char *area = mmap(NULL, page + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    unsigned char *stack = (unsigned char *)area + page;
    CHECK(mprotect(stack, size, PROT_READ | PROT_WRITE) == 0);
    memset(stack, PAINT, size);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stack, size) == 0);
    CHECK(pthread_create(&thread, &attributes, run, &work) == 0);
    join(thread);
    size_t left = untouched(stack, size);
    printf("%s: %zu of %zu bytes of stack left\n", name, left, size);
    CHECK(left > 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    CHECK(munmap(area, page + size) == 0);
}

static void nothing(void)
{
}

int main(void)
{
    check_begin();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), saved = dup(STDERR_FILENO);
    CHECK(null >= 0 && saved >= 0);
    run_on_smallest("nothing", nothing);
    run_on_smallest("allocation", use_all);
    run_on_smallest("fork", fork_there);
    CHECK(acre_options_parse("on_error:report,foreign:report", "test") == 0);
    CHECK(dup2(null, STDERR_FILENO) >= 0);
    run_on_smallest("misuse", misuse);
    run_on_smallest("a table", print_text);
    run_on_smallest("JSON", print_json);
    run_on_smallest("Prometheus's format", print_prometheus);
    run_on_smallest("malloc_info", print_info);
    run_on_smallest("acre_stats", ask_stats);
    run_on_smallest("mallinfo2", ask_mallinfo);
    run_on_smallest("walk and check", walk_and_check);
    run_on_smallest("options and trim", give_back);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    return 0;
}
