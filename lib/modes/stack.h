/*
 * The calling thread's stack: the return addresses of its frames.
 *
 * 1. A frame is left by the rule for its code, read from the image's .eh_frame (eh_frame.h).
 * 2. Code that has no rule (made at run time, assembler without tables) is left by the frame
 *    pointer, if that leads up the stack to an address that follows a call instruction.
 * 3. The frame that a signal has made is left by the registers that the system saved in it.
 *
 * Rules are kept in a cache that all threads share, without a lock. An entry has a checksum of its
 * words, so that a torn one fits no key (Hyatt and Mann, "A lockless transposition table
 * implementation", 2002). It also has a sum of the bytes that the rule was read from, so that the
 * rule of an image that was closed is not used for another image at its place.
 *
 * A word of the stack is read if every page from the stack pointer up to it is readable; tables and
 * code are read if their pages are (readable.h). doc/design.md, "Stacks", has reasons and costs.
 */
#ifndef ACRE_LIB_STACK_H
#define ACRE_LIB_STACK_H

#include "base/base.h"

/*
 * Stores up to `most` return addresses in `frames`, the innermost one first, and returns their
 * number. Addresses in this library are left out, unless the library is part of the program. Where
 * a signal arrived, the address plus 1 is stored: so each stored address minus 1 is in its
 * function. May be called anywhere: allocates nothing, takes no lock, preserves errno, needs 2 KiB
 * of stack.
 */
size_t stack_take(uintptr_t *frames, size_t most);

/* A call: where its frame ends (the stack pointer when it has returned), what it returns to. */
struct stack_call {
    uintptr_t frame, returns_to;
};

/* True if the calling thread is in that call, or may be: the walk ended before it came as far. */
bool stack_has(const struct stack_call *call);

#endif
