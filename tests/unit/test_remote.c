/*
 * Frees by threads that do not own the slab: each block is freed by one of them, and the owner
 * collects every one. What it does not collect: test_remote_purge.c.
 */
#include "test.h"
#include "memory.h"
#include "in_thread.h"
#include "common/random.h"
#include "slab_bins.h"
#include "step.h"

SUITE(remote, .begin = begin);

/* ---- One thread ---- */

TEST(each_class_is_collected_by_itself)
{
    unsigned class = size_class_of(48), other_class = size_class_of(80);

    begin_bin(48);
    char *block = take();
    begin_bin(80);
    char *others = take();
    ck_assert(!remote_pending_class(&remote, class));
    ck_assert(free_remotely(block) && free_remotely(others));
    ck_assert(remote_pending_class(&remote, class) && remote_pending_class(&remote, other_class));
    remote_collect_class(&remote, class);
    ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(others), BLOCK_REMOTE);
    ck_assert(!remote_pending_class(&remote, class) && remote_pending_class(&remote, other_class));
    remote_collect_class(&remote, class);
    remote_collect_due(&remote, 3600000);
    ck_assert_uint_eq(*state_of(others), BLOCK_FREE);
    ck_assert(!remote_pending(&remote) && !remote_pending_class(&remote, other_class));
    ck_assert(free_remotely(take()));
    remote_collect_due(&remote, 2 * 3600000 - 1);
    ck_assert(remote_pending(&remote));
    remote_collect_due(&remote, 2 * 3600000);
    ck_assert(!remote_pending(&remote) && all_valid());
}

/* More heaps than chains, so that some chains have two heaps; each slab has one block. */
TEST(every_pending_slab_of_every_heap_is_collected)
{
    enum { HEAPS = HEAP_CHAINS + 2, MOST = HEAPS * (HEAP_UNITS / SLAB_MAX_UNITS) };
    static char *blocks[MOST];
    struct random random = random_begin();
    size_t count = 0, left;
    struct heap_totals totals = {.heaps = 0};

    begin_bin(SIZE_CLASS_LIMIT);
    for (; totals.heaps < HEAPS; heap_set_totals(&set, &totals))
        blocks[count++] = take();
    for (left = count; left != 0;) {
        for (size_t i = 0; i < count; i++) {
            if (blocks[i] != NULL && random_below(&random, 3) == 0) {
                left -= free_remotely(blocks[i]);
                blocks[i] = NULL;
            }
        }
        remote_collect(&remote);
        ck_assert(bytes_in_slabs() == left * SIZE_CLASS_LIMIT);
        ck_assert(heap_set_is_valid(&set));
    }
}

/* ---- Threads ---- */

enum { THREADS = 3, SLOTS = 256, BLOCKS = 30000 };

/* What the owner hands to the threads: atomic, release when filled, acquire when taken. */
static char *slots[SLOTS];
static bool done; /* atomic */

/* What the owner fills a block with. */
static char filling_of(const char *block)
{
    return (char)(1 + ((uintptr_t)block >> 4) % 100);
}

/* Takes blocks out of the slots, and frees them; the number of those that are not as they were
 * filled, or that it cannot free. */
static void *free_slots(void *unused)
{
    size_t wrong = 0;

    (void)unused;
    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (block != NULL)
                wrong +=
                    !is_filled(block, bin->block_size, filling_of(block)) || !free_remotely(block);
        }
        sched_yield();
    }
    return (void *)wrong;
}

static void *purge_always(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        remote_purge(&remote);
        sched_yield();
    }
    return NULL;
}

/* How the owner collects: one class, or all; seldom, and another thread purges. */
enum { BY_CLASS, ALL, SELDOM, WAYS };

static void collect(int way)
{
    if (way == BY_CLASS) /* alone: a class's bit that was lost would show */
        remote_collect_class(&remote, bin->class);
    else
        remote_collect(&remote);
}

/*
 * An owner takes, fills and hands out blocks; others check and free them. None is lost, and none
 * that somebody holds loses its contents.
 */
TEST_LOOP(nothing_is_lost_between_threads, 0, 3 * WAYS)
{
    static const size_t sizes[] = {16, 1024, 64 * 1024};
    size_t size = sizes[_i / WAYS], wrong = 0;
    int way = _i % WAYS;
    struct random random = random_begin();
    pthread_t freers[THREADS], purger = 0;

    begin_bin(size);
    for (int i = 0; i < THREADS; i++)
        freers[i] = begin_thread(free_slots, NULL);
    if (way == SELDOM)
        purger = begin_thread(purge_always, NULL);
    for (size_t left = size > 1024 ? BLOCKS / 20 : BLOCKS; left != 0;) {
        char **slot = &slots[random_below(&random, SLOTS)];
        if (__atomic_load_n(slot, __ATOMIC_RELAXED) != NULL) {
            if (way != SELDOM || random_below(&random, 8) == 0)
                collect(way);
            sched_yield();
            continue;
        }
        char *block = take();
        memset(block, filling_of(block), size);
        left--;
        __atomic_store_n(slot, block, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++)
        wrong += (size_t)end_thread(freers[i]);
    ck_assert_msg(wrong == 0, "%zu blocks", wrong);
    if (way == SELDOM)
        end_thread(purger);
    collect(way);
    ck_assert(all_valid());
    bin_leave_slab(bin);
    ck_assert_msg(bytes_in_slabs() == 0, "%zu bytes lost", bytes_in_slabs());
}

/* ---- At every instruction ---- */

static char *stepped, *other; /* LIVE blocks */
static bool stepped_freed, other_freed;
static void (*act)(void); /* what the other thread does ... */
static int act_at;        /* ... after this instruction */

static void free_stepped(void)
{
    stepped_freed = free_remotely(stepped);
}

static void free_another(void)
{
    other_freed = free_remotely(other);
}

static void collect_all(void)
{
    remote_collect(&remote);
}

static void collect_class(void)
{
    remote_collect_class(&remote, bin->class);
}

static void act_at_step(void)
{
    if (steps != act_at)
        return;
    step_end();
    act();
}

/*
 * What one thread does, an instruction at a time, and what another one does after each of them. It
 * runs on the same processor, so this is about the order of steps; that of memory is in
 * tests/model/remote.pml.
 */
static const struct {
    void (*run)(void), (*act)(void);
} meetings[] = {
    {collect_all, free_another},   {collect_class, free_another}, {free_stepped, collect_all},
    {free_stepped, collect_class}, {free_stepped, free_another},
};

enum { MEETINGS = sizeof(meetings) / sizeof(meetings[0]) };

/* Whatever the instant, a block that was freed is FREE after the next collection. */
TEST_LOOP_UNLESS(NO_STEPS, no_instant_loses_a_block, 0, MEETINGS)
{
    struct random random = random_begin();
    bool frees = meetings[_i].run == free_stepped;
    int last;

    begin_bin(48);
    ck_assert_ptr_nonnull(take()); /* the slab stays */
    act = meetings[_i].act;
    act_at = 0;
    do {
        /* a collection has a thousand instructions or so */
        act_at += frees ? 1 : 1 + (int)random_below(&random, 8);
        stepped = take();
        other = take();
        if (!frees)
            free_stepped();
        last = step_through(meetings[_i].run, act_at_step);
        if (act != free_another)
            give(other); /* not by this thread: its bits would lead to the first one as well */
        else if (last < act_at)
            free_another(); /* so that every round has both */
        if (_i % 2 != 0)
            collect_class();
        else
            collect_all();
        ck_assert_uint_eq(*state_of(stepped), BLOCK_FREE);
        ck_assert_uint_eq(*state_of(other), BLOCK_FREE);
    } while (last >= act_at);
    ck_assert_int_gt(act_at, 10);
    ck_assert(all_valid());
}

/* Of two threads that free a block, at whatever instant of the first one, one succeeds. */
TEST_UNLESS(NO_STEPS, no_instant_lets_two_free_a_block)
{
    int last;

    begin_bin(48);
    ck_assert_ptr_nonnull(take());
    act = free_another;
    act_at = 0;
    do {
        act_at++;
        stepped = other = take();
        other_freed = false;
        last = step_through(free_stepped, act_at_step);
        ck_assert_int_eq(stepped_freed + other_freed, 1);
        remote_collect(&remote);
        ck_assert_uint_eq(*state_of(stepped), BLOCK_FREE);
    } while (last >= act_at);
    ck_assert_int_gt(act_at, 10);
}
