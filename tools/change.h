/*
 * Changing a process from outside: its options, and a request to give memory back. Words of it are
 * written, by ptrace's rights; nothing is called there and nothing stops. What the process then
 * does it does by itself, when malloc or free next takes a slow path.
 */
#ifndef ACRE_TOOLS_CHANGE_H
#define ACRE_TOOLS_CHANGE_H

#include "memory.h"

enum { CHANGE_OPTIONS = 62 }; /* the bits below ACRE_REQUEST_TRIM */

/* What is asked for. */
struct change {
    uint64_t bits;                   /* of enum option_id: which options are set */
    uint64_t values[CHANGE_OPTIONS]; /* and to what */
    bool trims;                      /* idle memory is to be given back */
    bool quiet;                      /* the process writes no line about it */
    bool silent;                     /* change_apply prints nothing */
};

/* Adds "key:value", checked as the library would. Exits with status 2, after it has said what is
 * allowed, if it is not. */
void change_add(struct change *change, const char *text);

/* True if anything is asked for. */
bool change_is_any(const struct change *change);

/* True if the options have these values in the process, whether it acts on them yet or not. Exits
 * with status 1 if it has no such option. */
bool change_is_made(struct memory *memory, const struct change *change);

/* Changes the process, and says so on standard output unless it is to be silent. Exits with status
 * 1 if that cannot be. */
void change_apply(struct memory *memory, const struct change *change);

#endif
