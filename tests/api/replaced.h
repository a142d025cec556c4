/*
 * What replaced_forms.c, replaced_malloc.c and replaced_program.cc share: the functions that the
 * program may define itself. replaced.sh reads the list, too.
 */
#ifndef ACRE_TESTS_API_REPLACED_H
#define ACRE_TESTS_API_REPLACED_H

#include <stddef.h>

/* X(symbol): operators new and delete, by the Itanium C++ ABI, those that are aligned second, and
 * those of the malloc family in which others end. */
#define REPLACED_LIST(X)                                                                           \
    X(_Znwm)                                                                                       \
    X(_Znam)                                                                                       \
    X(_ZnwmRKSt9nothrow_t)                                                                         \
    X(_ZnamRKSt9nothrow_t)                                                                         \
    X(_ZdlPv)                                                                                      \
    X(_ZdaPv)                                                                                      \
    X(_ZdlPvm)                                                                                     \
    X(_ZdaPvm)                                                                                     \
    X(_ZdlPvRKSt9nothrow_t)                                                                        \
    X(_ZdaPvRKSt9nothrow_t)                                                                        \
    X(_ZnwmSt11align_val_t)                                                                        \
    X(_ZnamSt11align_val_t)                                                                        \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t)                                                          \
    X(_ZnamSt11align_val_tRKSt9nothrow_t)                                                          \
    X(_ZdlPvSt11align_val_t)                                                                       \
    X(_ZdaPvSt11align_val_t)                                                                       \
    X(_ZdlPvmSt11align_val_t)                                                                      \
    X(_ZdaPvmSt11align_val_t)                                                                      \
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t)                                                         \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t)                                                         \
    X(malloc)                                                                                      \
    X(free)                                                                                        \
    X(realloc)                                                                                     \
    X(aligned_alloc)

#define REPLACED_NUMBER(symbol) NUMBER_##symbol,
enum { REPLACED_LIST(REPLACED_NUMBER) REPLACED_COUNT };
#undef REPLACED_NUMBER

/* The calls of the program's definitions, and the layout of their blocks. */
struct replaced {
    unsigned calls[REPLACED_COUNT];
    size_t header;      /* bytes in front of a block that is not aligned: 0 or REPLACED_HEADER */
    int aligned_header; /* not 0: an aligned block has its alignment in bytes in front */
};

enum {
    REPLACED_HEADER = 32,
    REPLACED_IMPOSSIBLE = 1 << 30, /* bytes: the smallest request that fails */
};

#ifdef __cplusplus
extern "C"
#else
extern
#endif
    struct replaced replaced;

#endif
