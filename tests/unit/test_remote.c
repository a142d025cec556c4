/*
 * Frees by threads that do not own the slab: each block is freed by one of them, and the owner
 * collects every one; what it does not collect loses its pages, and nothing else does.
 */
#include "test.h"
#include "option.h"
#include "os.h"
#include "random.h"
#include "remote.h"
#include "slab.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

static struct heap_set set;
static struct bin bin;
static struct magazine_entry entries[MAGAZINE_MOST];

static void begin(void)
{
    heap_set_init(&set, NULL);
    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
}

static void begin_bin(size_t size)
{
    bin_init(&bin, size_class_of(size), entries);
}

static size_t bytes_in_slabs(void)
{
    struct heap_totals totals;

    heap_set_totals(&set, &totals);
    return totals.in_slabs;
}

/* A LIVE block, from wherever the owner has one. */
static char *take(void)
{
    while (bin.window == 0 && !bin_open_window(&bin))
        if (!bin_next_slab(&bin) && !bin_make_slab(&bin, &set))
            ck_abort_msg("no memory");
    unsigned bit = lowest_bit(bin.window);
    bin.window &= bin.window - 1;
    state_set(&bin.window_states[bit], BLOCK_LIVE);
    return bin.window_base + bit * bin.block_size;
}

static struct slab *slab_of(const char *block)
{
    return heap_slab_of(heap_containing(block), block);
}

static uint8_t *state_of(const char *block)
{
    struct slab *slab = slab_of(block);

    return &slab->states[(size_t)(block - slab->base) / slab->block_size];
}

static bool free_remotely(const char *block)
{
    return remote_free(slab_of(block), slab_of(block)->class, state_of(block));
}

/* ---- One thread ---- */

START_TEST(a_block_is_freed_once_and_collected_once)
{
    begin_bin(48);
    char *block = take(), *other = take();

    ck_assert(!remote_pending(&set));
    ck_assert(free_remotely(block));
    ck_assert_uint_eq(*state_of(block), BLOCK_REMOTE);
    ck_assert(remote_pending(&set));
    ck_assert(!free_remotely(block));
    ck_assert_uint_eq(remote_collect(&set), 1);
    ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(other), BLOCK_LIVE);
    ck_assert(!remote_pending(&set));
    ck_assert_uint_eq(remote_collect(&set), 0);
    ck_assert(bin_is_valid(&bin));
}
END_TEST

START_TEST(each_class_is_collected_by_itself)
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

    ck_assert(remote_pending_class(&set, class) && remote_pending_class(&set, other_class));
    ck_assert(!remote_pending_class(&set, size_class_of(64)));
    ck_assert_uint_eq(remote_collect_class(&set, class), 1);
    ck_assert_uint_eq(*state_of(block), BLOCK_FREE);
    ck_assert_uint_eq(*state_of(others), BLOCK_REMOTE);
    ck_assert(!remote_pending_class(&set, class) && remote_pending_class(&set, other_class));
    ck_assert_uint_eq(remote_collect_class(&set, class), 0);
    remote_collect_due(&set, set.collected + 3599999);
    ck_assert_uint_eq(*state_of(others), BLOCK_REMOTE);
    remote_collect_due(&set, set.collected + 3600000);
    ck_assert_uint_eq(*state_of(others), BLOCK_FREE);
    ck_assert(!remote_pending(&set) && !remote_pending_class(&set, other_class));
}
END_TEST

START_TEST(only_a_live_block_is_freed)
{
    begin_bin(48);
    uint8_t *state = state_of(take());

    for (uint8_t value = BLOCK_FREE; value <= BLOCK_END; value++) {
        if (value == BLOCK_LIVE)
            continue;
        state_set(state, value);
        ck_assert(!remote_free(bin.slab, bin.class, state));
        ck_assert_uint_eq(state_get(state), value);
    }
    ck_assert(!remote_pending(&set));
}
END_TEST

/* Slabs of one block each: more than one heap, and many slabs pending at once. */
START_TEST(every_pending_slab_of_every_heap_is_collected)
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
        size_t collected = remote_collect(&set);
        ck_assert_msg(collected == freed - before, "%zu of %zu collected; seed %" PRIu64, collected,
                      freed - before, random.seed);
        ck_assert(heap_set_is_valid(&set));
    }
    bin_leave_slab(&bin, &set);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
}
END_TEST

START_TEST(a_late_notice_of_a_released_slab_is_harmless)
{
    begin_bin(SIZE_CLASS_LIMIT);
    char *block = take();
    struct slab *slab = slab_of(block);
    struct heap *heap = slab_heap(slab);

    take(); /* the first slab is not current any more */
    slab_give_back(slab, 0, &set);
    ck_assert_uint_eq(slab->geometry, 0);
    __atomic_fetch_or(&heap->pending[slab_index(slab) / 64], UINT64_C(1) << (slab_index(slab) % 64),
                      __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&set.pending, heap->pending_bit, __ATOMIC_SEQ_CST);
    ck_assert_uint_eq(remote_collect(&set), 0);
    ck_assert(heap_set_is_valid(&set));
    ck_assert_uint_eq(*state_of(take()), BLOCK_LIVE);
    ck_assert(bin_is_valid(&bin));
}
END_TEST

/* ---- Purging for an owner that does not collect ---- */

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

static bool is_filled(const char *block, char value)
{
    for (size_t i = 0; i < PURGE_SIZE; i++)
        if (block[i] != value)
            return false;
    return true;
}

START_TEST(what_is_not_collected_loses_its_pages)
{
    struct random random = random_begin();
    size_t freed = 0, purged = 0, bytes;
    bool kept[PURGE_BLOCKS];

    random.state += (uint64_t)_i;
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++) {
        kept[i] = i % 48 == 0 || random_below(&random, 16) == 0; /* no slab becomes empty */
        freed += !kept[i] && free_remotely(held[i]);
    }
    bytes = remote_purge(&set);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_eq(remote_purge(&set), 0); /* nothing is given back twice */
    for (int i = 0; i < PURGE_BLOCKS; i++) {
        uint8_t state = *state_of(held[i]);
        bool goes = !kept[i] && is_page_freed(held[i]);
        if (state != (kept[i] ? BLOCK_LIVE
                      : goes  ? BLOCK_PURGED
                              : BLOCK_REMOTE) ||
            !is_filled(held[i], goes ? '\0' : 'x'))
            ck_abort_msg("block %d is in state %u; seed %" PRIu64, i, state, random.seed);
        ck_assert(kept[i] || !free_remotely(held[i])); /* a double free is seen as before */
        purged += goes;
    }
    ck_assert_uint_eq(bytes, purged * PURGE_SIZE);
    ck_assert(remote_pending(&set)); /* the owner will come by, ... */
    ck_assert_uint_eq(remote_collect(&set), freed - purged);
    ck_assert(bin_is_valid(&bin));
    while (bin.window != 0 || bin_open_window(&bin) || bin_next_slab(&bin))
        if (bin.window != 0)
            take(); /* ... and finds every block again */
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert_uint_eq(*state_of(held[i]), BLOCK_LIVE);
    ck_assert(bin_is_valid(&bin));
}
END_TEST

START_TEST(slabs_that_were_purged_whole_are_released)
{
    hold_blocks();
    struct slab *last = bin.slab;
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert(free_remotely(held[i]));
    ck_assert_uint_eq(remote_purge(&set), (size_t)PURGE_BLOCKS * PURGE_SIZE);
    ck_assert_uint_eq(remote_collect(&set), 0);
    ck_assert_uint_eq(bytes_in_slabs(), (size_t)geometry_unpack(last->geometry).units * UNIT_SIZE);
    ck_assert(bin_is_valid(&bin));
    bin_leave_slab(&bin, &set);
    ck_assert_uint_eq(bytes_in_slabs(), 0);
    ck_assert(heap_set_is_valid(&set));
}
END_TEST

START_TEST(only_pending_slabs_are_purged)
{
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++) /* as by threads that have not yet set a bit */
        state_set(state_of(held[i]), BLOCK_REMOTE);
    ck_assert_uint_eq(remote_purge(&set), 0);
    state_set(state_of(held[0]), BLOCK_LIVE);
    struct slab *slab = slab_of(held[0]);
    size_t count = slab->count;
    ck_assert(free_remotely(held[0]));
    ck_assert_uint_eq(remote_purge(&set), count * PURGE_SIZE);
    ck_assert(slab->purged_for_owner);
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_REMOTE);
}
END_TEST

START_TEST(an_owner_that_collects_is_left_alone)
{
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert(free_remotely(held[i]));
    remote_begin(&set);
    ck_assert_uint_eq(remote_purge(&set), 0);
    ck_assert_uint_eq(set.purging, 0);
    for (int i = 0; i < PURGE_BLOCKS; i++)
        ck_assert_uint_eq(*state_of(held[i]), BLOCK_REMOTE);
    remote_end(&set);
    ck_assert_uint_eq(remote_purge(&set), (size_t)PURGE_BLOCKS * PURGE_SIZE);
}
END_TEST

static bool purge_ended; /* under the heap lock */
static bool waited;

static void *begin_collection(void *unused)
{
    remote_begin(&set);
    waited = purge_ended;
    remote_end(&set);
    return unused;
}

START_TEST(the_owner_waits_for_who_purges)
{
    pthread_t owner;

    heap_set_lock(&set);
    __atomic_store_n(&set.purging, 1, __ATOMIC_SEQ_CST);
    ck_assert_int_eq(pthread_create(&owner, NULL, begin_collection, NULL), 0);
    while (__atomic_load_n(&set.collections, __ATOMIC_RELAXED) == 0)
        sched_yield();
    for (int i = 0; i < 1000; i++)
        sched_yield();
    purge_ended = true;
    __atomic_store_n(&set.purging, 0, __ATOMIC_RELEASE);
    heap_set_unlock(&set);
    ck_assert_int_eq(pthread_join(owner, NULL), 0);
    ck_assert(waited);
}
END_TEST

START_TEST(a_tick_purges_what_was_pending_at_the_last)
{
    begin_bin(PURGE_SIZE);
    ck_assert(!remote_tick(&set)); /* nothing pending */
    hold_blocks();
    for (int i = 0; i < PURGE_BLOCKS / 2; i++)
        ck_assert(free_remotely(held[i]));
    remote_collect(&set);
    for (int i = PURGE_BLOCKS / 2; i < PURGE_BLOCKS; i++)
        ck_assert(free_remotely(held[i]));
    ck_assert(remote_tick(&set)); /* the owner has collected a moment ago */
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_REMOTE);
    ck_assert(!remote_tick(&set));
    ck_assert_uint_eq(*state_of(held[PURGE_BLOCKS - 1]), BLOCK_PURGED);
    remote_collect(&set);
    ck_assert(!remote_tick(&set));
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 3, SLOTS = 256, BLOCKS = 60000 };

/* What the owner hands to the threads: atomic, release when filled, acquire when taken. */
static char *slots[SLOTS];
static bool done; /* atomic */

struct freer {
    pthread_t thread;
    size_t freed, failed;
};

/* Takes blocks out of the slots and frees them. */
static void *free_slots(void *argument)
{
    struct freer *freer = argument;

    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (block == NULL)
                continue;
            block[0] = 'f';
            if (free_remotely(block))
                freer->freed++;
            else
                freer->failed++;
        }
        sched_yield();
    }
    return NULL;
}

START_TEST(nothing_is_lost_between_threads)
{
    static const size_t sizes[] = {16, 1024, 64 * 1024};
    struct freer freers[THREADS] = {{.freed = 0}};
    struct random random = random_begin();
    size_t collected = 0, freed = 0, taken = 0, size = sizes[_i / 2];
    size_t most = size > 1024 ? BLOCKS / 10 : BLOCKS;
    bool by_class = _i % 2 != 0;

    begin_bin(size);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&freers[i].thread, NULL, free_slots, &freers[i]), 0);
    while (taken < most) {
        char **slot = &slots[random_below(&random, SLOTS)];
        if (__atomic_load_n(slot, __ATOMIC_RELAXED) != NULL) {
            collected += by_class ? remote_collect_class(&set, bin.class) : remote_collect(&set);
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
    collected += by_class ? remote_collect_class(&set, bin.class) : remote_collect(&set);
    ck_assert_uint_eq(by_class ? remote_collect(&set) : 0, 0);
    /* a slab whose last blocks become REMOTE behind a scan is released with them, uncounted */
    ck_assert_msg(freed == most && collected <= most, "%zu freed, %zu collected; seed %" PRIu64,
                  freed, collected, random.seed);
    ck_assert(bin_is_valid(&bin));
    bin_leave_slab(&bin, &set);
    ck_assert_msg(bytes_in_slabs() == 0, "%zu bytes lost; seed %" PRIu64, bytes_in_slabs(),
                  random.seed);
}
END_TEST

/* Purges all the time. */
static void *purge_always(void *bytes)
{
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        *(size_t *)bytes += remote_purge(&set);
        sched_yield();
    }
    return NULL;
}

/* As free_slots, for blocks filled with the low byte of their address. */
static void *check_and_free_slots(void *argument)
{
    struct freer *freer = argument;

    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (block == NULL)
                continue;
            if (is_filled(block, (char)(1 + ((uintptr_t)block >> 10) % 100)) &&
                free_remotely(block))
                freer->freed++;
            else
                freer->failed++;
        }
        sched_yield();
    }
    return NULL;
}

/*
 * An owner takes, fills and hands out blocks in pages of their own, others check and free them, and
 * one purges whatever is not collected: no block that somebody holds may lose its contents.
 */
START_TEST(purging_beside_an_owner_touches_no_live_block)
{
    struct freer freers[THREADS - 1] = {{.freed = 0}};
    struct random random = random_begin();
    size_t freed = 0, bytes = 0;
    pthread_t purger;

    begin_bin(PURGE_SIZE);
    for (int i = 0; i < THREADS - 1; i++)
        ck_assert_int_eq(pthread_create(&freers[i].thread, NULL, check_and_free_slots, &freers[i]),
                         0);
    ck_assert_int_eq(pthread_create(&purger, NULL, purge_always, &bytes), 0);
    for (size_t taken = 0; taken < BLOCKS;) {
        char **slot = &slots[random_below(&random, SLOTS)];
        if (__atomic_load_n(slot, __ATOMIC_RELAXED) != NULL) {
            if (random_below(&random, 8) == 0)
                remote_collect(&set);
            sched_yield();
            continue;
        }
        char *block = take();
        memset(block, (int)(1 + ((uintptr_t)block >> 10) % 100), PURGE_SIZE);
        taken++;
        __atomic_store_n(slot, block, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    ck_assert_int_eq(pthread_join(purger, NULL), 0);
    for (int i = 0; i < THREADS - 1; i++) {
        ck_assert_int_eq(pthread_join(freers[i].thread, NULL), 0);
        ck_assert_msg(freers[i].failed == 0, "%zu blocks changed; seed %" PRIu64, freers[i].failed,
                      random.seed);
        freed += freers[i].freed;
    }
    ck_assert_uint_eq(freed, BLOCKS);
    bytes += remote_purge(&set);
    ck_assert_msg(bytes != 0, "nothing was ever purged; seed %" PRIu64, random.seed);
    remote_collect(&set);
    ck_assert(bin_is_valid(&bin));
    bin_leave_slab(&bin, &set);
    ck_assert_msg(bytes_in_slabs() == 0, "%zu bytes lost; seed %" PRIu64, bytes_in_slabs(),
                  random.seed);
}
END_TEST

enum { BATCHES = 20000, BATCH = 16 };

/* Purges without a pause. */
static void *purge_at_once(void *bytes)
{
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
        *(size_t *)bytes += remote_purge(&set);
    return NULL;
}

/* The same as close as can be: blocks are freed, collected and taken again all the time. */
START_TEST(no_block_is_purged_in_its_next_life)
{
    char *batch[BATCH];
    size_t bytes = 0;
    pthread_t purger;

    begin_bin(PURGE_SIZE);
    ck_assert_int_eq(pthread_create(&purger, NULL, purge_at_once, &bytes), 0);
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++)
            memset(batch[i] = take(), 1 + round % 100, PURGE_SIZE);
        for (int i = 0; i < BATCH; i++)
            if (!is_filled(batch[i], (char)(1 + round % 100)))
                ck_abort_msg("block %d changed in round %d", i, round);
        for (int i = 0; i < BATCH; i++)
            ck_assert(free_remotely(batch[i]));
        remote_collect(&set);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    ck_assert_int_eq(pthread_join(purger, NULL), 0);
    ck_assert(bin_is_valid(&bin));
}
END_TEST

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

START_TEST(of_two_that_free_the_same_block_one_wins)
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
    ck_assert_uint_eq(remote_collect(&set), RACES);
}
END_TEST

Suite *remote_suite(void)
{
    Suite *suite = suite_create("remote");
    TCase *tests = tcase_create("remote");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, begin, NULL);
    tcase_add_test(tests, a_block_is_freed_once_and_collected_once);
    tcase_add_test(tests, each_class_is_collected_by_itself);
    tcase_add_test(tests, only_a_live_block_is_freed);
    tcase_add_test(tests, every_pending_slab_of_every_heap_is_collected);
    tcase_add_test(tests, a_late_notice_of_a_released_slab_is_harmless);
    tcase_add_loop_test(tests, what_is_not_collected_loses_its_pages, 0, 10);
    tcase_add_test(tests, slabs_that_were_purged_whole_are_released);
    tcase_add_test(tests, only_pending_slabs_are_purged);
    tcase_add_test(tests, an_owner_that_collects_is_left_alone);
    tcase_add_test(tests, the_owner_waits_for_who_purges);
    tcase_add_test(tests, a_tick_purges_what_was_pending_at_the_last);
    tcase_add_loop_test(tests, nothing_is_lost_between_threads, 0, 6);
    tcase_add_test(tests, purging_beside_an_owner_touches_no_live_block);
    tcase_add_test(tests, no_block_is_purged_in_its_next_life);
    tcase_add_test(tests, of_two_that_free_the_same_block_one_wins);
    suite_add_tcase(suite, tests);
    return suite;
}
