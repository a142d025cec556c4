/*
 * Size classes: 16 bytes apart up to 128, then four to a doubling up to 1 MiB: 160, 192, 224, 256,
 * 320 ... A block of a class is at most 15 bytes larger than asked for up to 128, and at most a
 * fifth of it is waste above. (Spacing as in jemalloc and tcmalloc: the waste is below 1/5, and
 * every power of two is a class, which serves aligned requests.) Constant tables and arithmetic,
 * and a copy of one table, which can be changed so that each malloc takes its slow path.
 */
#ifndef ACRE_LIB_SIZE_CLASS_H
#define ACRE_LIB_SIZE_CLASS_H

#include "base/base.h"

enum {
    SIZE_CLASS_COUNT = 60,
    SIZE_CLASS_TINY_LIMIT = 1024,       /* bytes; the largest TINY block */
    SIZE_CLASS_LIMIT = 1 << 20,         /* bytes; the largest SMALL block */
    SIZE_CLASS_TABLE_LIMIT = 32 * 1024, /* bytes; up to here a table answers, above it arithmetic */
    SIZE_CLASS_STRIDE = 128,            /* bytes: what the table's entries are multiplied by */
};

/*
 * The class of each size in steps of 16, times SIZE_CLASS_STRIDE: entry (size + 15) / 16. Entry 0
 * (size 0) is class 0. What stands there is the byte offset into an array with a structure of
 * SIZE_CLASS_STRIDE bytes for each class, which saves malloc the multiplication.
 */
extern const uint16_t size_class_table[SIZE_CLASS_TABLE_LIMIT / 16 + 1];

/*
 * [any] The copy of the table that malloc's short path reads. While it is diverted, each entry is
 * the offset of the bin after that of the last class, which is always empty. So a mode that must
 * see each malloc (modes/profile.h) costs the short path no instruction while it is off.
 */
extern uint16_t size_class_short_path[SIZE_CLASS_TABLE_LIMIT / 16 + 1];

/* Diverts the copy, or restores it. Other threads may read it meanwhile. */
void size_class_divert(bool diverted);

/* Diverts it, and size_class_divert no longer restores it. To be called before threads exist. */
void size_class_divert_always(void);

/* True if a mode must see each allocation. */
static inline bool size_class_is_diverted(void)
{
    return UNLIKELY(__atomic_load_n(&size_class_short_path[0], __ATOMIC_RELAXED) != 0);
}

/* [constant] True if each block is SAMPLED: size_class_see_all was called, which also diverts the
 * copy always. */
extern bool size_class_all_seen;
void size_class_see_all(void);

/* Bytes of a block of each class. */
extern const uint32_t size_class_sizes[SIZE_CLASS_COUNT];

/* 2^64 / size, rounded up, of each class: divides by the size exactly, see slab_starts_block. */
extern const uint64_t size_class_reciprocals[SIZE_CLASS_COUNT];

/* The class of a size in SIZE_CLASS_TABLE_LIMIT .. SIZE_CLASS_LIMIT bytes, by arithmetic. */
unsigned size_class_of_medium(size_t size);

/* The smallest class whose blocks hold `size` bytes; size is at most SIZE_CLASS_LIMIT. */
static inline unsigned size_class_of(size_t size)
{
    if (LIKELY(size <= SIZE_CLASS_TABLE_LIMIT))
        return size_class_table[(size + 15) / 16] / SIZE_CLASS_STRIDE;
    return size_class_of_medium(size);
}

/*
 * The smallest class whose blocks hold `size` bytes and whose size is a multiple of `alignment`, a
 * power of two; SIZE_CLASS_COUNT if there is none.
 */
unsigned size_class_of_aligned(size_t size, size_t alignment);

#endif
