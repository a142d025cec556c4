/*
 * Blocks that go back by another family of functions than they came from, or with another size or
 * alignment (option mismatch): malloc and free, new and delete, new[] and delete[].
 *
 * 1. The table of size classes is diverted and each block is SAMPLED, as for the trace. Operators
 *    new and delete and the functions with a size go their longer ways (api.h).
 * 2. Each block has a note of its family, size and alignment: in the notes of its heap
 *    (modes/notes.h), or in the entry of a LARGE one. malloc notes its own; operator new, which
 *    ends in it, notes its own after that.
 * 3. operator delete compares the note with its call, and makes the family of the note malloc's:
 *    free, in which it ends, compares that again.
 *
 * Guarded blocks and those from before the start have no note, and are not compared.
 */
#ifndef ACRE_LIB_MISMATCH_H
#define ACRE_LIB_MISMATCH_H

#include "base/base.h"

enum mismatch_family { FAMILY_MALLOC, FAMILY_NEW, FAMILY_NEW_ARRAY };

#define MISMATCH_NOT_TOLD SIZE_MAX

/* A call that allocates or frees. */
struct mismatch_call {
    enum mismatch_family family;
    size_t size;      /* bytes; MISMATCH_NOT_TOLD: a free that has none */
    size_t alignment; /* likewise; up to BLOCK_ALIGNMENT it is as if there was none */
};

extern bool mismatch_on; /* [constant] */

/* Switches it on if option mismatch says so. To be called before threads exist. */
void mismatch_start(void);

static inline bool mismatch_is_on(void)
{
    return UNLIKELY(mismatch_on);
}

/* Notes that the call allocated the block at p. */
void mismatch_allocated(const void *p, struct mismatch_call call);

/* Reports what is wrong with a call of `function` that is to free p, any address at all. The block
 * counts as malloc's from then on. */
void mismatch_check(const void *p, struct mismatch_call call, const char *function);

/* The same for free and realloc, which are told no size. */
static inline void mismatch_check_free(const void *p, const char *function)
{
    if (mismatch_is_on())
        mismatch_check(p,
                       (struct mismatch_call){FAMILY_MALLOC, MISMATCH_NOT_TOLD, MISMATCH_NOT_TOLD},
                       function);
}

#endif
