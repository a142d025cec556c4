/* Misuses of wide blocks, in a child each: what is said, and that they change nothing. */
#include "misuses.h"
#include "wide_arena.h"

SUITE(free_wide, .begin = begin);

/* Each is the last thing that a child does. */
static const struct {
    struct misuse misuse;
    size_t size; /* of the block that is named */
} cases[] = {
    /* its places are blocks again */
    {{FREE, FREE, 0}, PLACE},
    {{FREE, FREE_IN_THREAD, 0}, PLACE},
    {{FREE_IN_THREAD, FREE, 0}, SIZE},
    {{FREE_IN_THREAD, FREE_IN_THREAD, 0}, SIZE},
    {{FREE_IN_THREAD, GROW, 0}, SIZE},
    {{FREE_IN_THREAD, ASK_SIZE, 0}, SIZE},
    {{NOTHING, FREE, PLACE}, SIZE},
    {{NOTHING, FREE, 3 * PLACE}, SIZE},
    {{NOTHING, FREE, SIZE - 16}, SIZE},
    {{NOTHING, FREE, 16}, SIZE},
    {{NOTHING, FREE, 1}, SIZE},
    {{NOTHING, FREE, PLACE + 8}, SIZE},
    {{NOTHING, FREE, SIZE - 1}, SIZE},
    {{NOTHING, FREE_IN_THREAD, PLACE}, SIZE},
    {{NOTHING, FREE_IN_THREAD, 3 * PLACE}, SIZE},
    {{NOTHING, FREE_IN_THREAD, PLACE + 16}, SIZE},
    {{NOTHING, FREE_IN_THREAD, SIZE - 1}, SIZE},
    {{FREE_IN_THREAD, FREE, PLACE}, SIZE},
    {{NOTHING, SHRINK, 2 * PLACE}, SIZE},
    {{NOTHING, ASK_SIZE, PLACE}, SIZE},
};

TEST_LOOP(a_misuse_is_named, 0, COUNT_OF(cases))
{
    char rest[128];

    begin_wide();
    block = alloc_block(SIZE); /* one that lies between two others */
    ck_assert(is_wide(block) && is_wide(alloc_block(SIZE)));
    snprintf(rest, sizeof(rest), "block %p of %zu bytes, %s, arena 1\n", (void *)block,
             cases[_i].size, cases[_i].size == SIZE ? "SMALL" : "TINY");
    check_misuse(&cases[_i].misuse, rest);
}

static void misuse_and_go_on(void *unused)
{
    (void)unused;
    if (option_set_text("abort", "0") != 0)
        _exit(1);
    for (size_t offset = 1; offset < SIZE; offset += PLACE / 2 - 1)
        free_block(block + offset);
    free_block(block + PLACE);
    run_thread(free_in_thread, block + PLACE);
    run_thread(free_in_thread, block + SIZE - 16);
    if (alloc_resize(block + PLACE, 10, "realloc") != NULL ||
        free_usable_size(block + PLACE, "test") != 0)
        _exit(2);
    if (!is_wide(block) || !is_filled(block, SIZE, 'm') || free_usable_size(block, "test") != SIZE)
        _exit(3);
    free_block(block);
    free_block(block);
    run_thread(free_in_thread, block);
    run_thread(free_in_thread, block);
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
