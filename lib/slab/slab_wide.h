/*
 * Wide blocks: a SMALL block that takes the place of several neighbouring FREE blocks of a slab of
 * a smaller class. What one class has left in pieces so serves another one, before an arena takes
 * new memory for it.
 *
 * The first of the blocks is WIDE, which is to it what LIVE is to others; those after it are REST.
 * A free finds that the state is not LIVE and comes here; a wide block is in no magazine and no
 * window, and when it is freed its places are those of the slab's class again.
 *
 * REST is stored before WIDE, and turned FREE after it, so that REST which no WIDE block has in
 * front (the child of a fork may find such) belongs to nobody: slab_rebuild makes it FREE. What
 * another thread freed (WIDE -> REMOTE) keeps its REST until the owner collects or takes it back
 * from the purged.
 *
 * No lock: all of it belongs to the arena's thread, but what says otherwise.
 */
#ifndef ACRE_LIB_SLAB_WIDE_H
#define ACRE_LIB_SLAB_WIDE_H

#include "slab/slab.h"

/*
 * A wide block for the bin's class, from the partly free slabs of smaller classes, `bins` being all
 * of the arena in the order of their classes. NULL if there is none, or none was found yet: a call
 * looks at a bounded number of states, the next one goes on there, and when all was looked at
 * nothing is until `look`, a number, is another one.
 */
void *bin_take_wide(struct bin *bin, struct bin *bins, uint32_t look);

/* Bytes that wide blocks of other classes could take from a bin's slabs. */
size_t bin_sparse_bytes(const struct bin *bin);

/* Frees the WIDE block at `number`, by the owner. */
void slab_free_wide(struct slab *slab, size_t number);

#endif
