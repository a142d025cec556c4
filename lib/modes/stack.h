/*
 * The calling thread's stack: the return addresses of its frames.
 *
 * 1. Each frame is left by the rule of its code, from the image's .eh_frame (eh_frame.h). Rules are
 *    kept in a cache that all threads share. An entry holds a checksum of its words (Hyatt and
 * Mann, "A lockless transposition table implementation", 2002), so a torn one fits no key; and a
 * sum of the bytes that the rule is from, so an image that was closed leaves no rule to its
 * successor.
 * 2. Where there is no rule (code made at run time, assembler without tables), by the frame
 * pointer, if that leads up the stack to an address that follows a call.
 * 3. The frame that a signal has made is left by the registers that the system saved in it.
 *
 * A word of the stack is read if every page from the stack pointer up to it is readable; tables and
 * code, if their pages are (readable.h). doc/design.md, "Stacks", says why it is so and what it
 * costs.
 */
#ifndef ACRE_LIB_STACK_H
#define ACRE_LIB_STACK_H

#include "base/base.h"

/*
 * Stores up to `most` return addresses in `frames`, the innermost one first, and returns their
 * number. Those in this library are left out, unless the program contains it. An address at which a
 * signal arrived is stored plus 1, so that less 1 it is in the right function, as the others are.
 * Callable at any place: allocates nothing, takes no lock, keeps errno, needs 2 KiB of stack.
 */
size_t stack_take(uintptr_t *frames, size_t most);

#endif
