/*
 * Frees by threads that do not own the slab: each block is freed by one of them, and the owner
 * collects every one. What it does not collect: test_remote_purge.c.
 */
#include "test.h"
#include "random.h"
#include "remote_blocks.h"
#include "step.h"

#include <inttypes.h>
#include <sched.h>

SUITE(remote, .begin = begin);

/* ---- One thread ---- */

TEST(a_block_is_freed_once_and_collected_once)
{
    begin_bin(48);
    char *block = take(), *other = take();

    ck_assert(!remote_pending(&remote));
    ck_assert(free_remotely(block));
    ck_assert_uint_eq(*state_of(block), BLOCK_REMOTE);
    ck_assert(remote_pending(&remote));
    ck_assert(!free_remotely(block));
    ck_assert_uint_eq(remote_collect(&remote), 1);
    ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(other), BLOCK_LIVE);
    ck_assert(!remote_pending(&remote));
    ck_assert_uint_eq(remote_collect(&remote), 0);
    ck_assert(bin_is_valid(&bin));
}

TEST(each_class_is_collected_by_itself)
{
    static struct magazine_entry other_entries[MAGAZINE_MOST];
    static struct bin other;
    unsigned class = size_class_of(48), other_class = size_class_of(80);
    struct bin *bins[] = {&bin, &other};

    begin_bin(48);
    bin_init(&other, other_class, other_entries);
    for (int i = 0; i < 2; i++)
        ck_assert(bin_make_slab(bins[i], &set));
    char *block = bin.slab->base, *others = other.slab->base;
    state_set(state_of(block), BLOCK_LIVE);
    state_set(state_of(others), BLOCK_LIVE);
    ck_assert(free_remotely(block) && free_remotely(others));

    ck_assert(remote_pending_class(&remote, class) && remote_pending_class(&remote, other_class));
    ck_assert(!remote_pending_class(&remote, size_class_of(64)));
    ck_assert_uint_eq(remote_collect_class(&remote, class), 1);
    ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(others), BLOCK_REMOTE);
    ck_assert(!remote_pending_class(&remote, class) && remote_pending_class(&remote, other_class));
    ck_assert_uint_eq(remote_collect_class(&remote, class), 0);
    remote_collect_due(&remote, remote.collected + 3599999);
    ck_assert_uint_eq(*state_of(others), BLOCK_REMOTE);
    remote_collect_due(&remote, remote.collected + 3600000);
    ck_assert_uint_eq(*state_of(others), BLOCK_FREE);
    ck_assert(!remote_pending(&remote) && !remote_pending_class(&remote, other_class));
}

TEST(only_a_live_block_is_freed)
{
    begin_bin(48);
    uint8_t *state = state_of(take());

    for (uint8_t value = BLOCK_FREE; value <= BLOCK_END; value++) {
        if (value == BLOCK_LIVE)
            continue;
        state_set(state, value);
        ck_assert(!remote_free(&remote, bin.slab, bin.class, state, BLOCK_LIVE));
        ck_assert_uint_eq(state_get(state), value);
    }
    ck_assert(!remote_pending(&remote));
}

/* Slabs of one block each: more than one heap, and many slabs pending at once. */
TEST(every_pending_slab_of_every_heap_is_collected)
{
    enum { BLOCKS = 80 };
    char *blocks[BLOCKS];
    struct random random = random_begin();
    size_t freed = 0;

    begin_bin(SIZE_CLASS_LIMIT);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = take();
    ck_assert_uint_gt(set.count, 2);
    while (freed < BLOCKS) {
        size_t before = freed;
        for (int i = 0; i < BLOCKS; i++) {
            if (blocks[i] != NULL && random_below(&random, 3) == 0) {
                freed += free_remotely(blocks[i]);
                blocks[i] = NULL;
            }
        }
        size_t collected = remote_collect(&remote);
        ck_assert_msg(collected == freed - before, "%zu of %zu collected; seed %" PRIu64, collected,
                      freed - before, random.seed);
        ck_assert(heap_set_is_valid(&set));
    }
    bin_leave_slab(&bin);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}

/* More heaps than chains, so that some chains have two heaps. */
TEST(heaps_that_share_a_chain_are_collected)
{
    enum { HEAPS = HEAP_CHAINS + 2 };
    static char *first[HEAPS];
    size_t freed = 0;

    begin_bin(SIZE_CLASS_LIMIT);
    while (set.count < HEAPS) {
        char *block = take();
        uint32_t heap = slab_heap(slab_of(block))->index;
        first[heap] = first[heap] == NULL ? block : first[heap];
    }
    for (size_t i = 0; i < HEAPS; i++)
        freed += free_remotely(first[i]);
    ck_assert_uint_eq(freed, HEAPS);
    ck_assert_uint_eq(remote_collect(&remote), HEAPS);
}

TEST(a_late_notice_of_a_released_slab_is_harmless)
{
    begin_bin(SIZE_CLASS_LIMIT);
    char *block = take();
    struct slab *slab = slab_of(block);
    struct heap *heap = slab_heap(slab);

    take(); /* the first slab is not current any more */
    slab_give_back(slab, 0);
    ck_assert_uint_eq(slab->geometry, 0);
    __atomic_fetch_or(&heap->pending[slab_index(slab) / 64], UINT64_C(1) << (slab_index(slab) % 64),
                      __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&remote.pending, heap->pending_bit, __ATOMIC_SEQ_CST);
    ck_assert_uint_eq(remote_collect(&remote), 0);
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(*state_of(take()), BLOCK_LIVE);
    ck_assert(bin_is_valid(&bin));
}

/* ---- Threads ---- */

static bool write_to(char *block)
{
    block[0] = 'f';
    return true;
}

TEST_LOOP(nothing_is_lost_between_threads, 0, 6)
{
    static const size_t sizes[] = {16, 1024, 64 * 1024};
    struct freer freers[THREADS];
    struct random random = random_begin();
    size_t collected = 0, freed = 0, taken = 0, size = sizes[_i / 2];
    size_t most = size > 1024 ? BLOCKS / 10 : BLOCKS;
    bool by_class = _i % 2 != 0;

    begin_bin(size);
    for (int i = 0; i < THREADS; i++) {
        freers[i] = (struct freer){.use = write_to};
        ck_assert_int_eq(pthread_create(&freers[i].thread, NULL, free_slots, &freers[i]), 0);
    }
    while (taken < most) {
        char **slot = &slots[random_below(&random, SLOTS)];
        if (__atomic_load_n(slot, __ATOMIC_RELAXED) != NULL) {
            collected +=
                by_class ? remote_collect_class(&remote, bin.class) : remote_collect(&remote);
            sched_yield();
            continue;
        }
        char *block = take();
        block[0] = 'o';
        taken++;
        __atomic_store_n(slot, block, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(freers[i].thread, NULL), 0);
        ck_assert_uint_eq(freers[i].failed, 0);
        freed += freers[i].freed;
    }
    /* by class alone: a class's bit that was lost would show */
    collected += by_class ? remote_collect_class(&remote, bin.class) : remote_collect(&remote);
    ck_assert_uint_eq(by_class ? remote_collect(&remote) : 0, 0);
    /* a slab whose last blocks become REMOTE behind a scan is released with them, uncounted */
    ck_assert_msg(freed == most && collected <= most, "%zu freed, %zu collected; seed %" PRIu64,
                  freed, collected, random.seed);
    ck_assert(bin_is_valid(&bin));
    bin_leave_slab(&bin);
    ck_assert_msg(bytes_in_slabs() == 0, "%zu bytes lost; seed %" PRIu64, bytes_in_slabs(),
                  random.seed);
}

enum { RACES = 2000 };

static char *raced[RACES];
static pthread_barrier_t barrier;

static void *race(void *argument)
{
    struct freer *freer = argument;

    for (int i = 0; i < RACES; i++) {
        if (i % 50 == 0)
            pthread_barrier_wait(&barrier);
        if (free_remotely(raced[i]))
            freer->freed++;
        else
            freer->failed++;
    }
    return NULL;
}

TEST(of_two_that_free_the_same_block_one_wins)
{
    struct freer freers[2] = {{.freed = 0}};

    begin_bin(32);
    for (int i = 0; i < RACES; i++)
        raced[i] = take();
    ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 2), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&freers[i].thread, NULL, race, &freers[i]), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(freers[i].thread, NULL), 0);
    ck_assert_uint_eq(freers[0].freed + freers[1].freed, RACES);
    ck_assert_uint_eq(freers[0].failed + freers[1].failed, RACES);
    ck_assert_uint_eq(remote_collect(&remote), RACES);
}

/* ---- At every instruction ---- */

#ifdef CAN_STEP

static char *stepped, *other; /* LIVE blocks */
static bool stepped_freed, other_freed;
static int act_at; /* the instruction after which the other thread acts */

static void free_stepped(void)
{
    stepped_freed = free_remotely(stepped);
}

static void collect_all(void)
{
    remote_collect(&remote);
}

static void collect_class(void)
{
    remote_collect_class(&remote, bin.class);
}

static void free_other_at_step(void)
{
    if (steps != act_at)
        return;
    step_end();
    other_freed = free_remotely(other);
}

static void collect_all_at_step(void)
{
    if (steps != act_at)
        return;
    step_end();
    remote_collect(&remote);
}

static void collect_class_at_step(void)
{
    if (steps != act_at)
        return;
    step_end();
    remote_collect_class(&remote, bin.class);
}

/*
 * What one thread does, an instruction at a time, and what another one does after each of them. It
 * runs on the same processor, so this is about the order of steps; that of memory is in
 * tests/model/remote.pml.
 */
static const struct {
    void (*run)(void), (*act)(void);
    bool frees; /* `run` frees `stepped`; else that was freed before */
} meetings[] = {
    {collect_all, free_other_at_step, false},  {collect_class, free_other_at_step, false},
    {free_stepped, collect_all_at_step, true}, {free_stepped, collect_class_at_step, true},
    {free_stepped, free_other_at_step, true},
};

enum { MEETINGS = sizeof(meetings) / sizeof(meetings[0]) };

/* Whatever the instant, a block that was freed is FREE after the next collection. */
TEST_LOOP(no_instant_loses_a_block, 0, MEETINGS)
{
    struct random random = random_begin();
    int last;

    begin_bin(48);
    ck_assert_ptr_nonnull(take()); /* the slab stays */
    act_at = 0;
    do {
        /* a collection has a thousand instructions or so */
        act_at += meetings[_i].frees ? 1 : 1 + (int)random_below(&random, 8);
        stepped = take();
        other = take();
        if (!meetings[_i].frees)
            free_stepped();
        last = step_through(meetings[_i].run, meetings[_i].act);
        if (meetings[_i].act != free_other_at_step || last < act_at)
            free_remotely(other); /* so that every round has both */
        if (_i % 2 != 0)
            remote_collect_class(&remote, bin.class);
        else
            remote_collect(&remote);
        ck_assert_uint_eq(*state_of(stepped), BLOCK_FREE);
        ck_assert_uint_eq(*state_of(other), BLOCK_FREE);
    } while (last >= act_at);
    ck_assert_int_gt(act_at, 10);
    ck_assert(bin_is_valid(&bin));
}

/* Of two threads that free a block, at whatever instant of the first one, one succeeds. */
TEST(no_instant_lets_two_free_a_block)
{
    int last;

    begin_bin(48);
    ck_assert_ptr_nonnull(take());
    act_at = 0;
    do {
        act_at++;
        stepped = other = take();
        other_freed = false;
        last = step_through(free_stepped, free_other_at_step);
        ck_assert_int_eq(stepped_freed + other_freed, 1);
        remote_collect(&remote);
        ck_assert_uint_eq(*state_of(stepped), BLOCK_FREE);
    } while (last >= act_at);
    ck_assert_int_gt(act_at, 10);
}

#else

#endif
