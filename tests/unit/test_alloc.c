/*
 * Allocation as the exported functions use it: sizes, zeroed, aligned and resized blocks, and what
 * happens where there is no memory. Random traces: test_alloc_trace.c.
 */
#include "test.h"
#include "arena/idle.h"
#include "capture.h"
#include "memory.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "base/option.h"
#include "base/os.h"
#include "common/random.h"
#include "arena/remote.h"
#include "sanitized.h"
#include "system_limits.h"

#include <errno.h>

SUITE(alloc, .begin = begin);

/* ---- Sizes ---- */

/* Has the calling thread's arena take its blocks of every class from a slab of that class. */
static void use_every_class(void)
{
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++) {
        size_t size = size_class_sizes[class];
        void *block;
        do {
            block = alloc_block(size);
            ck_assert_ptr_nonnull(block);
            free_block(block);
        } while (thread_state.arena->bins[class].block_size == 0);
    }
}

TEST(the_good_size_is_the_usable_size)
{
    struct random random = random_begin();

    use_every_class();

    for (size_t size = 0; size < 3 * MIB;
         size += size < 5000 ? 1 : 1 + random_below(&random, 9999)) {
        void *block = alloc_block(size);
        size_t good = alloc_good_size(size);
        if (block == NULL || good < size || free_usable_size(block, "test") != good ||
            alloc_good_size(good) != good)
            ck_abort_msg("size %zu, good %zu", size, good);
        free_block(block);
    }
    ck_assert_uint_eq(alloc_good_size((size_t)PTRDIFF_MAX + 1), 0);
    ck_assert_uint_eq(alloc_good_size(SIZE_MAX), 0);
}

enum { FEW = 16, FEW_LIMIT = 4096, FEW_PLACE = 64 };

TEST(the_first_blocks_of_classes_share_places)
{
    ck_assert_ptr_nonnull(alloc_block(FEW_PLACE)); /* the thread has an arena */
    for (size_t size = 16; size <= FEW_LIMIT; size = alloc_good_size(size + 1)) {
        size_t usable = align_up(size, FEW_PLACE);
        const struct bin *bin = &thread_state.arena->bins[size_class_of(size)];
        if (size == FEW_PLACE)
            continue;
        for (int i = 0; i < FEW; i++) {
            /* those that are freed count as well */
            void *block = alloc_block(size);
            ck_assert_uint_eq(free_usable_size(block, "test"), usable);
            ck_assert_uint_eq(bin->block_size, 0);
            if (i % 2 == 0)
                free_block(block);
        }
        ck_assert_uint_eq(free_usable_size(alloc_block(size), "test"), size);
        ck_assert_uint_eq(bin->block_size, size);
    }
    ck_assert(arena_is_valid(thread_state.arena));
    void *above = alloc_block(FEW_LIMIT + 1);
    ck_assert_uint_eq(free_usable_size(above, "test"), alloc_good_size(FEW_LIMIT + 1));
}

/* A thread with a handful of blocks of each size has the pages that these fill, not a page more for
 * each class. */
TEST(the_first_blocks_leave_no_page_half_empty)
{
    enum { HANDFUL = 8 };
    size_t bytes = 0;
    uintptr_t lowest = UINTPTR_MAX, end = 0;

    for (size_t size = FEW_PLACE + 16; size <= KIB; size = alloc_good_size(size + 1))
        for (int i = 0; i < HANDFUL; i++) {
            uintptr_t block = (uintptr_t)alloc_block(size);
            lowest = min_size(lowest, block);
            end = max_size(end, block + align_up(size, FEW_PLACE));
            bytes += align_up(size, FEW_PLACE);
        }
    const struct bin *places = &thread_state.arena->bins[size_class_of(FEW_PLACE)];
    ck_assert_uint_eq(lowest, (uintptr_t)places->slab->base);
    ck_assert_uint_eq(end - lowest, bytes);
}

/* What was freed of them serves other classes' first blocks. Where there is much of that class no
 * further slab of it is made for them. */
TEST(the_first_blocks_reuse_places)
{
    void *first = alloc_block(KIB);
    void *second = alloc_block(FEW_LIMIT);
    free_block(first);
    ck_assert_ptr_eq(alloc_block(896), first);
    ck_assert_ptr_eq(alloc_block(100), (char *)first + 896);
    free_block(second);
    ck_assert(arena_is_valid(thread_state.arena));

    /* places in use, so that none is free in the current slab of them */
    const struct bin *places = &thread_state.arena->bins[size_class_of(FEW_PLACE)];
    while (places->units < 4 || places->window != 0 || places->slab->summary != 0)
        ck_assert_ptr_nonnull(alloc_block(FEW_PLACE));
    ck_assert_uint_eq(free_usable_size(alloc_block(2000), "test"), 2 * KIB);
    ck_assert_uint_eq(thread_state.arena->bins[size_class_of(2000)].block_size, 2 * KIB);
}

TEST(the_pages_of_first_blocks_go_back)
{
    char *blocks[FEW];

    for (int i = 0; i < FEW; i++)
        blocks[i] = alloc_block(FEW_LIMIT);
    for (int i = 0; i < FEW - 1; i++)
        free_block(blocks[i]);
    idle_trim();
    ck_assert_uint_eq(blocks_in_state(thread_state.arena, BLOCK_PURGED),
                      (FEW - 1) * FEW_LIMIT / FEW_PLACE);
    ck_assert(arena_is_valid(thread_state.arena));
}

/* Freed blocks above SLAB_SHARED_LIMIT, until their arena wants memory that has no pages. */
TEST(slabs_of_one_block_are_kept)
{
    enum { KEPT = MAGAZINE_LARGEST / 2, LARGER = MAGAZINE_LARGEST };
    void *first = alloc_block(KEPT), *second = alloc_block(KEPT), *third = alloc_block(KEPT);
    struct bin *bin = &thread_state.arena->bins[size_class_of(KEPT)];

    free_block(first);
    free_block(second);
    free_block(third); /* for which there is no room */
    ck_assert_uint_eq(bin->slabs_released, 1);
    ck_assert_ptr_eq(alloc_block(KEPT), second);
    ck_assert_ptr_eq(alloc_block(KEPT), first);
    ck_assert_uint_eq(bin->slabs_made, 3);
    free_block(first);
    free_block(second);
    ck_assert_uint_eq(bin->slabs_released, 1);
    (void)alloc_block(LARGER); /* the first one that takes pages */
    ck_assert_uint_eq(bin->slabs_released, 1);
    (void)alloc_block(LARGER);
    ck_assert_uint_eq(bin->slabs_released, 3);
    ck_assert(own_arena_is_valid());
}

TEST(every_alignment_is_kept)
{
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2) {
        for (size_t size = 0; size <= 2 * MIB; size = size == 0 ? 1 : 5 * size) {
            unsigned char *block = alloc_aligned(alignment, size);
            if (block == NULL || (uintptr_t)block % max_size(alignment, BLOCK_ALIGNMENT) != 0 ||
                free_usable_size(block, "test") < size)
                ck_abort_msg("alignment %zu, size %zu: %p", alignment, size, (void *)block);
            memset(block, 0xa5, size);
            free_block(block);
        }
    }
}

/* ---- Zeroes ---- */

TEST_LOOP(dirty_memory_is_zeroed_again, 0, 8)
{
    enum { BLOCKS = 40 };
    static const size_t sizes[] = {1, 100, 4095, 4096, 5000, 64 * 1024, 1 << 20, 3 << 20};
    unsigned char *blocks[BLOCKS];
    size_t size = sizes[_i];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = alloc_zeroed(size, 1);
            if (blocks[i] == NULL || !is_filled(blocks[i], size, 0))
                ck_abort_msg("round %d, block %d", round, i);
            memset(blocks[i], 0xee, free_usable_size(blocks[i], "test"));
        }
        for (int i = 0; i < BLOCKS; i++)
            free_block(blocks[i]);
        if (round == 1)
            idle_trim();
    }
}

/* Pages that are known to be zero are not written to: they stay out of memory. */
TEST_LOOP(known_zeroes_are_not_touched, 0, 5)
{
    enum { BYTES = 64 << 20 };
    const size_t size = (size_t)1 << (16 + _i); /* 64 KiB to 1 MiB */

    free_block(alloc_block(size));
    size_t before = os_resident();
    for (size_t i = 0; i < BYTES / size; i++)
        ck_assert_ptr_nonnull(alloc_zeroed(1, size));
    ck_assert_uint_lt(os_resident(), before + BYTES / 2);
}

/* Of a large block that is to be zero, little may be touched: it has no huge pages. */
TEST_UNLESS(NO_LIMITS, much_that_is_to_be_zero_declines_huge_pages)
{
    enum { BYTES = 64 << 20 };
    bool supported = huge_pages_are_supported();

    ck_assert_int_eq(has_vm_flag(alloc_zeroed(1, BYTES), " nh"), supported);
    ck_assert_int_eq(has_vm_flag(alloc_block(BYTES), " hg"), supported);
    ck_assert_int_eq(has_vm_flag(alloc_aligned(4 << 20, BYTES), " hg"), supported);
}

/* Pages of a dirty block keep their memory, which a program that uses them would have to fault in
 * again, and those that have none get none. */
TEST_LOOP(zeroing_leaves_memory_where_it_is, 0, 5)
{
    static const size_t sizes[] = {1 << 20, 1500000, 2 << 20, 3900000, 3 << 20};
    size_t size = sizes[_i], pages = align_up(size, os_page_size());

    unsigned char *block = alloc_block(size);
    memset(block, 0xee, pages);
    free_block(block);
    ck_assert_ptr_eq(alloc_zeroed(1, size), block);
    ck_assert_uint_eq(os_filled_in(block, pages), pages);
    ck_assert(is_filled(block, size, 0));
    free_block(block);

    idle_trim();
    block = alloc_block(size);
    memset(block + pages / 4, 0xee, pages / 4);
    size_t filled = os_filled_in(block, pages);
    free_block(block);
    ck_assert_ptr_eq(alloc_zeroed(1, size), block);
    ck_assert_uint_eq(os_filled_in(block, pages), filled);
    ck_assert_uint_lt(filled, pages);
    ck_assert(is_filled(block, size, 0));
}

/* ---- Resizing ---- */

TEST_LOOP(contents_survive_every_change_of_size, 0, 20)
{
    static const size_t sizes[] = {
        1,     16,    17,     64,     65,     128,     129,           1024,    1025,    4096,
        16384, 16385, 100000, 262144, 300000, 1 << 20, (1 << 20) + 1, 2 << 20, 5 << 20, 9 << 20};
    size_t old = sizes[_i];

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t new = sizes[i], kept = min_size(old, new);
        unsigned char *block = alloc_block(old);
        memset(block, 0x3c, old);
        bool was_enough = free_usable_size(block, "test") >= new;
        unsigned char *resized = alloc_resize(block, new, "test");
        if (resized == NULL || !is_filled(resized, kept, 0x3c))
            ck_abort_msg("%zu to %zu", old, new);
        if (was_enough && new >= old && resized != block)
            ck_abort_msg("%zu to %zu: moved without need", old, new);
        if (free_usable_size(resized, "test") < new)
            ck_abort_msg("%zu to %zu: too short", old, new);
        memset(resized, 0x3d, new);
        free_block(resized);
    }
}

TEST(the_edges_of_resizing)
{
    char *block = alloc_resize(NULL, 100, "test");

    ck_assert_ptr_nonnull(block);
    strcpy(block, "kept");
    errno = 0;
    ck_assert_ptr_null(alloc_resize(block, (size_t)PTRDIFF_MAX + 1, "test"));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_resize(block, PTRDIFF_MAX, "test"));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_str_eq(block, "kept");
    ck_assert_ptr_eq(alloc_resize(block, free_usable_size(block, "test"), "test"), block);
    char *smaller = alloc_resize(block, 5, "test");
    ck_assert_str_eq(smaller, "kept");
    ck_assert_uint_lt(free_usable_size(smaller, "test"), 100);
    errno = EXDEV;
    ck_assert_ptr_null(alloc_resize(smaller, 0, "test"));
    ck_assert_int_eq(errno, EXDEV);
    ck_assert(own_arena_is_valid());
}

/* ---- Errors ---- */

TEST(what_cannot_be_had_is_enomem)
{
    errno = 0;
    ck_assert_ptr_null(alloc_block((size_t)PTRDIFF_MAX + 1));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_block(SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_block(PTRDIFF_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_zeroed(SIZE_MAX / 2, 3));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_zeroed(1, SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_aligned(4096, SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(alloc_aligned((size_t)1 << 63, 1));
    ck_assert_int_eq(errno, ENOMEM);
}

TEST(success_leaves_errno_alone)
{
    errno = EXDEV;
    for (size_t size = 1; size <= 8 * MIB; size *= 3) {
        void *block = alloc_block(size), *zeroed = alloc_zeroed(1, size);
        block = alloc_resize(block, 2 * size, "test");
        free_block(block);
        free_block(zeroed);
        free_block(alloc_aligned(256, size));
    }
    idle_trim();
    ck_assert_int_eq(errno, EXDEV);
}

/* ---- What others freed ---- */

/* Has the calling thread's bin of a class use up its current slab; the block taken last. */
static char *use_current_slab_up(unsigned class)
{
    struct bin *bin;
    char *block;
    skip_first_blocks();
    do {
        block = alloc_block(size_class_sizes[class]);
        ck_assert_ptr_nonnull(block);
        bin = &thread_state.arena->bins[class];
    } while (bin->top != bin->bottom || bin->window != 0 || bin->slab->summary != 0);
    return block;
}

/*
 * A thread that frees a block says so for its slab, its heap and then its class. A collection that
 * comes between the last two is one of all classes, when it is due or before a slab is made.
 */
TEST_LOOP(any_collection_lets_the_current_slab_be_used_on, 0, 2)
{
    bool is_due = _i != 0;
    unsigned class = size_class_of(2048);

    ck_assert_int_eq(option_set_text("decay", "3600000"), 0);
    char *block = use_current_slab_up(class);
    struct slab *slab = heap_slab_of(heap_containing(block), block);
    ck_assert(remote_free(&slab->owner->remote, slab, class,
                          slab->states + (size_t)(block - slab->base) / 2048, BLOCK_LIVE));
    slab->owner->remote.pending_classes = 0;
    slab->owner->remote.collected = os_now_ms() - (is_due ? 3600000 : 0);

    ck_assert_ptr_eq(alloc_block(2048), block);
    ck_assert_ptr_eq(thread_state.arena->bins[class].slab, slab);
    ck_assert(own_arena_is_valid());
}

/* Uses up 64 MiB of address space in blocks of one size, frees them, and starts again. */
static void run_out_of_memory(void *argument)
{
    enum { ROOM = 64 << 20, MOST = ROOM / 1024 };
    static void *blocks[MOST];
    size_t size = *(const size_t *)argument, first = 0;

    set_limit(RLIMIT_AS, ROOM);
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        errno = 0;
        while (count < MOST && (blocks[count] = alloc_block(size)) != NULL) {
            memset(blocks[count], round + 1, size);
            count++;
        }
        if (count * size < ROOM / 4)
            _exit(2);
        if (count < MOST && errno != ENOMEM)
            _exit(3);
        if (round == 0)
            first = count;
        if (count < first - first / 4)
            _exit(4);
        for (size_t i = 0; i < count; i++)
            if (!is_filled(blocks[i], size, round + 1))
                _exit(5);
        for (size_t i = 0; i < count; i++)
            free_block(blocks[i]);
        if (!own_arena_is_valid())
            _exit(6);
    }
}

TEST_LOOP_UNLESS(NO_LIMITS, little_address_space_is_used_and_used_again, 0, 5)
{
    static size_t sizes[] = {1024, 50000, 300000, 1 << 20, 3 << 20};

    capture_exit(run_out_of_memory, &sizes[_i], "");
}

/* Uses 128 MiB of address space up in small blocks beside a LARGE one. When that is freed, what it
 * had serves small blocks too, although the stock would keep it. */
static void run_out_beside_stock(void *unused)
{
    enum { ROOM = 128 << 20, LARGE = 24 << 20, SIZE = 1024, WANTED = 16 << 20 };
    size_t more = 0;

    (void)unused;
    set_limit(RLIMIT_AS, ROOM);
    ck_assert_int_eq(option_set_text("large_stock", "64M"), 0);
    void *large = alloc_block(LARGE);
    if (large == NULL)
        _exit(2);
    while (alloc_block(SIZE) != NULL)
        continue;
    free_block(large);
    while (alloc_block(SIZE) != NULL)
        more++;
    if (more * SIZE < WANTED)
        _exit(3);
}

TEST_UNLESS(NO_LIMITS, idle_memory_goes_back_before_malloc_fails)
{
    capture_exit(run_out_beside_stock, NULL, "");
}
