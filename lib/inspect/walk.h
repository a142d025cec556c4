/*
 * Walking over all blocks of a view: those in slabs, live or not, LARGE ones, and free extents.
 * Between the calls no lock is held and nothing is kept that the owner of the memory could not
 * change, so a callback may allocate and free in it.
 */
#ifndef ACRE_LIB_WALK_H
#define ACRE_LIB_WALK_H

#include "inspect/view.h"

#include <acre/acre.h>

/* Calls back for each block until that returns something other than 0, which is returned then; 0
 * at the end. States are read a few hundred at a time; what the callback does to blocks whose
 * states were read before is not seen. */
int walk_blocks(struct view *view, acre_heap_callback *callback, void *context);

#endif
