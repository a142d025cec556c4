/*
 * Memory that may not be mapped: a stack that the program has made itself, the tables of an image
 * that another thread closes. Before the first read of a page the system is asked whether it can be
 * read (os_is_readable). The answer is kept in a structure that lives for one call of stack_take.
 * Owns no state, takes no lock.
 */
#ifndef ACRE_LIB_READABLE_H
#define ACRE_LIB_READABLE_H

#include "base/base.h"

enum { READABLE_PAGES = 16 };

struct readable {
    uintptr_t from, to;              /* nothing outside is read */
    uintptr_t pages[READABLE_PAGES]; /* readable ones: page N in slot N % READABLE_PAGES; 0: none */
};

/* True if the `size` bytes at `address` lie between `from` and `to`, and can be read. */
bool readable_has(struct readable *memory, uintptr_t address, size_t size);

#endif
