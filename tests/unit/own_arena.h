/* What tests share that allocate as programs do: the calling thread's arena, and contents. */
#ifndef ACRE_TESTS_UNIT_OWN_ARENA_H
#define ACRE_TESTS_UNIT_OWN_ARENA_H

#include "test.h"
#include "arena/thread.h"
#include "process/init.h"

#include <string.h>

static inline void begin(void)
{
    init_start(NULL);
}

/* The calling thread's arena is valid; one that has only LARGE blocks has none. */
static inline bool own_arena_is_valid(void)
{
    struct arena *own = thread_own_arena();

    return own == NULL || arena_is_valid(own);
}

static inline bool all_bytes(const void *block, size_t size, int value)
{
    const unsigned char *bytes = block;

    return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

#endif
