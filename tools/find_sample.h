/* The stack that has allocated a block, if the profile has it. */
#ifndef ACRE_TOOLS_FIND_SAMPLE_H
#define ACRE_TOOLS_FIND_SAMPLE_H

#include "memory.h"

/* Prints it, for the live block at an address. Nothing if there is none. */
#ifdef ACRE_PROFILE
void find_sample(struct memory *memory, uint64_t block);

/* Prints the stacks that have allocated and, if it was, freed the guarded block in a slot. */
void find_guarded_calls(struct memory *memory, uint64_t slot, bool freed);
#else
static inline void find_sample(struct memory *memory, uint64_t block)
{
    (void)memory;
    (void)block;
}
static inline void find_guarded_calls(struct memory *memory, uint64_t slot, bool freed)
{
    (void)memory;
    (void)slot;
    (void)freed;
}
#endif

#endif
