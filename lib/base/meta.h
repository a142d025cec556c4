/*
 * The allocator's own memory: arenas and LARGE entries. It is mapped in chunks and handed out from
 * the bottom up; nothing is ever given back, so an address stays what it is for the life of the
 * process. In front of each chunk and after it is a page without access, so that no block of the
 * program is next to one. Lock: LOCK_RANK_META, inside. A fork in the middle loses at most the
 * piece that was being handed out.
 */
#ifndef ACRE_LIB_META_H
#define ACRE_LIB_META_H

#include "base/base.h"

/* `size` (at most 64 KiB) zero bytes in cache lines of their own, or NULL. */
void *meta_alloc(size_t size);

/* `size` zero bytes, whole pages, with guards of their own, or NULL: for what is used sparsely. */
void *meta_map(size_t size);

/* [any] Bytes mapped so far, without the guards. */
extern size_t meta_bytes;

#endif
