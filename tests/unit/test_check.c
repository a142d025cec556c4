/*
 * Checking every structure: nothing is found in a process that is well, quiet or busy, and each
 * seeded corruption is named.
 */
#include "test.h"
#include "in_thread.h"
#include "large/large_list.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "process/check.h"
#include "common/random.h"

#include <stdio.h>
#include <string.h>

SUITE(check, .begin = begin_without_decay);

enum { SIZE = 1000, BLOCKS = 300 };

static char *blocks[BLOCKS];

static void fill_arena(void)
{
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(SIZE);
    for (int i = 0; i < BLOCKS; i += 3)
        free_block(blocks[i]);
}

/* Blocks 1, 2, 4, 5, ... are live. */
static struct slab *own_slab(void)
{
    struct slab *slab;
    ck_assert(unit_map_find(blocks[1], &slab));
    return slab;
}

static size_t own_unit(void)
{
    return ((uintptr_t)blocks[1] - (uintptr_t)slab_heap(own_slab())) / UNIT_SIZE;
}

static void corrupt_owner(void)
{
    own_slab()->owner = NULL;
}

static void corrupt_base(void)
{
    own_slab()->base += 16;
}

static void corrupt_unit(void)
{
    slab_heap(own_slab())->slab_of[own_unit()] = &heap_nobody;
}

static void corrupt_state(void)
{
    own_slab()->states[1] = 77;
}

static void corrupt_geometry(void)
{
    struct slab_geometry g = geometry_unpack(own_slab()->geometry);
    g.count = 0;
    own_slab()->geometry = geometry_pack(g);
}

static void corrupt_all_geometry(void)
{
    own_slab()->geometry = UINT64_MAX; /* no unit is the slab's then */
}

static void corrupt_magazine(void)
{
    struct bin *bin = &thread_own_arena()->bins[size_class_of(SIZE)];
    ck_assert(bin->top > bin->bottom);
    state_set(bin->bottom->state, BLOCK_LIVE);
}

static void corrupt_heap(void)
{
    slab_heap(own_slab())->idle_units++;
}

static void corrupt_chain(void)
{
    slab_heap(own_slab())->set = NULL;
}

static void corrupt_extent(void)
{
    ck_assert_ptr_nonnull(alloc_block(3 * MIB));
    large_list.table.root->size += MIB;
}

static const struct {
    void (*corrupt)(void);
    const char *said;
} corruptions[] = {
    {corrupt_owner, "acre: arena 1: a slab has another owner, at 0x"},
    {corrupt_base, "acre: arena 1: a slab's place is not that of its units, at 0x"},
    {corrupt_unit, "acre: arena 1: units of a slab do not lead to it, at 0x"},
    {corrupt_state, "acre: arena 1: a slab is inconsistent, at 0x"},
    {corrupt_geometry, "acre: a slab's geometry is wrong, at 0x"},
    {corrupt_all_geometry, "acre: arena 1: a heap is inconsistent, at 0x"},
    {corrupt_magazine, "acre: arena 1: a bin is inconsistent, at 0x"},
    {corrupt_heap, "acre: arena 1: a heap is inconsistent, at 0x"},
    {corrupt_chain, "acre: a heap is in the wrong chain, at 0x"},
    {corrupt_extent, "acre: the LARGE list is inconsistent\n"},
};

static void check_is_well(void)
{
    struct out out;
    out_to_memory(&out);
    size_t faults = check_process(&out);
    ck_assert_msg(faults == 0 && out.used == 0, "%s", out.text);
}

static void check_says(const char *said)
{
    struct out out;
    out_to_memory(&out);
    ck_assert_uint_eq(check_process(&out), 1);
    ck_assert_msg(strncmp(out.text, said, strlen(said)) == 0, "%s", out.text);
    ck_assert_ptr_eq(strchr(out.text, '\n'), out.text + out.used - 1);
}

TEST_LOOP(each_corruption_is_named, 0, COUNT_OF(corruptions))
{
    check_is_well();
    fill_arena();
    check_is_well();
    corruptions[_i].corrupt();
    check_says(corruptions[_i].said);
}

static void *fill_in_thread(void *unused)
{
    fill_arena();
    return unused;
}

TEST(an_arena_of_the_pool_is_checked_whole)
{
    run_thread(fill_in_thread, NULL);
    check_is_well();
    corrupt_state();
    check_says("acre: arena 1: a slab is inconsistent, at 0x");
    corrupt_state(); /* the arena went back: it is found again */
    check_says("acre: arena 1: a slab is inconsistent, at 0x");
}

static sem_t filled, checked;

static void *fill_and_wait(void *unused)
{
    fill_arena();
    sem_post(&filled);
    sem_wait(&checked);
    return unused;
}

TEST(of_another_threads_arena_the_heaps_are_checked)
{
    sem_init(&filled, 0, 0);
    sem_init(&checked, 0, 0);
    pthread_t thread = begin_thread(fill_and_wait, NULL);
    sem_wait(&filled);
    corrupt_state(); /* the thread might be changing it */
    check_is_well();
    corrupt_heap();
    check_says("acre: arena 1: a heap is inconsistent, at 0x");
    state_set(&own_slab()->states[1], BLOCK_LIVE);
    slab_heap(own_slab())->idle_units--;
    sem_post(&checked);
    end_thread(thread);
}

/* ---- a busy process ---- */

enum { THREADS = 3, SHARED = 64 };

static void *shared[SHARED]; /* [any] each block is freed by whoever takes it out */
static int done;             /* [any] */

static void *work(void *number)
{
    struct random random = random_begin_for((uintptr_t)number);
    while (__atomic_load_n(&done, __ATOMIC_RELAXED) == 0) {
        size_t size = random_below(&random, random_below(&random, 50) == 0 ? 2 * MIB : 20000);
        void *old = __atomic_exchange_n(&shared[random_below(&random, SHARED)], alloc_block(size),
                                        __ATOMIC_ACQ_REL);
        if (old != NULL)
            free_block(old);
    }
    return NULL;
}

TEST(nothing_is_found_in_a_busy_process)
{
    enum { ROUNDS = 300 };
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = begin_thread(work, (void *)i);
    fill_arena();
    for (int i = 0; i < ROUNDS; i++)
        check_is_well();
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        end_thread(threads[i]);
    check_is_well();
}
