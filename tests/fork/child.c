/* What a child checks: see child.h. */
#include "check.h"

#include "actions.h"
#include "child.h"
#include "crew.h"
#include "figures.h"
#include "ledger.h"
#include "step.h"

#include "stats.h"
#include <malloc.h>
#include <semaphore.h>

/* Exported by debug builds: 1 if all structures are valid. */
int acre_debug_validate(void) __attribute__((weak));

#define HEAP_ALIGNMENT ((uintptr_t)32 << 20) /* bytes; a heap belongs to one arena for ever */

enum {
    GRANDCHILDREN = 8,     /* of this many children one forks first, and both go on */
    GIVEN_MOST = 4096,     /* blocks that one thread is given of one size */
    UNIT_BLOCKS = 1 << 20, /* bytes; blocks that are a slab each */
    WORKERS_MOST = 8,
    GRANDCHILD_HANG_SECONDS = 60, /* a grandchild that runs that long hangs */
};

struct child_task child_task;

static bool arena_found; /* the arena under test was somebody's */

/* ---- being given everything ---- */

static int by_address(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;
    return (left > right) - (left < right);
}

/* Checks that no two of the blocks overlap; sorts them. */
static void check_distinct(char **blocks, size_t count, size_t size)
{
    /* what qsort itself may allocate it frees */
    qsort(blocks, count, sizeof(blocks[0]), by_address);
    for (size_t i = 1; i < count; i++)
        CHECK(blocks[i] - blocks[i - 1] >= (ptrdiff_t)size);
}

/* Given blocks of one size. */
static struct {
    char *blocks[GIVEN_MOST];
    size_t count;
} given;

static void take_one(size_t size)
{
    char *block = malloc(size);
    CHECK(block != NULL && given.count < GIVEN_MOST);
    ledger_check_apart(block, size);
    block[0] = block[size - 1] = (char)given.count;
    given.blocks[given.count++] = block;
}

/* Takes blocks of UNIT_BLOCKS bytes until there is no room in the heaps that there are. */
static void take_all_units(void)
{
    size_t heaps = stats_now().heaps;
    do
        take_one(UNIT_BLOCKS);
    while (stats_now().heaps == heaps);
}

/* Takes all blocks of a class that are not live, in the slabs that there are. */
static void take_free_blocks(size_t size)
{
    struct acre_stats stats = stats_now();
    unsigned class = ledger_class(&stats, size);
    size_t slabs = stats.classes[class].slabs;
    size_t count = stats.classes[class].blocks - stats.classes[class].live_blocks;
    for (size_t i = 0; i < count; i++)
        take_one(size);
    stats = stats_now();
    CHECK(stats.classes[class].slabs == slabs);
    CHECK(stats.classes[class].blocks == stats.classes[class].live_blocks);
}

static void take_everything(size_t size)
{
    given.count = 0;
    take_free_blocks(size);
    if (size == UNIT_BLOCKS)
        take_all_units();
    for (size_t i = 0; i < given.count; i++)
        CHECK(given.blocks[i][0] == (char)i && given.blocks[i][size - 1] == (char)i);
    check_distinct(given.blocks, given.count, size);
    for (size_t i = 0; i < given.count; i++)
        free(given.blocks[i]);
}

static uintptr_t heap_of(const void *block)
{
    return (uintptr_t)block & ~(HEAP_ALIGNMENT - 1);
}

/* No two threads have the same arena, and so blocks in the same heap. */
static void check_arena_is_own(const void *probe)
{
    static uintptr_t heaps[WORKERS_MOST + 1];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        CHECK(heaps[i] != heap_of(probe));
    heaps[count++] = heap_of(probe);
}

/* What each thread of the child does: gets an arena, and all of it if it is the one under test. */
static void use_an_arena(bool keeps_it)
{
    /* no scenario's own */
    static const size_t sizes[] = {64, 1500, 5000, 40000, 1500000};
    enum { SIZES = COUNT_OF(sizes) };
    char *blocks[SIZES];
    char *probe = malloc(CHILD_PROBE);
    CHECK(probe != NULL);
    if (keeps_it)
        check_arena_is_own(probe);
    if (!arena_found && child_task.anchor != NULL && heap_of(probe) == heap_of(child_task.anchor)) {
        arena_found = true;
        for (size_t i = 0; i < COUNT_OF(child_task.scenario->sizes); i++)
            if (child_task.scenario->sizes[i] != 0)
                take_everything(child_task.scenario->sizes[i]);
    }
    for (size_t i = 0; i < SIZES; i++) {
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL);
        ledger_check_apart(blocks[i], sizes[i]);
        blocks[i][0] = blocks[i][sizes[i] - 1] = 1;
    }
    for (size_t i = 0; i < SIZES; i++)
        free(blocks[i]);
    free(probe);
}

/* ---- threads, one after the other, each keeping its arena till all have had one ---- */

static sem_t ready, ended;

/* What was freed remotely to the arena comes back first: slabs may be empty then, and released. */
static void *work(void *unused)
{
    free(malloc(CHILD_PROBE));
    acre_thread_flush();
    use_an_arena(true);
    sem_post(&ready);
    sem_wait(&ended);
    return unused;
}

/* Starts a thread, and others until no arena is left in the pool. */
static size_t start_workers(pthread_t *workers)
{
    size_t count = 0;
    do {
        CHECK(count < WORKERS_MOST);
        workers[count++] = crew_start(work, NULL);
        while (sem_wait(&ready) != 0)
            continue;
    } while (stats_now().arenas_pooled != 0);
    return count;
}

static void use_all_arenas(void)
{
    pthread_t workers[WORKERS_MOST];
    CHECK(sem_init(&ready, 0, 0) == 0 && sem_init(&ended, 0, 0) == 0);
    use_an_arena(!child_task.ended);
    size_t count = start_workers(workers);
    for (size_t i = 0; i < count; i++)
        sem_post(&ended);
    join_threads(workers, count);
    CHECK(arena_found || child_task.anchor == NULL);
}

/* ---- what is left ---- */

/* How many blocks are live that were not before the stepped call. None is gone, and slabs without
 * live blocks are. */
static size_t count_lost(const struct ledger_rest *before, const struct ledger_rest *now)
{
    struct acre_stats stats = stats_now();
    size_t lost = now->large_blocks - before->large_blocks;
    CHECK(now->large_blocks >= before->large_blocks);
    CHECK(stats.large_stock == 0);
    for (unsigned class = 0; class < stats.class_count; class ++) {
        CHECK(now->blocks[class] >= before->blocks[class]);
        CHECK(now->blocks[class] != 0 || stats.classes[class].slabs == 0);
        lost += now->blocks[class] - before->blocks[class];
    }
    return lost;
}

static void count_in_figures(size_t lost, size_t range)
{
    figures->lost_blocks += lost;
    figures->lost_ranges += range;
    figures->children_losing += lost != 0 || range != 0;
    if (lost > figures->lost_at_most)
        figures->lost_at_most = lost;
    if (range > figures->range_at_most)
        figures->range_at_most = range;
}

static void check_rest(bool stepped_thread_lost)
{
    struct ledger_rest now;
    const struct ledger_rest *before = ledger_rest_before();
    ledger_rest_now(&now);
    size_t lost = count_lost(before, &now);
    CHECK(now.address_space >= before->address_space);
    size_t range = now.address_space - before->address_space;
    CHECK(range <= child_task.scenario->range);
    CHECK(range == 0 || range >= child_task.scenario->range_least);
    CHECK(stepped_thread_lost ? lost <= 1 : lost == 0 && range == 0);
    count_in_figures(lost, range);
}

/* The background thread, if the child has it already, does nothing more. */
static void still_background(void)
{
    CHECK(acre_option_set("background_thread", "0") == 0);
    CHECK(acre_option_set("decay", "3600000") == 0);
    crew_wait_for_others();
}

static void validate(void)
{
    if (acre_debug_validate != NULL)
        CHECK(acre_debug_validate() == 1);
}

void child_run(bool stepped_thread_lost)
{
    if (step_fork_number() % GRANDCHILDREN == 0) {
        figures->grandchildren++;
        pid_t grandchild = fork();
        if (grandchild != 0)
            check_child(grandchild);
        else
            alarm(GRANDCHILD_HANG_SECONDS);
    }
    if (!step_bare)
        crew_survived();
    pressure_end();
    if (child_task.background)
        still_background();
    if (stepped_thread_lost)
        ledger_find_argument();
    ledger_check();
    use_all_arenas();
    validate();
    ledger_check();
    ledger_free_all();
    malloc_trim(0);
    validate();
    check_rest(stepped_thread_lost);
    _exit(0);
}
