/*
 * Wide blocks as a program gets them: when an arena makes them, and what allocation, resizing and
 * the statistics do with them. What is said about one that is misused: test_free.c.
 */
#include "modes/profile.h"
#include "arena/idle.h"
#include "in_thread.h"
#include "process/stats.h"
#include "wide_arena.h"

#include <acre/acre.h>

SUITE(alloc_wide, .begin = begin_without_decay);

/* ---- When there are any ---- */

TEST(blocks_are_wide_where_there_is_room)
{
    char *first = begin_wide(), *block;
    size_t in_slabs = heap_bytes_in_slabs(), wides = 1;

    ck_assert_uint_eq(slab_of(first)->block_size, PLACE);
    while (is_wide(block = alloc_block(SIZE)) && wides < MOST_WIDES) {
        ck_assert_uint_eq(free_usable_size(block, "test"), SIZE);
        ck_assert_uint_eq(heap_bytes_in_slabs(), in_slabs);
        wides++;
    }
    ck_assert_uint_lt(wides, MOST_WIDES);
    /* three in the 15 places between two that are kept, if no slab were left when it fills */
    size_t most = (size_t)ENOUGH / PLACE / KEPT * 3;
    ck_assert_uint_le(wides, most);
    ck_assert_uint_gt(wides, most - most / 8);
    ck_assert_uint_gt(heap_bytes_in_slabs(), in_slabs);
    ck_assert(arena_is_valid(thread_state.arena));
}

TEST(a_small_arena_has_no_wide_blocks)
{
    leave_room(TOO_FEW, KEPT);
    ck_assert_ptr_null(grow(2 * GROWTH));
    ck_assert_uint_gt(thread_state.arena->look, 0);
    ck_assert(!thread_state.arena->wide);
    /* the same arena when it has grown */
    ck_assert_ptr_nonnull(grow(ENOUGH));
}

TEST(a_full_arena_has_no_wide_blocks)
{
    leave_room(ENOUGH, 1);
    uint32_t look = thread_state.arena->look;
    ck_assert_ptr_null(grow(2 * GROWTH));
    ck_assert_uint_ne(thread_state.arena->look, look);
    ck_assert(!thread_state.arena->wide);
}

TEST(memory_that_has_pages_is_used_before)
{
    begin_wide();
    ck_assert(is_wide(alloc_block(SIZE)));
    free_block(alloc_block(1 << 20));
    ck_assert(!is_wide(alloc_block(SIZE)));
}

static const size_t sizes[] = {1100, 2000, 2048, 3000, 4096, 5120, 14000, 32768};

enum { SIZES = COUNT_OF(sizes), COUNTED = 20 };

/* The rest would waste more than an eighth. */
static bool is_served(size_t size)
{
    size_t class = alloc_good_size(size);
    return align_up(class, PLACE) * 8 <= class * 9 && class <= (size_t)PLACE * (KEPT - 1);
}

TEST_LOOP(a_wide_block_has_the_size_of_its_places, 0, SIZES)
{
    size_t size = sizes[_i], good = alloc_good_size(size);

    begin_wide();
    for (int i = 0; i < COUNTED; i++) {
        char *block = i % 2 == 0 ? alloc_block(size) : alloc_zeroed(1, size);
        size_t usable = free_usable_size(block, "test");
        ck_assert(i % 2 == 0 || is_filled(block, size, 0));
        if (is_wide(block) != is_served(size))
            ck_abort_msg("%zu bytes: %d", size, *state_of(block));
        ck_assert_uint_eq(usable, is_wide(block) ? align_up(good, PLACE) : good);
        memset(block, 'a' + i, usable);
    }
    ck_assert(arena_is_valid(thread_state.arena));
}

TEST(aligned_blocks_are_not_wide)
{
    begin_wide();
    char *odd = alloc_block(SIZE); /* where the next one lies is not a matter of luck */
    while (((uintptr_t)odd / 512) % 2 == 0)
        odd = alloc_block(SIZE);
    for (size_t alignment = 32; alignment <= SIZE; alignment *= 2) {
        char *block = alloc_aligned(alignment, SIZE);
        ck_assert_uint_eq((uintptr_t)block % alignment, 0);
        ck_assert(!is_wide(block));
        ck_assert_uint_eq(free_usable_size(block, "test"), SIZE);
    }
}

/* ---- Resizing ---- */

TEST(a_wide_block_grows_and_shrinks)
{
    char *block = begin_wide();

    memset(block, 'z', SIZE);
    ck_assert_ptr_eq(alloc_resize(block, SIZE / 2, "realloc"), block);
    char *larger = alloc_resize(block, 2 * SIZE, "realloc");
    ck_assert(is_wide(larger) && is_filled(larger, SIZE, 'z'));
    ck_assert(places_are(block, SIZE, BLOCK_FREE));
    char *smaller = alloc_resize(larger, 100, "realloc");
    ck_assert(!is_wide(smaller) && is_filled(smaller, 100, 'z'));
    ck_assert(places_are(larger, 2 * SIZE, BLOCK_FREE));
    ck_assert(arena_is_valid(thread_state.arena));
}

/* ---- Statistics ---- */

static struct acre_stats collect(void)
{
    struct acre_stats stats;

    stats_collect(&stats, sizeof(stats));
    return stats;
}

/* What is live is `blocks` and `bytes` more than before, in the class of the places. */
static void check_live(const struct acre_stats *before, size_t blocks, size_t bytes)
{
    struct acre_stats stats = collect();
    unsigned class = size_class_of(PLACE);

    ck_assert_uint_eq(stats.small_blocks, before->small_blocks + blocks);
    ck_assert_uint_eq(stats.small_live, before->small_live + bytes);
    ck_assert_uint_eq(stats.classes[class].live_blocks,
                      before->classes[class].live_blocks + bytes / PLACE);
    ck_assert_uint_eq(stats.heap_in_slabs, before->heap_in_slabs);
}

TEST(a_wide_block_is_counted_with_its_places)
{
    char *first = begin_wide(), *blocks[COUNTED];
    struct acre_stats before = collect();

    for (size_t i = 0; i < COUNTED; i++) {
        blocks[i] = alloc_block(SIZE);
        check_live(&before, i + 1, (i + 1) * SIZE);
    }
    for (size_t i = COUNTED; i-- > 0;) {
        free_block(blocks[i]);
        check_live(&before, i, i * SIZE);
    }
    ck_assert(is_wide(first));
}

/* ---- Threads ---- */

enum { FREERS = 2, SLOTS = 64, HANDED_OUT = 20000 };

static char *slots[SLOTS]; /* atomic, release when filled, acquire when taken */
static bool done;          /* atomic */

static char filling_of(const char *address)
{
    return (char)(1 + ((uintptr_t)address >> 9) % 100);
}

/* Checks and frees what is in the slots; counts in *wrong what was not as filled. */
static void *free_slots(void *wrong)
{
    for (bool last = false; !last;) {
        last = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
        for (int i = 0; i < SLOTS; i++) {
            char *taken = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
            if (taken == NULL)
                continue;
            *(size_t *)wrong += !is_filled(taken, SIZE, filling_of(taken));
            free_block(taken);
        }
        sched_yield();
    }
    return NULL;
}

TEST(wide_blocks_go_from_thread_to_thread)
{
    size_t wrong[FREERS] = {0}, wides = 0;
    pthread_t threads[FREERS];

    begin_wide();
    struct acre_stats before = collect();
    for (int i = 0; i < FREERS; i++)
        threads[i] = begin_thread(free_slots, &wrong[i]);
    for (int handed_out = 0; handed_out < HANDED_OUT; handed_out++) {
        char **slot = &slots[handed_out % SLOTS];
        WAIT_UNTIL(__atomic_load_n(slot, __ATOMIC_RELAXED) == NULL);
        char *taken = alloc_block(SIZE);
        memset(taken, filling_of(taken), SIZE);
        wides += is_wide(taken);
        if (handed_out % 256 == 0)
            thread_state.arena->look++; /* as growth does */
        __atomic_store_n(slot, taken, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < FREERS; i++) {
        end_thread(threads[i]);
        ck_assert_uint_eq(wrong[i], 0);
    }
    ck_assert_uint_gt(wides, 100);
    ck_assert(arena_is_valid(thread_state.arena));
    idle_trim();
    struct acre_stats stats = collect();
    ck_assert_uint_eq(stats.small_blocks, before.small_blocks);
    ck_assert_uint_eq(stats.small_live, before.small_live);
    ck_assert(arena_is_valid(thread_state.arena));
}

/* A sampled block is one of its class: SAMPLED is the state of one place. */
TEST(a_sampled_block_is_no_wide_one)
{
    begin_wide();
    ck_assert(is_wide(alloc_block(SIZE)));
    ck_assert_int_eq(profile_start(1), 0);
    char *block = alloc_block(SIZE);
    ck_assert_uint_eq(*state_of(block), BLOCK_SAMPLED);
    ck_assert_uint_ge(slab_of(block)->block_size, SIZE);
    ck_assert_uint_eq(profile_samples, 1);
    free_block(block);
    ck_assert(own_arena_is_valid());
}
