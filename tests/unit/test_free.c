/*
 * Freeing: right frees by owner and others, and every wrong one in a child of its own, with the
 * exact line that it must give. The tables of misuses are run for blocks of each kind.
 */
#include "test.h"
#include "misuses.h"
#include "own_arena.h"
#include "arena/idle.h"
#include "base/option.h"

#include <errno.h>

static const struct kind {
    const char *name;
    size_t size; /* bytes, a size class's or whole pages: the block's size is the same */
} kinds[] = {
    {"TINY", 64}, {"SMALL", 5120}, {"SMALL", 40 << 10}, {"SMALL", 1 << 20}, {"LARGE", 2 << 20}};

enum { KINDS = COUNT_OF(kinds) };

static const struct kind *kind;

SUITE(free, .begin = begin);

static bool is_large(void)
{
    return strcmp(kind->name, "LARGE") == 0;
}

/* True if a block of that kind is a slab of its own, released when its owner frees it. */
static bool is_one_slab(void)
{
    return kind->size > SLAB_SHARED_LIMIT && !is_large();
}

/* ---- Misuses: each is the last thing that a child does ---- */

enum { LAST = 1 << 30 }; /* an offset: 16 bytes before the end of the block */

static const struct misuse misuses[] = {
    {FREE, FREE, 0},
    {FREE_AMID_OTHERS, FREE, 0},
    {FREE, FREE_IN_THREAD, 0},
    {FREE_IN_THREAD, FREE, 0},
    {FREE_IN_THREAD, FREE_IN_THREAD, 0},
    {FREE, GROW, 0},
    {FREE, RESIZE_TO_0, 0},
    {FREE, ASK_SIZE, 0},
    {NOTHING, FREE, 16},
    {NOTHING, FREE, LAST},
    {NOTHING, FREE_IN_THREAD, 32},
    {NOTHING, SHRINK, 16},
    {NOTHING, FREE, 1},
    {NOTHING, FREE_IN_THREAD, 8},
};

TEST_LOOP(a_misuse_is_named, 0, COUNT_OF(misuses) * KINDS)
{
    struct misuse misuse = misuses[_i / KINDS];
    bool by_owner = misuse.first == FREE || misuse.first == FREE_AMID_OTHERS;
    char rest[128] = "";

    kind = &kinds[_i % KINDS];
    block = alloc_block(kind->size);
    ck_assert_uint_eq(free_usable_size(block, "test"), kind->size);
    if (misuse.offset == LAST)
        misuse.offset = kind->size - 16;
    if (by_owner && is_one_slab())
        strcpy(rest, "the block was released\n");
    else if (!is_large() || misuse.offset != 0) /* a freed LARGE one may be merged with another */
        snprintf(rest, sizeof(rest), "block %p of %zu bytes, %s%s\n", (void *)block, kind->size,
                 kind->name, is_large() ? "" : ", arena 1");
    check_misuse(&misuse, rest);
}

/* ---- Pointers that no block was at ---- */

static char in_data[64] __attribute__((aligned(64)));
static const void *wild; /* what the child frees */

static void free_wild(void *unused)
{
    (void)unused;
    free_block((void *)(uintptr_t)wild);
}

static void free_wild_in_thread(void *unused)
{
    (void)unused;
    run_thread(free_in_thread, (void *)(uintptr_t)wild);
}

/* A free of `pointer`, by this thread or another one, ends the process with a report of that
 * format. */
static void check_reported(const void *pointer, bool in_thread, const char *format)
{
    char line[128];

    wild = pointer;
    snprintf(line, sizeof(line), format, wild);
    capture_abort(in_thread ? free_wild_in_thread : free_wild, NULL, line);
}

static void check_foreign(const void *pointer, bool in_thread)
{
    check_reported(pointer, in_thread,
                   "acre: foreign pointer: free(%p): not a block of this allocator\n");
}

TEST_LOOP(a_wild_pointer_is_foreign, 0, 2)
{
    char on_stack[64] __attribute__((aligned(64)));

    block = alloc_block(3072); /* 21 to a unit, which leaves a tail */
    struct slab *slab = heap_slab_of(heap_containing(block), block);
    struct heap *heap = heap_containing(block);
    const char *unit_end = slab->base + (size_t)slab->count * slab->block_size;
    ck_assert_uint_lt((size_t)slab->count * slab->block_size,
                      (size_t)geometry_unpack(slab->geometry).units * UNIT_SIZE);
    const void *pointers[] = {
        on_stack,
        in_data,
        (void *)(uintptr_t)&free_wild,
        (void *)16,
        (void *)((uintptr_t)1 << 63),
        (void *)(UINTPTR_MAX - 15),
        (void *)((uintptr_t)1 << 47),
        (void *)((uintptr_t)1 << 48),
        heap,
        slab,
        slab->states,
        thread_own_arena(),
        (char *)heap + (size_t)heap->first_unit * UNIT_SIZE - 4096, /* the guard */
        (char *)heap + heap->size - 16,                             /* never opened */
        unit_end,                                                   /* follows the last block */
    };

    for (size_t i = 0; i < COUNT_OF(pointers); i++)
        check_foreign(pointers[i], _i != 0);
}

/* A slab whose run is longer than its blocks: the states after its own are those of other slabs,
 * here of LIVE blocks. */
TEST(no_other_thread_frees_what_follows_the_last_block)
{
    enum { OTHERS = 300 };

    block = alloc_block(64);
    struct slab *slab = heap_slab_of(heap_containing(block), block);
    for (int i = 0; i < OTHERS; i++)
        ck_assert_ptr_nonnull(alloc_block(1024));
    size_t places = (size_t)geometry_unpack(slab->geometry).units * UNIT_SIZE / slab->block_size;
    for (size_t number = slab->count; number < places; number += 7)
        check_foreign(slab->base + number * slab->block_size, true);
}

static void free_released(void *unused)
{
    (void)unused;
    free_block(block);
    idle_trim(); /* its slab goes */
    free_block(block);
}

TEST(a_block_of_a_released_slab_was_freed_before)
{
    char line[128];

    block = alloc_block(1 << 20);
    snprintf(line, sizeof(line), "acre: double free: free(%p): the block was released\n", block);
    capture_abort(free_released, NULL, line);
}

/* No block starts at a misaligned address, so it was none that was freed before. */
TEST_LOOP(a_misaligned_pointer_into_released_units_is_no_double_free, 0, 2)
{
    static const size_t offsets[] = {1, 8, 15, 4096 + 8, (1 << 20) - 1};

    block = alloc_block(1 << 20);
    free_block(block);
    for (size_t i = 0; i < COUNT_OF(offsets); i++)
        check_reported(block + offsets[i], _i != 0, "acre: misaligned pointer: free(%p)\n");
}

/* ---- Going on after a misuse ---- */

static void misuse_and_go_on(void *unused)
{
    void *again[2];

    (void)unused;
    if (option_set_text("abort", "0") != 0)
        _exit(1);
    errno = EXDEV;
    free_block(block + 16);
    free_block(block + 1);
    free_block(in_data);
    free_block(block);
    free_block(block);
    free_block(block);
    run_thread(free_in_thread, block);
    if (errno != EXDEV)
        _exit(2);
    if (alloc_resize(block, 10, "realloc") != NULL || errno != ENOMEM)
        _exit(3);
    if (free_usable_size(block, "test") != 0 || free_usable_size(NULL, "test") != 0)
        _exit(4);
    for (int i = 0; i < 2; i++)
        again[i] = alloc_block(kind->size);
    if (again[0] == again[1] || !own_arena_is_valid())
        _exit(5);
}

TEST_LOOP(without_abort_a_misuse_changes_nothing, 0, KINDS)
{
    enum { MISUSES = 9 };
    struct capture capture;

    kind = &kinds[_i];
    block = alloc_block(kind->size);
    capture_child(&capture, misuse_and_go_on, NULL);
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    ck_assert_uint_eq(capture.writes, MISUSES);
}

/* ---- Right frees ---- */

TEST_LOOP(frees_leave_errno_alone, 0, KINDS)
{
    kind = &kinds[_i];
    errno = EXDEV;
    for (int i = 0; i < 100; i++)
        free_block(alloc_block(kind->size));
    run_thread(free_in_thread, alloc_block(kind->size));
    free_block(NULL);
    idle_trim();
    ck_assert_int_eq(errno, EXDEV);
    ck_assert(own_arena_is_valid());
}

TEST(the_first_call_of_a_thread_may_free_null)
{
    run_thread(free_in_thread, NULL);
    ck_assert_ptr_null(arena_first());
}

TEST(a_full_magazine_gives_back)
{
    enum { BLOCKS = 100 };
    void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
    struct bin *bin = &thread_state.arena->bins[size_class_of(64)];
    ck_assert_ptr_eq(bin->top, bin->limit);
    struct slab *slab = heap_slab_of(heap_containing(blocks[0]), blocks[0]);
    ck_assert_uint_eq(states_count(slab->states, slab->count, BLOCK_CACHED),
                      magazine_capacity(size_class_of(64)));
    ck_assert_uint_eq(states_count(slab->states, slab->count, BLOCK_LIVE), 0);
    ck_assert(own_arena_is_valid());
}

/* Two threads free the same blocks at once: the other arena's owner sees each freed once. */
enum { RACED = 50, RACING_CHILDREN = 10 };
static void *raced[RACED];
static pthread_barrier_t start;

static void *free_all(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&start);
    for (int i = 0; i < RACED; i++)
        free_block(raced[i]);
    return NULL;
}

static void free_by_two_at_once(void *unused)
{
    char both[2];

    (void)unused;
    if (option_set_text("abort", "0") != 0)
        _exit(1);
    pthread_barrier_init(&start, NULL, 2);
    run_threads(free_all, both, 2, 1);
    idle_trim();
    if (!own_arena_is_valid())
        _exit(3);
}

TEST(of_two_threads_that_free_a_block_at_once_one_is_wrong)
{
    struct capture capture;

    for (int i = 0; i < RACED; i++)
        raced[i] = alloc_block(64);
    for (int i = 0; i < RACING_CHILDREN; i++) {
        capture_child(&capture, free_by_two_at_once, NULL);
        ck_assert_int_eq(capture.status, 0);
        ck_assert_uint_eq(capture.writes, RACED);
    }
}
