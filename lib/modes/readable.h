/*
 * Memory that may not be there: stacks of the program's own making, tables of an image that another
 * thread closes. Each page is asked for by a system call before the first read, and remembered as
 * long as the structure lives; so that is one call of stack_take. Owns no state, takes no lock.
 */
#ifndef ACRE_LIB_READABLE_H
#define ACRE_LIB_READABLE_H

#include "base/base.h"

enum { READABLE_PAGES = 16 };

struct readable {
    uintptr_t from, to;              /* nothing outside is read */
    uintptr_t pages[READABLE_PAGES]; /* readable ones, each in the slot of its number; 0: none */
};

/* True if the `size` bytes at `address` lie between `from` and `to`, and can be read. */
bool readable_has(struct readable *memory, uintptr_t address, size_t size);

#endif
