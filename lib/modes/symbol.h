/*
 * What an address of code is called: the image it lies in, and the function, if that is in the
 * image's dynamic symbol table. Read without the dynamic linker: allocates nothing, takes no lock.
 * The linker's record of the image lies in memory that a program may have damaged, so it is read
 * only where it can be. Owns no state.
 */
#ifndef ACRE_LIB_SYMBOL_H
#define ACRE_LIB_SYMBOL_H

#include "modes/readable.h"

/* The texts belong to the image and the linker; of a long one the last part. */
struct symbol {
    const char *image;         /* its path; NULL: the address is in no known image */
    uintptr_t offset;          /* in the image's own addresses, as addr2line takes it */
    const char *function;      /* NULL: not known */
    uintptr_t function_offset; /* from its start */
};

enum { SYMBOL_TEXT_MOST = 160 }; /* characters of a text */

void symbol_find(struct readable *memory, uintptr_t address, struct symbol *symbol);

#endif
