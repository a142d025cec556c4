/* What the tests of the heap profile share: its start, blocks of known stacks, its consistency. */
#ifndef ACRE_TESTS_UNIT_PROFILE_BEGIN_H
#define ACRE_TESTS_UNIT_PROFILE_BEGIN_H

#include "own_arena.h"
#include "modes/profile.h"
#include "paths/alloc.h"

/* The random numbers of the main thread begin with a fixed seed, so that nothing is chance. */
static inline void begin_with_seed(void)
{
    begin_without_decay();
    profile_thread.generator = 12345;
}

static inline void start(size_t interval)
{
    ck_assert_int_eq(profile_start(interval), 0);
}

/* True if everything fits together, and there are that many samples. */
static inline bool has_samples(uint64_t count)
{
    return profile_samples == count && profile_is_valid() && own_arena_is_valid();
}

/* Not inlined, so that its return address is in the stack of what it allocates. */
static NOINLINE __attribute__((unused)) void *alloc_at_depth(int depth, size_t size)
{
    void *block = depth == 0 ? alloc_block(size) : alloc_at_depth(depth - 1, size);
    __asm__ volatile("" : : "r"(block)); /* no tail call */
    return block;
}

#endif
