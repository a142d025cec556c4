/*
 * Heaps of one's own: the handle that a program has of one, and its end. doc/heaps.md has the
 * design. Blocks are allocated by alloc.h's functions and freed by free.h's.
 *
 * A handle is the address of a struct own_heap, and in its low six bits how often that was in use
 * before, modulo 64. So a handle of a heap that has ended is known as one: exactly until the
 * structure is used for another heap, and by 63 of 64 later uses.
 */
#ifndef ACRE_LIB_HEAPS_H
#define ACRE_LIB_HEAPS_H

#include "arena/arena.h"
#include "base/base.h"

#include <acre/acre.h>

/* A new heap; NULL, with errno ENOMEM, if there is no memory. */
struct acre_heap *heaps_begin(void);

/* The own heap of a handle; NULL, after a report that names `function`, if it has ended. The caller
 * holds no lock. */
struct own_heap *heaps_find(const struct acre_heap *handle, const char *function);

/* Ends a heap: all its blocks are freed. Calls of other threads that are in it are waited for. */
void heaps_end(struct acre_heap *handle, const char *function);

#endif
