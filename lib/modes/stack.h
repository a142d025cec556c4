/*
 * The calling thread's stack: the return addresses of its frames.
 *
 * 1. Each frame is left by the rule of its code, from the image's .eh_frame (eh_frame.h). Rules are
 *    kept in a cache that all threads share: two words, the first one with a checksum of both
 *    (Hyatt, "A lockless transposition table", 1999), so a torn entry fits no key.
 * 2. Where there is no rule (code made at run time, assembler without tables), by the frame
 * pointer, if that leads up the stack to an address that follows a call.
 * 3. The frame that a signal has made is left by the registers that the system saved in it.
 *
 * A word is read only if every page from the stack pointer up to it is readable (os_is_readable).
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
