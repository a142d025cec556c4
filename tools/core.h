/*
 * The memory that a core has, read with libelf. The pages of mapped files that it leaves out are
 * read from the files, unless a file's build-id shows that it is not the one that was mapped. Used
 * by memory.c alone.
 */
#ifndef ACRE_TOOLS_CORE_H
#define ACRE_TOOLS_CORE_H

#include "memory.h"

/* Opens the core at `path`. Exits, after it has said why, if it is none. */
void core_open(struct memory *memory, const char *path);

/* Reads as much as there is from `address` on; returns bytes. */
size_t core_read(struct memory *memory, uint64_t address, char *into, size_t size);

/* Prints a warning if the file that was mapped at `start` is another build now. */
void core_compare_build(struct memory *memory, uint64_t start);

#endif
