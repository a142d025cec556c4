/* The stack that has allocated a block, if the profile has it. */
#ifndef ACRE_TOOLS_FIND_SAMPLE_H
#define ACRE_TOOLS_FIND_SAMPLE_H

#include "memory.h"

/* Prints it, for the live block at an address. Nothing if there is none. */
#ifdef ACRE_PROFILE
void find_sample(struct memory *memory, uint64_t block);
#else
static inline void find_sample(struct memory *memory, uint64_t block)
{
    (void)memory;
    (void)block;
}
#endif

#endif
