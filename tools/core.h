/*
 * The memory that a core has, which libelf leads to. What it leaves out of mapped files is read
 * from these files, unless their build-id shows that they are not the ones that were mapped. Used
 * by memory.c alone.
 */
#ifndef ACRE_TOOLS_CORE_H
#define ACRE_TOOLS_CORE_H

#include "memory.h"

/* Opens the core at `path`. Exits, after it has said why, if it is none. */
void core_open(struct memory *memory, const char *path);

/* Reads as much as there is from `address` on; returns bytes. */
size_t core_read(struct memory *memory, uint64_t address, char *into, size_t size);

/* Says so if the file that was mapped at `start` is another build now. */
void core_compare_build(struct memory *memory, uint64_t start);

#endif
