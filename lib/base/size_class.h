/*
 * Size classes: 16 bytes apart up to 128, then four to a doubling up to 1 MiB: 160, 192, 224, 256,
 * 320 ... A block of a class is at most 15 bytes larger than asked for up to 128, and at most a
 * fifth of it is waste above. (Spacing as in jemalloc and tcmalloc: the waste is below 1/5, and
 * every power of two is a class, which serves aligned requests.)
 *
 * Arithmetic gives the class of a size. malloc's short path alone takes a table, so that one switch
 * of the table leads all of malloc to the slow path, while a mode needs it (modes/profile.h).
 */
#ifndef ACRE_LIB_SIZE_CLASS_H
#define ACRE_LIB_SIZE_CLASS_H

#include "base/base.h"

enum {
    SIZE_CLASS_COUNT = 60,
    SIZE_CLASS_LINEAR = 8,              /* classes that are a multiple of 16 bytes each */
    SIZE_CLASS_LINEAR_LOG2 = 7,         /* the largest of them is 2^7 bytes */
    SIZE_CLASS_TINY_LIMIT = 1024,       /* bytes; the largest TINY block */
    SIZE_CLASS_LIMIT = 1 << 20,         /* bytes; the largest SMALL block */
    SIZE_CLASS_TABLE_LIMIT = 32 * 1024, /* bytes; up to here malloc's short path serves a size */
    SIZE_CLASS_STRIDE = 128,            /* bytes: what the table's entries are multiplied by */
};

/*
 * [any] The class of each size in steps of 16, times SIZE_CLASS_STRIDE: entry (size + 15) / 16.
 * Entry 0 (size 0) is class 0. What stands there is the byte offset into an array with a structure
 * of SIZE_CLASS_STRIDE bytes for each class, which saves malloc the multiplication. Diverted, each
 * entry is that of SIZE_CLASS_COUNT, which is no class.
 */
extern uint16_t size_class_table[SIZE_CLASS_TABLE_LIMIT / 16 + 1];

/* Diverts the table, or makes it as it was. Other threads may read it meanwhile. */
void size_class_divert(bool diverted);

/* Bytes of a block of each class. */
extern const uint32_t size_class_sizes[SIZE_CLASS_COUNT];

/* 2^64 / size, rounded up, of each class: divides by the size exactly, see slab_starts_block. */
extern const uint64_t size_class_reciprocals[SIZE_CLASS_COUNT];

/*
 * The smallest class whose blocks hold `size` bytes; size is at most SIZE_CLASS_LIMIT. Above the
 * linear classes, with 2^k the highest power below the size, the two bits below bit k say which
 * quarter of the doubling it is.
 */
static inline unsigned size_class_of(size_t size)
{
    if (size <= SIZE_CLASS_LINEAR * BLOCK_ALIGNMENT)
        return (unsigned)((size - (size != 0)) / BLOCK_ALIGNMENT);
    unsigned k = highest_bit(size - 1);
    return SIZE_CLASS_LINEAR + 4 * (k - SIZE_CLASS_LINEAR_LOG2) +
           (unsigned)((size - 1) >> (k - 2) & 3);
}

/*
 * The class that serves the first blocks of a TINY class in an arena: that of the next power of
 * two, of 64 bytes at least; for other classes the class itself.
 */
unsigned size_class_of_few(unsigned class);

/*
 * The smallest class whose blocks hold `size` bytes and whose size is a multiple of `alignment`, a
 * power of two; SIZE_CLASS_COUNT if there is none.
 */
unsigned size_class_of_aligned(size_t size, size_t alignment);

#endif
