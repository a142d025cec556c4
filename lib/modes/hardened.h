/*
 * Blocks that are hard to attack (option hardened), and patterns for debugging (option fill). For
 * blocks in slabs; both are switched on at the start, and stay on.
 *
 * 1. The table of size classes is diverted and each block is SAMPLED, as for the trace, so that
 *    each allocation and each free takes its slow path. Blocks from before are as ever.
 * 2. A block is taken at random (bin_take_random). A freed one becomes QUARANTINED; its thread's
 *    arena keeps some, and gives one of them, chosen at random, back when there are too many. So a
 *    second free is found for a while, and a free does not tell which block comes next. What
 *    another thread frees is QUARANTINED while it is filled, and then REMOTE as ever.
 * 3. Freed bytes are made zero, with fill 0x5a. They are compared when the block leaves the
 *    quarantine, and when it is handed out again. Pages that were purged may be zero.
 * 4. The bytes between the size that was asked for and the block's end are a canary, which depends
 *    on a secret and the address. It is compared at free, realloc and acre_check.
 *
 * The size that was asked for, and that a block was filled when it was freed, stand in its note
 * (notes.h).
 *
 * With fill alone there is no random choice, quarantine, size or canary.
 */
#ifndef ACRE_LIB_HARDENED_H
#define ACRE_LIB_HARDENED_H

#include "base/base.h"
#include "heap/heap.h"

#include <acre/acre.h>

struct quarantine;

/* A block in a slab. */
struct hardened_block {
    char *base;
    uint8_t *state;
    size_t size; /* bytes that it has */
};

/* Damage was found in a block: byte `offset` has changed. */
typedef void hardened_report(enum acre_error_kind kind, const void *block, size_t requested,
                             size_t offset, const char *function);

enum hardened_mode { HARDENED_OFF, HARDENED_FILL, HARDENED_BLOCKS };

extern enum hardened_mode hardened_mode; /* [constant] BLOCKS: perhaps with patterns, too */

/* Switches on what the options say. To be called before threads exist. */
void hardened_start(hardened_report *report);

static inline bool hardened_is_on(void)
{
    return UNLIKELY(hardened_mode != HARDENED_OFF);
}

/* Random bits for bin_take_random; makes *quarantine, the arena's, if it is NULL. By the owner. */
uint64_t hardened_random(struct quarantine **quarantine);

/* To be called for each SAMPLED block that is allocated, for a request of `size` bytes, after
 * notes_make. *zero is set if it is known to be zero, and cleared if it is not any more. It may
 * report damage, so the caller holds no lock. By the thread that the block is for. */
void hardened_allocated(const struct hardened_block *block, size_t size, bool *zero);

/* The size that was asked for of a block that the program holds; 0 if not known. */
size_t hardened_requested(const struct hardened_block *block);

/* Reports an overflow of a block that the program holds. */
void hardened_check(const struct hardened_block *block, const char *function);

/* The block stays where it is, for a request of `size` bytes; those that are new are filled. */
void hardened_resized(const struct hardened_block *block, size_t size);

/* Makes a SAMPLED block QUARANTINED and fills it: false if it was not SAMPLED. Any thread. */
bool hardened_wipe(const struct hardened_block *block);

/* Puts a QUARANTINED block of the arena's own into its quarantine. False if that does not take it:
 * it is the caller's still. */
bool hardened_keep(struct quarantine *quarantine, const struct hardened_block *block);

/* Gives all blocks of a quarantine back, which may be NULL. By the owner. */
void hardened_empty(struct quarantine *quarantine);

/* For an orphan whose heaps are rebuilt: its blocks become FREE. Others stay QUARANTINED: threads
 * of this process may be filling them, or lost ones were. */
void hardened_forget(struct quarantine *quarantine);

/* The first block of a slab whose canary is damaged, or NULL. Other threads may free and resize
 * blocks meanwhile, but the owner is the caller or quiet. */
const void *hardened_find_damage(struct slab *slab);

#endif
