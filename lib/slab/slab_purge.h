/*
 * The pages of partly used slabs: those that hold nothing but free blocks go back to the system;
 * these blocks are PURGED then.
 *
 * No lock, but the heap lock that purging for another thread needs; the slab belongs to the
 * arena's thread.
 */
#ifndef ACRE_LIB_SLAB_PURGE_H
#define ACRE_LIB_SLAB_PURGE_H

#include "slab/slab.h"

/*
 * Gives the pages of a slab back to the system that hold nothing but FREE blocks, which become
 * PURGED. Returns bytes.
 */
size_t slab_purge(struct slab *slab);

/*
 * The same with REMOTE blocks, for a slab of another thread with this geometry: remote.h says when
 * that may be. Needs the heap lock.
 */
size_t slab_purge_for_owner(struct slab *slab, struct slab_geometry geometry);

/*
 * The same for all slabs of a bin but the current one; those without a FREE block left go to the
 * list's end, so that allocation comes to them last.
 */
size_t bin_purge(struct bin *bin);

#endif
