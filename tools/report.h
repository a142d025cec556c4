/* A profile and all that is known about it, and the formats it is written in. */
#ifndef ACRE_TOOLS_REPORT_H
#define ACRE_TOOLS_REPORT_H

#include "sums.h"
#include "symbols.h"

#include <stdio.h>

enum { REPORT_SIZE_TEXT = 32 };

/* What leaks.h found; NULL in struct report: not asked for. */
struct leaks;

struct report {
    struct memory *memory;
    struct maps *maps;
    struct samples *samples;
    struct sums *sums;
    struct symbols *symbols;
    const struct sums_wanted *wanted;
    const struct leaks *leaks;
    bool pinned; /* sums have what is pinned */
    size_t most; /* stacks that the table shows */
};

/* A stack of the report: an index in sums->stacks, and what counts of it. */
struct report_stack {
    size_t index;
    struct amount amount;
};

/* The stacks that have any of what counts, the one with most bytes first. Allocated. */
struct report_stack *report_stacks(const struct report *report, size_t *count);

/* The return addresses of a stack, the innermost first; *depth is 0 if it was lost. */
const uint64_t *report_frames(const struct report *report, size_t stack, size_t *depth);

/* The symbols of a stack's frame, the innermost first. */
const struct symbol *report_symbols(const struct report *report, uint64_t return_address,
                                    uint32_t *count);

/* A figure as a whole number: estimates are rounded in one way everywhere. */
uint64_t report_whole(double figure);

/* Writes "1.5 MiB". */
const char *report_size(double bytes, char text[REPORT_SIZE_TEXT]);

/* Each of these writes one format; errors show in ferror. */

/* A table of the stacks with most bytes. */
void report_text(const struct report *report, FILE *file);

/* Profile.proto of pprof, compressed by gzip. */
void report_pprof(const struct report *report, FILE *file);

/* The text format heap_v2, which google-pprof, jeprof and Go's pprof read. */
void report_heap_v2(const struct report *report, FILE *file);

/* A line for each stack, the outermost function first, then its bytes: for flame graphs. */
void report_folded(const struct report *report, FILE *file);

#endif
