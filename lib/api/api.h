/*
 * What the exported functions share. EXPORT makes them visible, and none of them does more than
 * check its arguments and call alloc.h or free.h. What each does is in malloc(3), operator new's
 * standard, and acre.h.
 *
 * A program, or a library that is loaded before this one, may define some of them itself. The
 * dynamic linker's choice, or the linker's, is the address of the name itself, such as `free`;
 * own_free is this library's definition. What ends in another function by its standard
 * (reallocarray in realloc, operator delete with a size in the one without) ends in the definition
 * that was chosen.
 */
#ifndef ACRE_LIB_API_H
#define ACRE_LIB_API_H

#include "paths/alloc.h"
#include "base/base.h"
#include "paths/free.h"

/* A second name of an exported function of the same file. */
#define EXPORT_ALIAS(target) __attribute__((visibility("default"), alias(#target)))

/* A name for this library's own definition of an exported function of the same file. */
#define OWN_ALIAS(target) __attribute__((visibility("hidden"), alias(#target)))

/*
 * Which functions the program does not replace, as far as others end in them. Written once, by
 * constructors; false before, which makes all calls go the longer way. In a line of its own, since
 * operators new and delete read it at each call.
 */
struct api_own {
    CACHE_ALIGNED bool family; /* malloc, free, realloc, aligned_alloc */
    bool operators;            /* these, and operators new and delete */
};

extern __attribute__((visibility("hidden"))) struct api_own api_own;

/*
 * True if calls of an exported function are to end at `chosen`, the address of `name`, instead of
 * at `own`. Not so where the library was opened by dlopen: the program's malloc stands beside it
 * then. For constructors.
 */
bool api_is_replaced(const void *chosen, const void *own, const char *name);

/* True if that is so of none of the functions of api_own.family. For constructors. */
bool api_family_is_own(void);

/* free(p), by the definition that was chosen; a report of this library's names `function`. */
void api_free(void *p, const char *function);

/* realloc(p, size), likewise. */
void *api_realloc(void *p, size_t size, const char *function);

#endif
