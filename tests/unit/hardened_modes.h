/* What the tests of hardened blocks share: the modes, their start, and what acre_check finds. */
#ifndef ACRE_TESTS_UNIT_HARDENED_MODES_H
#define ACRE_TESTS_UNIT_HARDENED_MODES_H

#include "base/option.h"
#include "block_places.h"
#include "memory.h"
#include "modes/hardened.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "process/check.h"

enum { FREED = 0x5a, ALLOCATED = 0xa5 };

static const char *const modes[] = {"hardened:1", "fill:1", "hardened:1,fill:1"};

static inline bool is_hardened(int mode)
{
    return mode != 1;
}

static inline uint8_t freed_byte(int mode)
{
    return mode == 0 ? 0 : FREED;
}

static inline void begin_mode(int mode)
{
    ck_assert(option_parse(modes[mode], "test"));
    hardened_start(free_report_damage);
    ck_assert_int_eq(hardened_mode, is_hardened(mode) ? HARDENED_BLOCKS : HARDENED_FILL);
}

static inline void free_it(void *block)
{
    free_block(block);
}

static inline size_t faults_found(const char **text)
{
    static struct out out;
    out_to_memory(&out);
    *text = out.text;
    return check_process(&out);
}

#endif
