/* Misuses of wide blocks, in a child each: what is said, and that they change nothing. */
#include "capture.h"
#include "in_thread.h"
#include "wide_arena.h"

#include <signal.h>
#include <stdio.h>

SUITE(free_wide, .begin = begin);

/* ---- Each is the last thing that a child does ---- */

static char *block;

static void free_twice(size_t unused)
{
    (void)unused;
    free_block(block);
    free_block(block);
}

static void free_after_another_thread(size_t unused)
{
    (void)unused;
    run_thread(free_in_thread, block);
    free_block(block);
}

static void free_by_two_other_threads(size_t unused)
{
    (void)unused;
    run_thread(free_in_thread, block);
    run_thread(free_in_thread, block);
}

static void free_and_free_by_another_thread(size_t unused)
{
    (void)unused;
    free_block(block);
    run_thread(free_in_thread, block);
}

static void ask_usable_size_after_another_thread(size_t unused)
{
    (void)unused;
    run_thread(free_in_thread, block);
    free_usable_size(block, "malloc_usable_size");
}

static void resize_freed(size_t unused)
{
    (void)unused;
    run_thread(free_in_thread, block);
    alloc_resize(block, 2 * SIZE, "realloc");
}

static void free_at(size_t offset)
{
    free_block(block + offset);
}

static void free_at_by_another_thread(size_t offset)
{
    run_thread(free_in_thread, block + offset);
}

static void free_at_after_another_thread(size_t offset)
{
    run_thread(free_in_thread, block);
    free_block(block + offset);
}

static void resize_at(size_t offset)
{
    alloc_resize(block + offset, 10, "realloc");
}

static void ask_usable_size_at(size_t offset)
{
    free_usable_size(block + offset, "malloc_usable_size");
}

static const struct misuse_case {
    void (*run)(size_t offset);
    size_t offset; /* of the pointer passed, in the block */
    const char *fault, *function;
    size_t size; /* of the block that is named */
} cases[] = {
    /* its places are blocks again */
    {free_twice, 0, "double free", "free", PLACE},
    {free_and_free_by_another_thread, 0, "double free", "free", PLACE},
    {free_after_another_thread, 0, "double free", "free", SIZE},
    {free_by_two_other_threads, 0, "double free", "free", SIZE},
    {resize_freed, 0, "double free", "realloc", SIZE},
    {ask_usable_size_after_another_thread, 0, "double free", "malloc_usable_size", SIZE},
    {free_at, PLACE, "interior pointer", "free", SIZE},
    {free_at, 3 * PLACE, "interior pointer", "free", SIZE},
    {free_at, SIZE - 16, "interior pointer", "free", SIZE},
    {free_at, 16, "interior pointer", "free", SIZE},
    {free_at, 1, "misaligned pointer", "free", SIZE},
    {free_at, PLACE + 8, "misaligned pointer", "free", SIZE},
    {free_at, SIZE - 1, "misaligned pointer", "free", SIZE},
    {free_at_by_another_thread, PLACE, "interior pointer", "free", SIZE},
    {free_at_by_another_thread, 3 * PLACE, "interior pointer", "free", SIZE},
    {free_at_by_another_thread, PLACE + 16, "interior pointer", "free", SIZE},
    {free_at_by_another_thread, SIZE - 1, "misaligned pointer", "free", SIZE},
    {free_at_after_another_thread, PLACE, "interior pointer", "free", SIZE},
    {resize_at, 2 * PLACE, "interior pointer", "realloc", SIZE},
    {ask_usable_size_at, PLACE, "interior pointer", "malloc_usable_size", SIZE},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void run_case(void *argument)
{
    const struct misuse_case *misuse = argument;
    misuse->run(misuse->offset);
}

TEST_LOOP(a_misuse_is_named, 0, CASES)
{
    const struct misuse_case *misuse = &cases[_i];
    struct capture capture;
    char line[160];

    begin_wide();
    block = alloc_block(SIZE); /* one that lies between two others */
    ck_assert(is_wide(block) && is_wide(alloc_block(SIZE)));
    capture_child(&capture, run_case, (void *)(uintptr_t)misuse);
    snprintf(line, sizeof(line), "acre: %s: %s(%p): block %p of %zu bytes, %s, arena 1\n",
             misuse->fault, misuse->function, (void *)(block + misuse->offset), (void *)block,
             misuse->size, misuse->size == SIZE ? "SMALL" : "TINY");
    ck_assert_str_eq(capture.text, line);
    ck_assert_uint_eq(capture.writes, 1);
    ck_assert(WIFSIGNALED(capture.status));
    ck_assert_int_eq(WTERMSIG(capture.status), SIGABRT);
}

static void misuse_and_go_on(void *unused)
{
    (void)unused;
    if (option_set_text("abort", "0") != 0)
        _exit(1);
    for (size_t offset = 1; offset < SIZE; offset += PLACE / 2 - 1)
        free_at(offset);
    free_at(PLACE);
    free_at_by_another_thread(PLACE);
    free_at_by_another_thread(SIZE - 16);
    if (alloc_resize(block + PLACE, 10, "realloc") != NULL ||
        free_usable_size(block + PLACE, "test") != 0)
        _exit(2);
    if (!is_wide(block) || !is_filled(block, SIZE, 'm') || free_usable_size(block, "test") != SIZE)
        _exit(3);
    free_block(block);
    free_block(block);
    free_by_two_other_threads(0);
    if (!places_are(block, SIZE, BLOCK_FREE) || !arena_is_valid(thread_state.arena))
        _exit(4);
}

TEST(without_abort_a_misuse_changes_nothing)
{
    enum { MISUSES = 9 + 5 + 3 };
    struct capture capture;

    block = begin_wide();
    memset(block, 'm', SIZE);
    capture_child(&capture, misuse_and_go_on, NULL);
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    ck_assert_uint_eq(capture.writes, MISUSES);
}
