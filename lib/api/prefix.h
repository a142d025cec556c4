/*
 * configure --with-prefix: the malloc family gets names that begin with the prefix, those that the
 * installed header <acre/malloc.h> declares. To be included after the headers of libc.
 */
#ifndef ACRE_LIB_PREFIX_H
#define ACRE_LIB_PREFIX_H

#ifdef ACRE_WITH_PREFIX

/* The second names in api.h would have to have the attributes, too. */
#define ACRE_ALLOCATES(...)
#define ACRE_RESIZES(...)
#include <acre/malloc.h>
#include <stdlib.h>

#define malloc ACRE_PREFIXED(malloc)
#define free ACRE_PREFIXED(free)
#define cfree ACRE_PREFIXED(cfree)
#define free_sized ACRE_PREFIXED(free_sized)
#define free_aligned_sized ACRE_PREFIXED(free_aligned_sized)
#define calloc ACRE_PREFIXED(calloc)
#define realloc ACRE_PREFIXED(realloc)
#define reallocarray ACRE_PREFIXED(reallocarray)
#define posix_memalign ACRE_PREFIXED(posix_memalign)
#define aligned_alloc ACRE_PREFIXED(aligned_alloc)
#define memalign ACRE_PREFIXED(memalign)
#define valloc ACRE_PREFIXED(valloc)
#define pvalloc ACRE_PREFIXED(pvalloc)
#define malloc_usable_size ACRE_PREFIXED(malloc_usable_size)
#define mallinfo2(none) ACRE_PREFIXED(mallinfo2)(none) /* not where they name a structure */
#define mallinfo(none) ACRE_PREFIXED(mallinfo)(none)
#define malloc_stats ACRE_PREFIXED(malloc_stats)
#define malloc_info ACRE_PREFIXED(malloc_info)
#define malloc_trim ACRE_PREFIXED(malloc_trim)
#define mallopt ACRE_PREFIXED(mallopt)
#define __libc_pvalloc pvalloc /* which api.c looks for */

#endif

#endif
