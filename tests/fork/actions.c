/* What scenarios are made of: see actions.h. */
#include "check.h"

#include "actions.h"
#include "child.h"
#include "crew.h"
#include "ledger.h"
#include "step.h"

#include <malloc.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <time.h>

char *blocks[ACTIONS_BLOCKS];
size_t block_count;

/* ---- prepared calls ---- */

void hold(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(block_count < ACTIONS_BLOCKS);
        blocks[block_count] = malloc(size);
        ledger_add(blocks[block_count++], size);
    }
}

void drop(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        ledger_remove(blocks[i]);
        free(blocks[i]);
    }
}

/* ---- stepped calls ---- */

char *stepped_malloc(size_t size)
{
    ledger_begin_call(NULL);
    step_begin();
    char *block = malloc(size);
    step_end();
    ledger_end_call();
    ledger_add(block, size);
    return block;
}

void stepped_refusal(size_t size)
{
    ledger_begin_call(NULL);
    step_begin();
    char *volatile block = malloc(size);
    step_end();
    ledger_end_call();
    CHECK(block == NULL && errno == ENOMEM);
}

char *stepped_calloc(size_t size)
{
    ledger_begin_call(NULL);
    step_begin();
    char *block = calloc(1, size);
    step_end();
    ledger_end_call();
    CHECK(block != NULL && is_zero(block, size));
    ledger_add(block, size);
    return block;
}

char *stepped_memalign(size_t alignment, size_t size)
{
    void *block = NULL;
    ledger_begin_call(NULL);
    step_begin();
    int error = posix_memalign(&block, alignment, size);
    step_end();
    ledger_end_call();
    CHECK(error == 0 && is_aligned(block, alignment));
    ledger_add(block, size);
    return block;
}

/* That the contents come along is checked of all of them but the last bytes, which may be new. */
char *stepped_realloc(char *block, size_t size)
{
    char front[16];
    memcpy(front, block, sizeof(front));
    ledger_begin_call(block);
    step_begin();
    char *resized = realloc(block, size);
    step_end();
    ledger_end_call();
    CHECK(resized != NULL && memcmp(resized, front, sizeof(front)) == 0);
    ledger_add(resized, size);
    return resized;
}

void stepped_free(char *block)
{
    ledger_begin_call(block);
    step_begin();
    free(block);
    step_end();
    ledger_end_call();
}

void stepped_trim(void)
{
    ledger_begin_call(NULL);
    step_begin();
    malloc_trim(0);
    step_end();
    ledger_end_call();
}

void stepped_flush(void)
{
    ledger_begin_call(NULL);
    step_begin();
    acre_thread_flush();
    step_end();
    ledger_end_call();
}

/* ---- arrangements ---- */

size_t slabs_of(size_t size)
{
    struct acre_stats stats = stats_now();
    return stats.classes[ledger_class(&stats, size)].slabs;
}

/* Blocks of a size that are in slabs and not live. */
static size_t free_blocks(size_t size)
{
    struct acre_stats stats = stats_now();
    const struct acre_class_stats *class = &stats.classes[ledger_class(&stats, size)];
    return class->blocks - class->live_blocks;
}

/* An arena's first few blocks of a class lie among smaller ones: not those of the scenarios. */
static void use_up_the_few(void)
{
    enum { FEW = 16, FEW_LIMIT = 4096, FEW_PLACE = 64 };
    for (size_t size = 16; size <= FEW_LIMIT; size = acre_good_size(size + 1))
        for (int i = 0; i < FEW && size != FEW_PLACE; i++) {
            char *volatile block = malloc(size);
            free(block);
        }
}

void anchor_here(void)
{
    use_up_the_few();
    char *anchor = malloc(CHILD_PROBE);
    ledger_add(anchor, CHILD_PROBE);
    child_task.anchor = anchor;
}

size_t take_slab(size_t size)
{
    size_t before = block_count;
    do
        hold(1, size);
    while (free_blocks(size) != 0);
    return block_count - before;
}

size_t take_slab_and_begin_next(size_t size)
{
    CHECK(block_count == 0);
    size_t in_first = take_slab(size);
    hold(1, size);
    CHECK(slabs_of(size) == 2);
    return in_first;
}

/* As many as can be freed before the block freed last is not the one taken next. */
size_t magazine_size(size_t size)
{
    return size <= 1024 ? 32 : size <= 4096 ? 16 : size <= MEDIUM ? 65536 / size : 0;
}

/* What `try_it` returns, at most 255, called in a child: so nothing changes here. */
static size_t count_in_child(size_t (*try_it)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit((int)try_it());
    int status = wait_for(child);
    CHECK(WIFEXITED(status));
    return (size_t)WEXITSTATUS(status);
}

/* The size of the blocks that are taken or dropped. */
static size_t tried_size;

static size_t take_until_heap_is_made(void)
{
    size_t heaps = stats_now().heaps;
    size_t before = block_count;
    do
        hold(1, tried_size);
    while (stats_now().heaps == heaps);
    return block_count - 1 - before;
}

void take_heap(size_t size)
{
    tried_size = size;
    hold(count_in_child(take_until_heap_is_made), size);
}

static size_t drop_until_slab_is_released(void)
{
    size_t slabs = slabs_of(tried_size);
    size_t dropped = 0;
    do
        drop(dropped++, 1);
    while (slabs_of(tried_size) == slabs);
    return dropped - 1;
}

size_t drop_until_release(size_t size)
{
    tried_size = size;
    size_t count = count_in_child(drop_until_slab_is_released);
    drop(0, count);
    return count;
}

/* ---- other threads ---- */

static struct {
    void (*function)(void);
    sem_t done;
} helper;

static void *run_and_end(void *unused)
{
    helper.function();
    return unused;
}

static void *run_and_sleep(void *unused)
{
    helper.function();
    sem_post(&helper.done);
    (void)unused;
    sleep_for_ever();
}

void in_ended_thread(void (*function)(void))
{
    helper.function = function;
    join(crew_start(run_and_end, NULL));
}

void in_sleeping_thread(void (*function)(void))
{
    helper.function = function;
    CHECK(sem_init(&helper.done, 0, 0) == 0);
    crew_start(run_and_sleep, NULL);
    while (sem_wait(&helper.done) != 0)
        continue;
}

/* What the thread that is lost does. */
static void (*lost_prepare)(void), (*lost_run)(void);

static void *be_lost(void *unused)
{
    step_prepare_thread();
    if (lost_prepare != NULL)
        lost_prepare();
    lost_run();
    return unused;
}

void lose(void (*prepare)(void), void (*run)(void))
{
    lost_prepare = prepare;
    lost_run = run;
    step_lose_thread(be_lost);
}

void set_option(const char *key, const char *value)
{
    CHECK(acre_option_set(key, value) == 0);
}

void let_time_pass(void)
{
    struct timespec time = {.tv_nsec = 30000000};
    while (nanosleep(&time, &time) != 0)
        continue;
}

/* ---- the system's limits ---- */

static bool pressed; /* a limit was set here */

/* Bytes that count against RLIMIT_DATA. */
static size_t data_bytes(void)
{
    static const char label[] = "VmData:";
    char text[4096];
    read_file("/proc/self/status", text, sizeof(text));
    const char *line = strstr(text, label);
    CHECK(line != NULL);
    return strtoul(line + sizeof(label) - 1, NULL, 10) << 10;
}

/* Sets a soft limit, as far as the hard one lets it. */
static void set_limit(int resource, rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(resource, &limit) == 0);
    pressed = true;
}

void pressure_on_address_space(size_t more)
{
    set_limit(RLIMIT_AS, mapped_bytes() + more);
}

void pressure_on_data(size_t more)
{
    set_limit(RLIMIT_DATA, data_bytes() + more);
}

void pressure_end(void)
{
    if (!pressed)
        return;
    set_limit(RLIMIT_AS, RLIM_INFINITY);
    set_limit(RLIMIT_DATA, RLIM_INFINITY);
    pressed = false;
}

/* ---- in common ---- */

void prepare_tiny(void)
{
    anchor_here();
    hold(10, TINY);
}

void prepare_tiny_freed(void)
{
    prepare_tiny();
    drop(block_count - 7, 3);
}

void drop_some(void)
{
    drop(3, 5);
}

void use_other_size(void)
{
    hold(10, OTHER);
    drop(block_count - 7, 3);
}

void prepare_much(void)
{
    anchor_here();
    drop(1, take_slab_and_begin_next(TINY_SLAB) - 1);
    hold(10, SMALL);
    drop(block_count - 6, 5);
}

void prepare_own_arena(void)
{
    hold(1, BIG);
}

void malloc_other(void)
{
    stepped_malloc(OTHER);
}
