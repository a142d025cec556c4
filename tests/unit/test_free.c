/*
 * Freeing: right frees by owner and others, and every wrong one in a child of its own, with the
 * exact line that it must give. The table of misuses is run for blocks of each kind.
 */
#include "arena/idle.h"
#include "base/option.h"
#include "paths/alloc.h"
#include "capture.h"
#include "memory.h"
#include "modes/profile.h"
#include "own_arena.h"
#include "paths/free.h"
#include "in_thread.h"
#include "wide_arena.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

static const struct kind {
    const char *name;
    size_t size;  /* bytes, a size class's or whole pages: the block's size is the same */
    bool wide;    /* it lies in the place of blocks of PLACE bytes */
    bool sampled; /* it is in the heap profile, as all blocks are then */
} kinds[] = {
    {"TINY", 64, false, false},        {"SMALL", 5120, false, false},
    {"SMALL", 40 << 10, false, false}, {"SMALL", 1 << 20, false, false},
    {"LARGE", 2 << 20, false, false},  {"SMALL", SIZE, true, false},
    {"TINY", 64, false, true},         {"SMALL", 40 << 10, false, true},
    {"LARGE", 2 << 20, false, true},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct kind *kind;
static char *block; /* LIVE, of that kind */

SUITE(free, .begin = begin_without_decay);

static void make_block(int number)
{
    kind = &kinds[number];
    if (kind->wide)
        begin_wide();
    if (kind->sampled)
        ck_assert_int_eq(profile_start(1), 0);
    block = alloc_block(kind->size);
    ck_assert_uint_eq(free_usable_size(block, "test"), kind->size);
    ck_assert(!kind->wide || (is_wide(block) && is_wide(alloc_block(SIZE))));
    memset(block, 'm', kind->size);
}

static bool is_large(void)
{
    return strcmp(kind->name, "LARGE") == 0;
}

/* True if a block of that kind is a slab of its own, released when its owner frees it. */
static bool is_one_slab(void)
{
    return kind->size > MAGAZINE_LARGEST && !is_large();
}

/* ---- Misuses: each is the last thing that a child does ---- */

enum act { NOTHING, FREE, FREE_WITH_OTHERS, FREE_IN_THREAD, RESIZE, RESIZE_TO_ZERO, USABLE_SIZE };

/* Frees a block among others of its class. */
static void free_with_others(void *p)
{
    enum { OTHERS = 70 }; /* more than a magazine and a window hold */
    static void *others[OTHERS];

    for (int i = 0; i < OTHERS; i++)
        others[i] = alloc_block(kind->size);
    free_block(p);
    for (int i = 0; i < OTHERS; i++)
        free_block(others[i]);
}

static void act_on(enum act act, void *p)
{
    if (act == FREE)
        free_block(p);
    else if (act == FREE_WITH_OTHERS)
        free_with_others(p);
    else if (act == FREE_IN_THREAD)
        run_thread(free_in_thread, p);
    else if (act == RESIZE || act == RESIZE_TO_ZERO)
        alloc_resize(p, act == RESIZE ? 2 * kind->size : 0, "realloc");
    else if (act == USABLE_SIZE)
        free_usable_size(p, "malloc_usable_size");
}

/* Offsets of a pointer in the block that depend on its size. */
enum { HALF = -1, LAST_16 = -2, LAST_BYTE = -3 };

static const struct misuse_case {
    enum act before; /* what is done right: a free, or nothing */
    enum act misuse;
    int offset; /* of the pointer misused, in the block */
} cases[] = {
    {FREE, FREE, 0},
    {FREE_WITH_OTHERS, FREE, 0},
    {FREE, FREE_IN_THREAD, 0},
    {FREE_IN_THREAD, FREE, 0},
    {FREE_IN_THREAD, FREE_IN_THREAD, 0},
    {FREE, RESIZE, 0},
    {FREE_IN_THREAD, RESIZE, 0},
    {FREE, RESIZE_TO_ZERO, 0},
    {FREE, USABLE_SIZE, 0},
    {FREE_IN_THREAD, USABLE_SIZE, 0},
    {NOTHING, FREE, 16},
    {NOTHING, FREE, HALF},
    {NOTHING, FREE, LAST_16},
    {NOTHING, FREE, 1},
    {NOTHING, FREE, LAST_BYTE},
    {NOTHING, FREE_IN_THREAD, 32},
    {NOTHING, FREE_IN_THREAD, HALF},
    {NOTHING, FREE_IN_THREAD, 8},
    {NOTHING, FREE_IN_THREAD, LAST_BYTE},
    {FREE_IN_THREAD, FREE, HALF},
    {NOTHING, RESIZE, 16},
    {NOTHING, RESIZE, HALF},
    {NOTHING, USABLE_SIZE, HALF},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static char *pointer_of(const struct misuse_case *misuse)
{
    if (misuse->offset >= 0)
        return block + misuse->offset;
    return misuse->offset == HALF ? block + kind->size / 2
                                  : block + kind->size - (misuse->offset == LAST_16 ? 16 : 1);
}

static void run_case(void *argument)
{
    const struct misuse_case *misuse = argument;

    act_on(misuse->before, block);
    act_on(misuse->misuse, pointer_of(misuse));
}

static void check_aborted(const struct capture *capture)
{
    ck_assert_uint_eq(capture->writes, 1);
    ck_assert(WIFSIGNALED(capture->status));
    ck_assert_int_eq(WTERMSIG(capture->status), SIGABRT);
}

/* What is said of the block. */
static void format_block(char *text, size_t size, const struct misuse_case *misuse)
{
    bool by_owner = misuse->before == FREE || misuse->before == FREE_WITH_OTHERS;

    if (by_owner && is_one_slab())
        snprintf(text, size, "the block was released\n");
    else if (by_owner && kind->wide) /* its places are blocks again */
        snprintf(text, size, "block %p of %d bytes, TINY, arena 1\n", (void *)block, PLACE);
    else
        snprintf(text, size, "block %p of %zu bytes, %s%s\n", (void *)block, kind->size, kind->name,
                 is_large() ? "" : ", arena 1");
}

TEST_LOOP(a_misuse_is_named, 0, CASES *KINDS)
{
    const struct misuse_case *misuse = &cases[_i / KINDS];
    char begins[128], block_text[128];
    struct capture capture;

    make_block(_i % KINDS);
    char *pointer = pointer_of(misuse);
    if (is_large() && misuse->before != NOTHING && pointer != block)
        return; /* where a freed one began is forgotten, if it is merged with another */
    capture_child(&capture, run_case, (void *)(uintptr_t)misuse);

    bool uses = misuse->misuse == USABLE_SIZE || misuse->misuse >= RESIZE;
    const char *fault = pointer == block ? uses ? "use after free" : "double free"
                        : (uintptr_t)pointer % BLOCK_ALIGNMENT == 0 ? "interior pointer"
                                                                    : "misaligned pointer";
    const char *function = misuse->misuse == USABLE_SIZE ? "malloc_usable_size"
                           : misuse->misuse >= RESIZE    ? "realloc"
                                                         : "free";
    size_t length = (size_t)snprintf(begins, sizeof(begins), "acre: %s: %s(%p): ", fault, function,
                                     (void *)pointer);
    ck_assert_msg(strncmp(capture.text, begins, length) == 0, "%snot %s", capture.text, begins);
    format_block(block_text, sizeof(block_text), misuse);
    if (!is_large() || pointer != block)
        ck_assert_str_eq(capture.text + length, block_text);
    check_aborted(&capture);
}

/* ---- What is said of the blocks next to it ---- */

static void check_neighbours(const char *before, const char *after)
{
    struct capture capture;
    char lines[256];
    static const struct misuse_case interior = {NOTHING, FREE, 16};

    kind = &kinds[0];
    capture_child(&capture, run_case, (void *)(uintptr_t)&interior);
    snprintf(lines, sizeof(lines), "%s%sacre:   called by thread ", before, after);
    ck_assert_msg(strncmp(capture.details, lines, strlen(lines)) == 0, "%snot %s", capture.details,
                  lines);
}

TEST(neighbours_are_named_with_their_states)
{
    enum { BLOCKS = 5 };
    static const char format[] = "acre:   %s it: block %p of 64 bytes, %s\n";
    char *blocks[BLOCKS], before[128], after[128];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = alloc_block(64);
    block = blocks[2];
    snprintf(before, sizeof(before), format, "before", blocks[1], "live");
    snprintf(after, sizeof(after), format, "after", blocks[3], "live");
    check_neighbours(before, after);
    free_block(blocks[3]);
    snprintf(after, sizeof(after), format, "after", blocks[3], "free");
    check_neighbours(before, after);
    run_thread(free_in_thread, blocks[1]);
    snprintf(before, sizeof(before), format, "before", blocks[1],
             "freed by a thread that is not its owner");
    check_neighbours(before, after);
    block = blocks[0]; /* the first of its slab, with a guard in front of that */
    snprintf(after, sizeof(after), format, "after", blocks[1],
             "freed by a thread that is not its owner");
    check_neighbours("", after);
}

TEST(neighbours_of_large_blocks_are_named)
{
    static const char format[] = "acre:   %s it: block %p of 2097152 bytes, %s\n";
    char *blocks[3], before[128], after[128];

    for (int i = 2; i >= 0; i--) /* each is mapped below the last one */
        blocks[i] = alloc_block(2 << 20);
    ck_assert(blocks[1] == blocks[0] + (2 << 20) && blocks[2] == blocks[1] + (2 << 20));
    free_block(blocks[2]);
    block = blocks[1];
    snprintf(before, sizeof(before), format, "before", blocks[0], "live");
    snprintf(after, sizeof(after), format, "after", blocks[2], "free");
    check_neighbours(before, after);
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
    struct capture capture;
    char line[128];

    wild = pointer;
    snprintf(line, sizeof(line), format, wild);
    capture_child(&capture, in_thread ? free_wild_in_thread : free_wild, NULL);
    ck_assert_str_eq(capture.text, line);
    check_aborted(&capture);
}

static void check_foreign(const void *pointer, bool in_thread)
{
    check_reported(pointer, in_thread,
                   "acre: foreign pointer: free(%p): not a block of this allocator\n");
}

TEST_LOOP(a_wild_pointer_is_foreign, 0, 2)
{
    char on_stack[64] __attribute__((aligned(64)));

    skip_first_blocks();
    block = alloc_block(3072); /* 21 to a unit, which leaves a tail */
    struct slab *slab = slab_of(block);
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
        unit_end,                                                   /* after the last block */
    };

    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++)
        check_foreign(pointers[i], _i != 0);
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
    struct capture capture;
    char line[128];

    block = alloc_block(1 << 20);
    capture_child(&capture, free_released, NULL);
    snprintf(line, sizeof(line), "acre: double free: free(%p): the block was released\n", block);
    ck_assert_str_eq(capture.text, line);
    check_aborted(&capture);
}

/* No block starts at a misaligned address, so it was none that was freed before. */
TEST_LOOP(a_misaligned_pointer_into_released_units_is_no_double_free, 0, 2)
{
    static const size_t offsets[] = {1, 8, 15, 4096 + 8, (1 << 20) - 1};

    block = alloc_block(1 << 20);
    free_block(block);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        check_reported(block + offsets[i], _i != 0, "acre: misaligned pointer: free(%p)\n");
}

/* ---- Going on after a misuse ---- */

static void misuse_and_go_on(void *unused)
{
    void *again[2];

    (void)unused;
    if (!option_parse("on_error:report,foreign:report", "test"))
        _exit(1);
    errno = EXDEV;
    free_block(block + 16);
    free_block(block + 1);
    free_block(block + kind->size / 2);
    run_thread(free_in_thread, block + kind->size / 2);
    free_block(in_data);
    if (!is_filled(block, kind->size, 'm') || free_usable_size(block, "test") != kind->size)
        _exit(2);
    free_block(block);
    free_block(block);
    free_block(block);
    run_thread(free_in_thread, block);
    if (errno != EXDEV)
        _exit(3);
    if (alloc_resize(block, 10, "realloc") != NULL || errno != ENOMEM)
        _exit(4);
    if (free_usable_size(block, "test") != 0 || free_usable_size(NULL, "test") != 0)
        _exit(5);
    if (kind->wide && !places_are(block, SIZE, BLOCK_FREE))
        _exit(6);
    for (int i = 0; i < 2; i++)
        again[i] = alloc_block(kind->size);
    if (again[0] == again[1] || !own_arena_is_valid())
        _exit(7);
}

TEST_LOOP(without_abort_a_misuse_changes_nothing, 0, KINDS)
{
    enum { MISUSES = 11 };
    struct capture capture;

    make_block(_i);
    capture_child(&capture, misuse_and_go_on, NULL);
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    ck_assert_uint_eq(capture.writes, MISUSES);
}

/* ---- Right frees ---- */

TEST_LOOP(frees_leave_errno_alone, 0, KINDS)
{
    make_block(_i);
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
    struct slab *slab = slab_of(blocks[0]);
    ck_assert_uint_eq(states_count(slab->states, slab->count, BLOCK_CACHED),
                      magazine_capacity(size_class_of(64)));
    ck_assert_uint_eq(states_count(slab->states, slab->count, BLOCK_LIVE), 0);
    ck_assert(own_arena_is_valid());
}

/* Two threads free the same blocks at once, which may be in the heap profile: the other arena's
 * owner sees each freed once. */
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
    pthread_t threads[2];

    (void)unused;
    if (!option_parse("on_error:report,foreign:report", "test"))
        _exit(1);
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, free_all, NULL) != 0)
            _exit(2);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    idle_trim();
    if (!own_arena_is_valid() || !profile_is_valid() || profile_samples != 0)
        _exit(3);
}

TEST_LOOP(of_two_threads_that_free_a_block_at_once_one_is_wrong, 0, 2)
{
    struct capture capture;

    if (_i == 1)
        ck_assert_int_eq(profile_start(1), 0);
    for (int i = 0; i < RACED; i++)
        raced[i] = alloc_block(64);
    for (int i = 0; i < RACING_CHILDREN; i++) {
        capture_child(&capture, free_by_two_at_once, NULL);
        ck_assert_int_eq(capture.status, 0);
        ck_assert_uint_eq(capture.writes, RACED);
    }
}
