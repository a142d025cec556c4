/*
 * The memory of LARGE blocks that were freed, so that a double free is named as one even when the
 * mapping is gone: a set-associative table of their starts, in which each start has one set by its
 * hash, and the oldest of a set gives way.
 *
 * Lock: LOCK_RANK_LARGE, held by the caller of every function. Only reports depend on what is here:
 * after a fork in the middle of a change it may lack a block.
 */
#ifndef ACRE_LIB_LARGE_FREED_H
#define ACRE_LIB_LARGE_FREED_H

#include "base/base.h"

/* Remembers a block that is being freed, or moved away: its address, not 0, and its bytes. */
void large_freed_remember(uintptr_t base, size_t size);

/* True if a block that began at `base`, any address, is remembered; *size is its bytes then. */
bool large_freed_find(uintptr_t base, size_t *size);

#endif
