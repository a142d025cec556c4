/*
 * What the tiny misuse programs share: the functions that take a block, by name; the block sizes,
 * by name; and who calls. Each program prints the facts of its misuse, does it, and should not
 * return.
 */
#ifndef ACRE_TESTS_ABUSE_MISUSE_H
#define ACRE_TESTS_ABUSE_MISUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STATUS_USAGE = 2,    /* the arguments name nothing known */
    STATUS_SURVIVED = 3, /* the misuse went unnoticed */
};

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

/* The same pointer, unknown to the compiler, so that it neither warns nor leaves calls out. */
static inline void *misuse_hide(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

#endif
