/*
 * What the exported functions share. What each does is in malloc(3), the C++ standard
 * ([new.delete]) and acre.h.
 *
 * A program, or a library that is loaded before this one, may define some of them itself. The
 * address of a name, such as `free`, is the definition that the linker or the dynamic linker chose;
 * own_free is this library's. A function that by its standard ends in another one (reallocarray in
 * realloc, operator delete with a size in the one without) ends in the chosen definition of that:
 * doc/loading.md.
 */
#ifndef ACRE_LIB_API_H
#define ACRE_LIB_API_H

#include "api/prefix.h"
#include "base/base.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "paths/mismatch.h"

/* The name of a function as the linker knows it. */
#define SYMBOL_NAME(function) SYMBOL_TEXT(function)
#define SYMBOL_TEXT(symbol) #symbol

/* A second name of an exported function of the same file. */
#define EXPORT_ALIAS(target) __attribute__((visibility("default"), alias(SYMBOL_NAME(target))))

/* A name for this library's own definition of an exported function of the same file. */
#define OWN_ALIAS(target) __attribute__((visibility("hidden"), alias(SYMBOL_NAME(target))))

/* The chosen definition of an exported function. The compiler must not see which one it is: with
 * link-time optimisation it would take this library's for it. */
#define CHOSEN(function)                                                                           \
    __extension__({                                                                                \
        __typeof__(&(function)) chosen_function = &(function);                                     \
        __asm__("" : "+r"(chosen_function));                                                       \
        chosen_function;                                                                           \
    })

/*
 * True if the program replaces none of these functions, in which others end, and option mismatch is
 * off. [constant] Set by the constructor; false before, which is right but slower. In a cache line
 * of its own, since operators new and delete read it at each call.
 */
struct api_own {
    CACHE_ALIGNED bool family; /* malloc, free, realloc, aligned_alloc */
    bool operators;            /* these, and operators new and delete */
    bool family_checked;       /* the program replaces none, and option mismatch is on */
    bool operators_checked;
};

extern __attribute__((visibility("hidden"))) struct api_own api_own;

/* True if calls of an exported function are to end at `chosen`, the address of `name`, instead of
 * at `own`. Not so if the library was opened by dlopen: it stands beside the program's malloc then.
 * For constructors. */
bool api_is_replaced(const void *chosen, const void *own, const char *name);

#define IS_REPLACED(function, own) api_is_replaced(CHOSEN(function), own, SYMBOL_NAME(function))

/* True if the program replaces no function of api_own.family. For constructors. */
bool api_family_is_own(void);

/* Set their part of api_own. By the constructor, when the options are known; the archive may be
 * linked without operators. */
void api_find_family(void);
__attribute__((weak)) void api_find_operators(void);

/* free(p) by the chosen definition; if that is this library's, its reports name `function`. */
void api_free(void *p, const char *function);

/* realloc(p, size) likewise. */
void *api_realloc(void *p, size_t size, const char *function);

#endif
