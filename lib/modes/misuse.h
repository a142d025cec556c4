/*
 * A misuse of free or another function that takes a block: the report, and the program's handler.
 *
 * The first line of a report names the misuse; the block's neighbours, the thread and its stack
 * follow, and, from the trace or the heap profile, the stacks that freed and allocated the block.
 * Each line is a write of its own. No lock is held, and nothing is allocated.
 *
 * The handler may leave by a jump. So a thread is in it if its stack has the call (stack_has); a
 * flag would stay set.
 */
#ifndef ACRE_LIB_MISUSE_H
#define ACRE_LIB_MISUSE_H

#include "base/base.h"

#include <acre/acre.h>

/* A block that touches the one that is misused. */
struct misuse_neighbour {
    const void *block; /* NULL: none is known */
    size_t size;       /* bytes */
    const char *state; /* in words */
};

struct trace_record;

/* What is known about the pointer that was misused. */
struct misuse {
    struct acre_error error;
    const char *block_class; /* "TINY", "SMALL", "LARGE" or "guarded" */
    struct misuse_neighbour before, after;
    const struct trace_record *freed, *allocated; /* of a guarded block; NULL: not known */
};

enum { MISUSE_DEPTH = 64 }; /* frames of a stack, at most */

/*
 * Reports a misuse. After "acre: NAME[PID]: " the first line is one of these, the fifth if the
 * block is not known:
 *
 *   double free: free(0x7f0000010040): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   interior pointer: free(0x7f0000010050): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   misaligned pointer: free(0x7f0000010041): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   foreign pointer: free(0x7ffc12345678): not a block of this allocator
 *   double free: free(0x7f0000100000): the block was released
 *   overflow: free(0x7f0000010040): block ... TINY, arena 1, 50 asked for, byte 50 has changed
 *   written after free: malloc(0x7f0000010040): block ... TINY, arena 1, byte 16 has changed
 *   use after free: realloc(0x7f0000010040): block ... TINY, arena 1
 *   mismatch: free(0x7f0000010040): block ... TINY, arena 1, allocated by operator new
 *   wrong size: operator delete(0x7f0000010040): block ... arena 1, 50 asked for, 40 given
 *   wrong alignment: operator delete(0x...): block ... arena 1, alignment 64 asked for, 16 given
 *   heap that has ended: acre_heap_alloc(0x7f0000020041): it was destroyed
 *
 * The others begin with two blanks, as far as each is known:
 *
 *     before it: block 0x7f0000010000 of 64 bytes, live
 *     after it: block 0x7f0000010080 of 64 bytes, free
 *     called by thread 4712 (worker) at
 *       #0 0x55d0c0de1233 /usr/bin/server+0x1233 (handle_request+0x43)
 *     freed by thread 4713 at
 *       #0 0x55d0c0de1450 /usr/bin/server+0x1450
 *     allocated by thread 4711 at
 *       #0 0x55d0c0de1199 /usr/bin/server+0x1199
 *
 * An address of a stack lies in the call: one less than the return address. Preserves errno.
 */
void misuse_report(const struct misuse *misuse);

/* The lines of a report from the one that names the thread on; `done` is what it did. */
void misuse_report_stacks(const char *done, const struct misuse *misuse);

/* Adds the stack; reports and ends the process as the options on_error and foreign say, and calls
 * the program's handler in between. The caller holds no lock. Preserves errno. */
void misuse_handle(struct misuse *misuse);

/* As acre_set_error_handler. */
acre_error_handler *misuse_set_handler(acre_error_handler *handler);

#endif
