/*
 * Blocks that were freed by other threads, of an owner that does not collect: their pages go back
 * to the system, and nothing else does.
 */
#include "test.h"
#include "child.h"
#include "base/os.h"
#include "memory.h"
#include "in_thread.h"
#include "common/random.h"
#include "slab_bins.h"
#include "step.h"

#include <string.h>
#include <sys/syscall.h>

SUITE(remote_purge, .begin = begin);

/* ---- One thread ---- */

enum { PURGE_BLOCKS = 2000, PURGE_SIZE = 1024 };

static char *held[PURGE_BLOCKS]; /* LIVE blocks, filled with 'x' */

/* Fills slabs of PURGE_SIZE: more than one that is not current. */
static void hold_blocks(void)
{
    begin_bin(PURGE_SIZE);
    for (int i = 0; i < PURGE_BLOCKS; i++) {
        held[i] = take();
        memset(held[i], 'x', PURGE_SIZE);
    }
}

/* True if the page that a block lies in has no other blocks than those freed remotely. */
static bool is_page_freed(const char *block)
{
    size_t page = os_page_size();
    const char *first = (const char *)align_down((uintptr_t)block, page);

    for (const char *other = first; other < first + page; other += PURGE_SIZE)
        if (*state_of(other) != BLOCK_REMOTE && *state_of(other) != BLOCK_PURGED)
            return false;
    return true;
}

TEST_LOOP(what_is_not_collected_loses_its_pages, 0, 10)
{
    struct random random = random_begin_for((uint64_t)_i);
    size_t purged = 0, bytes;
    bool kept[PURGE_BLOCKS];

    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++) {
        kept[i] = i % 48 == 0 || random_below(&random, 16) == 0; /* no slab becomes empty */
        ck_assert(kept[i] || free_remotely(held[i]));
    }
    bytes = remote_purge(&remote);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(remote_purge(&remote), 0); /* nothing is given back twice */
    for (int i = 0; i < PURGE_BLOCKS; i++) {
        uint8_t state = *state_of(held[i]);
        bool goes = !kept[i] && is_page_freed(held[i]);
        if (state != (kept[i] ? BLOCK_LIVE
                      : goes  ? BLOCK_PURGED
                              : BLOCK_REMOTE) ||
            !is_filled(held[i], PURGE_SIZE, goes ? '\0' : 'x'))
            ck_abort_msg("block %d is in state %u", i, state);
        ck_assert(kept[i] || !free_remotely(held[i])); /* a double free is seen as before */
        purged += goes;
    }
    ck_assert_uint_eq(bytes, purged * PURGE_SIZE);
    remote_collect(&remote); /* the owner finds every block again */
    ck_assert(all_valid());
    while (take_place(bin) != NULL)
        continue;
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert_uint_eq(*state_of(held[i]), BLOCK_LIVE);
    ck_assert(all_valid());
}

/* The current slab has PURGED blocks alone: no FREE one says that it is to be listed. */
TEST(a_current_slab_that_was_purged_is_not_lost)
{
    char *block;

    begin_bin(PURGE_SIZE);
    ck_assert_ptr_nonnull(take());
    struct slab *slab = bin->slab;
    while ((block = take_place(bin)) != NULL)
        ck_assert(free_remotely(block));
    remote_purge(&remote);
    remote_collect(&remote);
    /* what shares a page with the first block is REMOTE, and FREE now */
    while (count_states(slab, BLOCK_FREE) != 0)
        take();
    size_t purged = count_states(slab, BLOCK_PURGED);
    ck_assert(bin->slab == slab && slab->purged && purged != 0);

    bin_leave_slab(bin);
    ck_assert(slab_is_listed(slab) && all_valid());
    for (; purged != 0; purged--)
        ck_assert_ptr_eq(slab_of(take()), slab);
    ck_assert_ptr_null(take_place(bin));
}

TEST(only_pending_slabs_are_purged)
{
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++) /* as by threads that have not yet set a bit */
        state_set(state_of(held[i]), BLOCK_REMOTE);
    ck_assert_uint_eq(remote_purge(&remote), 0);
    state_set(state_of(held[0]), BLOCK_LIVE);
    struct slab *slab = slab_of(held[0]);
    size_t count = slab->count;
    ck_assert(free_remotely(held[0]));
    ck_assert_uint_eq(remote_purge(&remote), count * PURGE_SIZE);
    ck_assert(slab->purged_for_owner);
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_REMOTE);
}

TEST(an_owner_that_collects_is_left_alone)
{
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert(free_remotely(held[i]));
    remote_begin(&remote);
    ck_assert_uint_eq(remote_purge(&remote), 0);
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert_uint_eq(*state_of(held[i]), BLOCK_REMOTE);
    remote_end(&remote);
    ck_assert_uint_eq(remote_purge(&remote), (size_t)PURGE_BLOCKS * PURGE_SIZE);
}

static bool purge_ended; /* under the heap lock */
static bool waited;

static void *begin_collection(void *unused)
{
    remote_begin(&remote);
    waited = purge_ended;
    remote_end(&remote);
    return unused;
}

TEST(the_owner_waits_for_who_purges)
{
    heap_set_lock(&set);
    __atomic_store_n(&remote.purging, 1, __ATOMIC_SEQ_CST);
    pthread_t owner = begin_thread(begin_collection, NULL);
    WAIT_UNTIL(__atomic_load_n(&remote.collections, __ATOMIC_RELAXED) != 0);
    for (int i = 0; i < 1000; i++)
        sched_yield();
    purge_ended = true;
    __atomic_store_n(&remote.purging, 0, __ATOMIC_RELEASE);
    heap_set_unlock(&set);
    end_thread(owner);
    ck_assert(waited);
}

TEST(a_tick_purges_what_was_pending_at_the_last)
{
    ck_assert(!remote_tick(&remote)); /* nothing pending */
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS / 2; i++)
        ck_assert(free_remotely(held[i]));
    remote_collect(&remote);
    for (int i = PURGE_BLOCKS / 2; i < PURGE_BLOCKS; i++)
        ck_assert(free_remotely(held[i]));
    ck_assert(remote_tick(&remote)); /* the owner has collected a moment ago */
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_REMOTE);
    ck_assert(!remote_tick(&remote));
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_PURGED);
    remote_collect(&remote);
    ck_assert(!remote_tick(&remote));
}

/* ---- Threads ---- */

/*
 * The owner that collects and the thread that purges each store a word and load the other's, as in
 * the litmus test "store buffering" (Sewell et al., "x86-TSO", 2010, 2.1): without the fence in
 * remote_begin both may load the old value, and a block changes that only the owner may change.
 * The owner stores to lines that are in no cache first: its next store waits for these, and a load
 * that is not fenced does not.
 */
enum {
    LITMUS_ROUNDS = 1000000, /* at most, where the two seldom run at once */
    LITMUS_PURGES = 300000,
    LITMUS_LOOKS = 1000, /* at the block's state: longer than a purge takes */
    LITMUS_PAUSES = 64,
    LITMUS_STORES = 16,
    LITMUS_BYTES = 32 << 20,
};

static void pause_at_random(struct random *random)
{
    for (uint64_t left = random_below(random, LITMUS_PAUSES); left != 0; left--)
        __asm__ volatile("" ::: "memory");
}

static size_t purges; /* relaxed */
static bool done;     /* atomic */

static void *purge_in_turn(void *unused)
{
    struct random random = random_begin();

    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        if (remote_purge(&remote) != 0)
            __atomic_fetch_add(&purges, 1, __ATOMIC_RELAXED);
        pause_at_random(&random);
    }
    return unused;
}

/* True if the state changes while its owner collects, with `buffered` stores before. */
static bool changes_beside_collection(uint8_t *state, char *const *buffered)
{
    bool changed = false;

    state_set(state, BLOCK_REMOTE);
    for (int i = 0; i < LITMUS_STORES; i++)
        __atomic_store_n(buffered[i], 1, __ATOMIC_RELAXED);
    remote_begin(&remote);
    uint8_t first = state_get(state);
    for (int look = 0; look < LITMUS_LOOKS && !changed; look++)
        changed = state_get(state) != first;
    remote_end(&remote);
    return changed;
}

TEST(collecting_and_purging_exclude_each_other)
{
    struct random random = random_begin();
    char *lines = malloc(LITMUS_BYTES), *buffered[LITMUS_STORES];
    bool changed = false;

    begin_bin(os_page_size());
    char *block = take();
    ck_assert_ptr_nonnull(lines);
    memset(lines, 1, LITMUS_BYTES);
    ck_assert(free_remotely(block)); /* its bits stay set */
    pthread_t purger = begin_thread(purge_in_turn, NULL);
    for (int round = 0; round < LITMUS_ROUNDS && !changed; round++) {
        for (int i = 0; i < LITMUS_STORES; i++)
            buffered[i] = &lines[random_below(&random, LITMUS_BYTES)];
        pause_at_random(&random);
        changed = changes_beside_collection(state_of(block), buffered);
        if (__atomic_load_n(&purges, __ATOMIC_RELAXED) >= LITMUS_PURGES)
            break;
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    end_thread(purger);
    free(lines);
    ck_assert_msg(!changed, "purged while its owner collects");
}

enum outcome { PASSED, PURGED_OVER, ENDED }; /* of a child */

static uint8_t *freed_twice; /* state of a block that its owner and another thread free */
static uint8_t *purged_last; /* that of the first block of its run */
static int store_at;         /* the step from the system call on that the owner's store comes at */
static int steps_since;      /* how many there were; 0: the call has not come yet */

static void purge_once(void)
{
    remote_purge(&remote);
}

/* The owner found the block LIVE before the other thread freed it, makes it FREE, and hands it out
 * again. */
static void look_at_purge(void)
{
    if (steps_since == 0 && !step_comes_call(SYS_madvise))
        return;
    if (steps_since++ != store_at)
        return;
    if (*purged_last == BLOCK_PURGED)
        _exit(ENDED);
    *freed_twice = BLOCK_LIVE;
    step_end();
}

static int purge_in_steps(void)
{
    step_through(purge_once, look_at_purge);
    return steps_since > store_at && *freed_twice == BLOCK_LIVE ? PASSED : PURGED_OVER;
}

/* A misuse: nothing can be said of the contents, but the block is not handed out twice for it. */
TEST_UNLESS(NO_STEPS, a_block_freed_twice_at_once_is_not_purged_over)
{
    enum { FREED = 8, FROM = 100 }; /* 8 KiB: a whole page at least */
    int outcome = PASSED;

    hold_blocks();
    for (int i = FROM + FREED - 1; i >= FROM; i--) {
        ck_assert(free_remotely(held[i]));
        if ((uintptr_t)held[i] % os_page_size() == 0)
            purged_last = state_of(held[i]);
    }
    freed_twice = purged_last + 1;
    for (store_at = 0; outcome == PASSED; store_at++)
        outcome = result_in_child(purge_in_steps);
    ck_assert_int_eq(outcome, ENDED);
    ck_assert_int_gt(store_at, FREED / 2); /* there were steps for each block */
}
