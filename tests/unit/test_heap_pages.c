/* What is accessible of a heap, and which of its units are backed by huge pages. */
#include "test.h"
#include "sanitized.h"
#include "base/bits.h"
#include "heap/heap_pages.h"
#include "heap_runs.h"
#include "base/os.h"
#include "memory.h"

SUITE(heap_pages, .begin = begin);

TEST(only_what_is_opened_is_accessible)
{
    struct slab *slab = take(1);
    struct heap *heap = slab_heap(slab);

    ck_assert(is_accessible(slab->base));
    ck_assert(is_guard(slab->base - os_page_size()));
    ck_assert(is_guard(heap->states + heap->states_opened));
    ck_assert(is_guard(heap->states + heap->size / HEAP_BYTES_OF_STATE));
    ck_assert(is_guard((char *)heap + (size_t)heap->opened_limit * UNIT_SIZE));
    ck_assert(is_guard((char *)heap + (size_t)heap->unit_limit * UNIT_SIZE - os_page_size()));
    ck_assert(is_guard((char *)heap - os_page_size()));
    /* what is accessible counts for a core of the process: both begin small */
    ck_assert_uint_eq(heap->states_opened, align_up(8 * KIB, os_page_size()));
    ck_assert_uint_le((heap->opened_limit - heap->first_unit) * UNIT_SIZE, 128 * KIB);
}

/* The heap that the set has made after `heap`. */
static struct heap *heap_after(const struct heap *heap)
{
    struct slab *slab;
    do
        slab = take(1);
    while (slab_heap(slab) == heap);
    return slab_heap(slab);
}

TEST(a_full_heap_ends_at_a_guard)
{
    struct heap *heap = slab_heap(take(1));
    struct heap *next = heap_after(heap);

    ck_assert_uint_eq(heap->opened_limit, heap->unit_limit);
    ck_assert_uint_eq(bits_count(heap->free_units, 0, HEAP_UNITS), 0);
    char *end = heap_unit_address(heap, heap->unit_limit);
    ck_assert(is_accessible(end - 1));
    ck_assert(!is_accessible(end));
    ck_assert(is_guard((char *)next - os_page_size()));
    /* side by side the two guards are one */
    if ((char *)next == (char *)heap + HEAP_SIZE)
        ck_assert_ptr_eq(end, (char *)next - HEAP_GUARD_UNITS * UNIT_SIZE);
}

/* Mappings of this process. */
static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    size_t mappings = 0;
    for (int c = getc(maps); c != EOF; c = getc(maps))
        mappings += c == '\n';
    fclose(maps);
    return mappings;
}

/* Checks how many mappings came after there were `before`. Not with sanitizers, whose runtimes map
 * memory of their own beside each. */
static void check_mappings(size_t before, size_t most)
{
    if (!UNDER_SANITIZER)
        ck_assert_uint_le(count_mappings() - before, most);
}

/* Makes heaps that the set does not know; returns the last one. */
static struct heap *make_heaps(size_t count)
{
    struct heap *heap = NULL;
    heap_set_lock(&set);
    while (count-- > 0) {
        heap = heap_create(&set, 1);
        ck_assert_ptr_nonnull(heap);
    }
    heap_set_unlock(&set);
    return heap;
}

/* They are many: each has fewer mappings, and no guard in front of its units. */
TEST(heaps_from_the_257th_on_take_two_mappings)
{
    enum { GUARDED = 256, SOME = 100, SLACK = 8 };
    size_t page = os_page_size(), before = count_mappings();
    struct heap *heap = make_heaps(SOME);

    check_mappings(before, 4 * SOME + SLACK);
    ck_assert(is_guard(heap_unit_address(heap, heap->first_unit) - page));

    heap = make_heaps(GUARDED - SOME);
    ck_assert(is_guard(heap_unit_address(heap, heap->first_unit) - page));
    before = count_mappings();
    heap = make_heaps(SOME);
    check_mappings(before, 2 * SOME + SLACK);
    ck_assert(is_accessible(heap_unit_address(heap, heap->first_unit) - page));
    ck_assert_uint_eq(heap->states_opened, heap_states_size(heap));
    ck_assert(is_guard((char *)heap - page));
    ck_assert(is_guard(heap_unit_address(heap, heap->opened_limit)));
}

/* With option hardened they have it. */
TEST(hardened_heaps_from_the_257th_on_are_guarded)
{
    enum { SOME = 270 };
    ck_assert_int_eq(option_set_text("hardened", "1"), 0);
    struct heap *heap = make_heaps(SOME);
    ck_assert(is_guard(heap_unit_address(heap, heap->first_unit) - os_page_size()));
}

/* ---- Huge pages ---- */

#define HUGE_PAGE ((size_t)HEAP_HUGE_UNITS * UNIT_SIZE)

enum { SMALL_BLOCKS = 64 }; /* in a unit */

/* Takes units, for `blocks` blocks in each, until unit number `unit` is taken in a heap with this
 * index; returns its slab. */
static struct slab *reach(uint32_t index, size_t unit, unsigned blocks)
{
    struct slab *slab;
    do {
        slab = try_take_blocks(1, blocks);
        ck_assert_ptr_nonnull(slab);
    } while (slab_heap(slab)->index != index ||
             (uintptr_t)slab->base % HEAP_SIZE != unit * UNIT_SIZE);
    return slab;
}

/* The first slab in a huge page that is filled in, if the system has one. */
static struct slab *reach_huge_page(void)
{
    return reach(0, HEAP_HUGE_FROM, SMALL_BLOCKS);
}

static char *last_page(const struct slab *slab)
{
    return slab->base + HUGE_PAGE - os_page_size();
}

/* The system backs a first touch by a huge page only if all of that can be accessed by then. */
TEST(a_huge_page_is_opened_at_once)
{
    set_option("huge_pages", "always");
    char *base = reach(0, HEAP_HUGE_UNITS, SMALL_BLOCKS)->base;

    ck_assert(is_accessible(base + HUGE_PAGE - os_page_size()));
    ck_assert(!is_accessible(base + HUGE_PAGE));
    ck_assert_int_eq(has_vm_flag(base, " hg"), huge_pages_are_supported());
    ck_assert_int_eq(has_vm_flag(base + HUGE_PAGE - 1, " hg"), huge_pages_are_supported());
}

TEST(a_small_heap_declines_huge_pages)
{
    char *base = reach(0, HEAP_HUGE_FROM - 1, SMALL_BLOCKS)->base;

    ck_assert(!os_is_filled_in(base));
    ck_assert_int_eq(has_vm_flag(base, " nh"), huge_pages_are_supported());
}

/* Where something is in the way, not all of a heap is mapped again at once. */
TEST(what_is_mapped_again_later_declines_huge_pages)
{
    struct slab *slab = take(SLAB_MAX_UNITS);
    struct heap *heap = slab_heap(slab);
    size_t page = os_page_size();

    heap_set_give(slab);
    heap_set_unmap_empty(&set);
    ck_assert(os_reserve_at(heap_unit_address(heap, HEAP_UNITS - HEAP_GUARD_UNITS) - page, page));
    slab = take(SLAB_MAX_UNITS);
    ck_assert_ptr_eq(slab_heap(slab), heap);
    size_t limit = heap->unit_limit;
    ck_assert_uint_lt(limit, HEAP_UNITS - HEAP_GUARD_UNITS);
    while (slab->base < heap_unit_address(heap, limit)) {
        slab = take(SLAB_MAX_UNITS);
        ck_assert_ptr_eq(slab_heap(slab), heap);
    }
    ck_assert_int_eq(has_vm_flag(slab->base, " nh"), huge_pages_are_supported());
}

/* True if the system gives a huge page to a process that asks for one now. */
static bool system_gives_huge_pages(void)
{
    char *wide = os_map(2 * HUGE_PAGE);
    ck_assert_ptr_nonnull(wide);
    char *base = (char *)align_up((uintptr_t)wide, HUGE_PAGE);

    os_huge_pages(base, HUGE_PAGE, true);
    *base = 1;
    bool given = os_is_filled_in(base + HUGE_PAGE - os_page_size());
    os_unmap(wide, 2 * HUGE_PAGE);
    return given;
}

/* Whether the slab's huge page was filled in, and that all is counted as it is then. */
static bool check_filled(const struct slab *slab)
{
    bool filled = os_is_filled_in(last_page(slab));

    ck_assert(filled || !system_gives_huge_pages());
    ck_assert_uint_eq(totals().free_dirty, filled ? HUGE_PAGE - UNIT_SIZE : 0);
    ck_assert_int_eq(has_vm_flag(slab->base, " nh"), huge_pages_are_supported());
    ck_assert(slab->zero); /* calloc need not write to it */
    ck_assert_int_eq(slab->untouched, !filled);
    ck_assert(heap_set_is_valid(&set));
    return filled;
}

TEST(a_grown_heap_takes_huge_pages_and_gives_back_what_it_does_not_use)
{
    struct slab *slab = reach_huge_page();
    bool filled = check_filled(slab);

    ck_assert_uint_eq(heap_set_purge(&set, UINT64_MAX), filled ? HUGE_PAGE - UNIT_SIZE : 0);
    ck_assert(os_is_filled_in(slab->base));
    ck_assert(!os_is_filled_in(last_page(slab)));
    /* once: what went back in part is not filled in again */
    struct slab *next = try_take_blocks(1, SMALL_BLOCKS);
    ck_assert_ptr_eq(next->base, slab->base + UNIT_SIZE);
    ck_assert(next->zero && next->untouched);
    ck_assert(!os_is_filled_in(last_page(slab)));
}

TEST(a_huge_page_that_went_back_as_a_whole_comes_back_as_one)
{
    struct slab *slab = reach_huge_page();

    heap_set_give(slab);
    ck_assert_uint_ge(heap_set_purge(&set, UINT64_MAX), UNIT_SIZE);
    ck_assert_ptr_eq(try_take_blocks(1, SMALL_BLOCKS), slab);
    bool filled = os_is_filled_in(last_page(slab));
    ck_assert(filled || !system_gives_huge_pages());
    ck_assert_uint_eq(totals().free_dirty, filled ? HUGE_PAGE - UNIT_SIZE : 0);
    ck_assert(is_filled(slab->base, UNIT_SIZE, 0));
    ck_assert(heap_set_is_valid(&set));
}

TEST(later_heaps_take_huge_pages_from_the_second_one_on)
{
    check_filled(reach(1, HEAP_HUGE_UNITS, SMALL_BLOCKS));
}

/* What may be idle for no time, or not so much of it, is not filled in; nor what may be touched
 * here and there only. */
TEST_LOOP(huge_pages_are_not_filled_in_where_they_do_not_fit, 0, 4)
{
    static const struct {
        const char *option, *value;
        unsigned blocks;
    } cases[] = {
        {"decay", "0", SMALL_BLOCKS},
        {"dirty_limit", "1M", SMALL_BLOCKS},
        {"huge_pages", "never", SMALL_BLOCKS},
        {"huge_pages", "large", 1},
    };
    set_option(cases[_i].option, cases[_i].value);
    struct slab *slab = reach(0, HEAP_HUGE_FROM, cases[_i].blocks);

    ck_assert(!os_is_filled_in(slab->base));
    ck_assert(slab->zero);
    ck_assert_uint_eq(totals().free_dirty, 0);
}

/* One page in that many is spared: the blocks are in use for the most part, or for too little. */
enum { MOSTLY = 8, TOO_FEW = 3 };

/* Takes units in the first heap up to this one, each one large block, and uses all their pages but
 * each one in `spared`; returns the last one, unused. */
static struct slab *use_up_to(size_t limit, size_t spared)
{
    for (;;) {
        struct slab *slab = try_take_blocks(1, 1);
        ck_assert_ptr_nonnull(slab);
        if ((uintptr_t)slab->base % HEAP_SIZE == limit * UNIT_SIZE)
            return slab;
        for (size_t page = 0; page < UNIT_SIZE / os_page_size(); page++)
            if (page % spared != 0)
                slab->base[page * os_page_size()] = 1;
    }
}

TEST(huge_pages_are_filled_in_for_large_blocks_whose_like_are_in_use)
{
    check_filled(use_up_to(HEAP_HUGE_FROM, MOSTLY));
    begin();
    ck_assert(!os_is_filled_in(last_page(use_up_to(HEAP_HUGE_FROM, TOO_FEW))));
}

TEST(a_block_that_grows_into_a_huge_page_keeps_what_is_filled_in)
{
    struct slab *slab = use_up_to(HEAP_HUGE_FROM - 1, MOSTLY);

    set_option("dirty_limit", "2M"); /* for a huge page: not passed by what one has left */
    memset(slab->base, 1, UNIT_SIZE);
    ck_assert(resize(slab, 2));
    bool filled = os_is_filled_in(slab->base + HUGE_PAGE);
    ck_assert(filled || !system_gives_huge_pages());
    ck_assert_uint_eq(totals().free_dirty, filled ? HUGE_PAGE - UNIT_SIZE : 0);
    ck_assert(heap_set_is_valid(&set));
}

/* That a huge page has memory does not say that it is in use. */
TEST(after_four_huge_pages_one_is_left_to_page_faults)
{
    enum { IN_A_ROW = 4 };
    struct slab *slab = use_up_to(HEAP_HUGE_FROM, MOSTLY);
    bool all_filled = true;

    for (int i = 0; i < IN_A_ROW; i++) {
        all_filled = check_filled(slab) && all_filled;
        slab = reach(0, HEAP_HUGE_FROM + (size_t)(i + 1) * HEAP_HUGE_UNITS, 1);
    }
    ck_assert(!all_filled || !os_is_filled_in(last_page(slab)));
    ck_assert(heap_set_is_valid(&set));
}

/* A child that has lost the holder of the lock takes all that was ever accessible for dirty. */
TEST(huge_pages_of_a_rebuilt_heap_are_counted_once)
{
    struct slab *slabs[4 * HEAP_UNITS];
    int count = 0;
    do
        slabs[count++] = try_take_blocks(SLAB_MAX_UNITS, SLAB_MAX_UNITS * SMALL_BLOCKS);
    while (totals().heaps < 3);
    while (count > 0)
        heap_set_give(slabs[--count]);
    heap_set_purge(&set, UINT64_MAX);
    rebuild();
    ck_assert(heap_set_is_valid(&set));

    for (count = 0; totals().heaps <= 3; count++)
        ck_assert_ptr_nonnull(try_take_blocks(SLAB_MAX_UNITS, SLAB_MAX_UNITS * SMALL_BLOCKS));
    ck_assert(heap_set_is_valid(&set));
}
