/*
 * What the tiny misuse programs share: the functions that take a block, by name; the block sizes,
 * by name; and who calls. Each program prints the facts of its misuse, does it, and should not
 * return.
 */
#ifndef ACRE_TESTS_ABUSE_MISUSE_H
#define ACRE_TESTS_ABUSE_MISUSE_H

#include "check.h"

enum {
    STATUS_USAGE = 2,    /* the arguments name nothing known */
    STATUS_SURVIVED = 3, /* the misuse went unnoticed */
};

/* X(word, call, reported): the functions that take a block, as the command line names them, the
 * call with a block of `size` bytes, and as the report names them, for a regular expression. */
#define MISUSE_FUNCTIONS(X)                                                                        \
    X(free, free(block), "free")                                                                   \
    X(cfree, cfree(block), "cfree")                                                                \
    X(free_sized, free_sized(block, size), "free_sized")                                           \
    X(free_aligned_sized, free_aligned_sized(block, 16, size), "free_aligned_sized")               \
    X(realloc, hide(realloc(block, 100)), "realloc")                                               \
    X(realloc_larger, hide(realloc(block, 3 * size)), "realloc")                                   \
    X(realloc_zero, hide(realloc(block, hide_size(0))), "realloc")                                 \
    X(reallocarray, hide(reallocarray(block, 100, 2)), "reallocarray")                             \
    X(malloc_usable_size, (void)hide_size(malloc_usable_size(block)), "malloc_usable_size")        \
    X(delete, _ZdlPv(block), "operator delete")                                                    \
    X(delete_array, _ZdaPv(block), "operator delete\\[\\]")                                        \
    X(delete_sized, _ZdlPvm(block, size), "operator delete")                                       \
    X(delete_array_sized, _ZdaPvm(block, size), "operator delete\\[\\]")                           \
    X(delete_aligned, _ZdlPvSt11align_val_t(block, 16), "operator delete")                         \
    X(delete_array_sized_aligned, _ZdaPvmSt11align_val_t(block, size, 16), "operator delete\\[\\]")

/* A call that takes a block: the function named on the command line, the block, its usable size. */
struct call {
    const char *function;
    char *pointer;
    size_t size;
};

/* Makes the call. Ends the process with STATUS_USAGE if there is no such function. */
void misuse_call(const struct call *call);

/* Makes the call in a thread of its own and waits for it. */
void misuse_call_in_thread(const struct call *call);

/* Makes the call here, or in another thread if the word is "other"; "same" is the other word. */
void misuse_call_by(const char *caller, const struct call *call);

/* Bytes to ask for: "tiny", "small", "big" (SMALL, a run of its own) or "large". */
size_t misuse_size(const char *name);

/* A block of the named size, its usable size in *usable. */
char *misuse_block(const char *size_name, size_t *usable);

/* Prints the facts that the report must name: "POINTER BLOCK SIZE". Block NULL: none. */
void misuse_print(const void *pointer, const void *block, size_t size);

#endif
