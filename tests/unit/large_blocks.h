/* For tests of LARGE on real memory: each begins with an empty list, as Check gives it a process.
 */
#ifndef ACRE_TESTS_UNIT_LARGE_BLOCKS_H
#define ACRE_TESTS_UNIT_LARGE_BLOCKS_H

#include "test.h"
#include "memory.h"
#include "large/large.h"
#include "large/large_list.h"

#include "base/option.h"
#include "base/os.h"

#include <string.h>

#define FOREVER "3600000" /* ms of decay: nothing is due by itself */

static inline void set_options(const char *stock, const char *decay)
{
    ck_assert_int_eq(option_set_text("large_stock", stock), 0);
    ck_assert_int_eq(option_set_text("decay", decay), 0);
}

static inline void begin(void)
{
    set_options("64M", FOREVER);
}

static inline struct large_totals totals(void)
{
    struct large_totals now;
    large_totals(&now);
    return now;
}

static inline size_t pieces(void)
{
    return extents_sum(&large_list.table)->pieces;
}

static inline struct large_info info_of(const void *p)
{
    struct large_info info;
    large_find(p, &info);
    return info;
}

/* p is in free memory, at no start that is remembered. */
static inline bool is_in_stock(const void *p)
{
    return info_of(p).known && info_of(p).base == NULL;
}

static inline bool is_freed_start(const void *p)
{
    return info_of(p).base == p && large_usable_size(p) == 0;
}

static inline void *alloc(size_t size)
{
    void *block = large_alloc(size, 16, NULL);
    ck_assert_ptr_nonnull(block);
    return block;
}

#endif
