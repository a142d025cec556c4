/*
 * The trace: a ring of the last allocations and frees with their stacks, for reports of misuse.
 *
 * While it is on, the table of size classes is diverted, and each block in a slab is SAMPLED, as in
 * a heap profile of interval 1. So each malloc and free takes its slow path and adds a record. It
 * is switched on at the start and stays on; off it costs nothing.
 *
 * No lock: an atomic addition chooses the record. Its number is 0 while it is written, so a reader
 * that finds the same number before and after has a whole one, unless the ring turned meanwhile.
 */
#ifndef ACRE_LIB_TRACE_H
#define ACRE_LIB_TRACE_H

#include "base/base.h"

enum { TRACE_DEPTH = 20 }; /* frames of a stack, at most */

/* An allocation or a free. [any] */
struct trace_record {
    uint64_t number;               /* from 1 on; 0: not used yet, or being written */
    const void *block;             /* its address */
    int32_t thread;                /* id */
    uint16_t depth;                /* frames */
    bool freed;                    /* else allocated */
    uintptr_t frames[TRACE_DEPTH]; /* the innermost one first */
};

extern struct trace_record *trace_ring; /* [constant] NULL: the trace is off */

/* Switches it on if option trace says so. To be called before threads exist. */
void trace_start(void);

static inline bool trace_is_on(void)
{
    return UNLIKELY(trace_ring != NULL);
}

/* Fills in a record of a call by the calling thread, of number 0. */
void trace_take(struct trace_record *record, const void *block, bool freed);

void trace_add(const void *block, bool freed);

/* Notes that the block is about to be freed, if the trace is on. */
static inline void trace_freed(const void *block)
{
    if (trace_is_on())
        trace_add(block, true);
}

/* Copies the last record of the block that is older than record `number`. Returns its number; 0 if
 * there is none. */
uint64_t trace_find(const void *block, uint64_t number, struct trace_record *copy);

#endif
