/*
 * Blocks that go back by another family of functions, or with another size: what is noted of a
 * block of each kind, and what keeps it. tests/abuse/mismatch.c has the exported functions.
 */
#include "test.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "modes/guard.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/mismatch.h"

static char *options[] = {"ACRE_OPTIONS=mismatch:report", NULL};

static void begin_with_mismatch(void)
{
    init_start(options);
}

SUITE(mismatch, .begin = begin_with_mismatch);

static const size_t sizes[] = {0, 36, 40, 900, 1000, 30000, 300000, 1 << 20, 3 << 20};

static const struct mismatch_call plain_new = {FAMILY_NEW, MISMATCH_NOT_TOLD, 0};

static void *new_block(size_t size, size_t alignment)
{
    void *block = alignment == 0 ? alloc_block(size) : alloc_aligned(alignment, size);
    ck_assert_ptr_nonnull(block);
    mismatch_allocated(block, (struct mismatch_call){FAMILY_NEW, size, alignment});
    return block;
}

static void free_it(void *block)
{
    free_block(block);
}

static void delete_it(void *block)
{
    mismatch_check(block, plain_new, "operator delete");
    free_block(block);
}

/* True if run(block) says so and goes on. */
static bool names(void (*run)(void *), void *block, const char *fault)
{
    struct capture capture;
    capture_child(&capture, run, block);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_uint_eq(capture.writes, *fault != '\0');
    return strstr(capture.text, fault) != NULL;
}

TEST_LOOP(the_family_stays_with_the_block, 0, COUNT_OF(sizes))
{
    char *block = new_block(sizes[_i], 0);
    ck_assert(names(free_it, block, "acre: mismatch: free("));
    ck_assert(names(delete_it, block, ""));
    /* whatever is done to others meanwhile */
    for (int i = 0; i < 1000; i++)
        free_block(alloc_block((size_t)i * 40));
    arena_flush(thread_own_arena());
    ck_assert(names(free_it, block, "acre: mismatch: free("));
    /* a block in its place is malloc's */
    delete_it(block);
    char *next = alloc_block(sizes[_i]);
    ck_assert(names(free_it, next, ""));
    ck_assert(names(delete_it, next, "acre: mismatch: operator delete("));
}

static const struct {
    struct mismatch_call call;
    const char *fault;
} calls[] = {
    {{FAMILY_NEW, 1000, 64}, ""},
    {{FAMILY_NEW, MISMATCH_NOT_TOLD, 64}, ""},
    {{FAMILY_NEW, MISMATCH_NOT_TOLD, MISMATCH_NOT_TOLD}, ""},
    {{FAMILY_NEW_ARRAY, 1000, 64}, "mismatch"},
    {{FAMILY_NEW, 999, 64}, "wrong size"},
    {{FAMILY_NEW, 1008, 64}, "wrong size"},
    {{FAMILY_NEW, 0, 64}, "wrong size"},
    {{FAMILY_NEW, 1000, 32}, "wrong alignment"},
    {{FAMILY_NEW, 1000, 0}, "wrong alignment"},
    {{FAMILY_NEW, 999, 1 << 20}, "wrong alignment"},
};

static void check_call(void *block)
{
    size_t i = *(size_t *)block;
    mismatch_check(block, calls[i].call, "operator delete");
}

TEST_LOOP(size_and_alignment_are_compared, 0, COUNT_OF(calls))
{
    size_t *block = new_block(1000, 64);
    *block = (size_t)_i;
    ck_assert(names(check_call, block, calls[_i].fault));
}

static size_t resized_to;

static void free_sized_it(void *block)
{
    mismatch_check(block, (struct mismatch_call){FAMILY_MALLOC, resized_to, 0}, "free_sized");
    free_block(block);
}

TEST_LOOP(what_is_resized_is_of_malloc_and_of_that_size, 0, COUNT_OF(sizes))
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        if (sizes[i] == 0)
            continue;
        char *block = alloc_resize(alloc_block(sizes[_i]), sizes[i], "realloc");
        ck_assert(names(free_it, block, ""));
        ck_assert(names(delete_it, block, "mismatch: operator delete("));
        resized_to = sizes[i];
        ck_assert(names(free_sized_it, block, ""));
        resized_to++;
        ck_assert(names(free_sized_it, block, "wrong size: free_sized("));
        free_block(block);
    }
}

static void *new_in_thread(void *size)
{
    return new_block(*(size_t *)size, 0);
}

TEST_LOOP(the_arena_of_a_thread_that_ended_keeps_families, 0, COUNT_OF(sizes))
{
    size_t size = sizes[_i];
    char *block = run_thread(new_in_thread, &size);
    ck_assert(names(free_it, block, "acre: mismatch: free("));
    ck_assert(names(delete_it, block, ""));
}

static char *of_lost;

static void take_in_partner(void *size)
{
    of_lost = new_block(*(size_t *)size, 0);
}

/* In a child the arena of the lost thread is rebuilt. */
static void free_of_lost(void *unused)
{
    (void)unused;
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena))
        if (arena_borrow(arena))
            arena_retire(arena);
    free_block(of_lost);
}

TEST_LOOP(a_child_keeps_families_of_lost_threads, 0, COUNT_OF(sizes))
{
    struct partner partner;
    size_t size = sizes[_i];
    partner_begin(&partner);
    partner_does(&partner, take_in_partner, &size);
    ck_assert(names(free_of_lost, NULL, "acre: mismatch: free("));
    partner_end(&partner);
}

/* Of a guarded block nothing is known. */
TEST(guarded_blocks_are_not_compared)
{
    static char *guarded[] = {"ACRE_OPTIONS=mismatch:report,guard:1", NULL};
    init_start(guarded);
    char *block = new_block(100, 0);
    ck_assert(guard_has(block));
    ck_assert(names(free_it, block, ""));
    ck_assert(names(delete_it, block, ""));
}
