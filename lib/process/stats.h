/*
 * Statistics: counted from the block states when asked for, so that no path pays for them.
 */
#ifndef ACRE_LIB_STATS_H
#define ACRE_LIB_STATS_H

#include "base/base.h"

struct acre_stats;

/*
 * Counts everything. Takes each arena's heap lock and the LARGE lock for a moment; what other
 * threads do meanwhile may be seen in part.
 */
void stats_collect(struct acre_stats *stats);

/* Writes the table of acre_stats_print to file descriptor fd. */
void stats_print(int fd);

#endif
