/*
 * Statistics: counted from the block states when asked for, so that no path pays for them. The
 * counting is inspect/count.h's, over the process's own memory.
 */
#ifndef ACRE_LIB_STATS_H
#define ACRE_LIB_STATS_H

#include "base/out.h"
#include "inspect/count.h"

#include <acre/acre.h>

/* Counts everything in this process; heap_resident, which costs a system call for each MiB or more,
 * only if `resident`. No lock. */
void stats_count(bool resident, struct figures *figures);

/* Fills in the public structure, of which the caller knows `size` bytes. */
void stats_collect(struct acre_stats *stats, size_t size);

/* Writes what acre_stats_print writes; `figures` is room for what is counted. False if `out` did
 * not take all of it. */
bool stats_print(struct out *out, enum acre_stats_format format, struct figures *figures);

/* The same to file descriptor fd. */
void stats_print_to(int fd, enum acre_stats_format format);

#endif
