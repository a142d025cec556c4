/*
 * What fragmentation costs, by block: a page of which less than a quarter is live cannot go back to
 * the system; each live block on it has a share of it, by its bytes.
 */
#ifndef ACRE_TOOLS_PINNED_H
#define ACRE_TOOLS_PINNED_H

#include "samples.h"

/* For each live sample, the bytes of pages that it and the blocks for which it stands pin: an
 * estimate. Allocated. */
double *pinned_count(struct memory *memory, const struct samples *samples);

#endif
