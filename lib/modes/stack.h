/* Stacks: the return addresses of the calling thread. */
#ifndef ACRE_LIB_STACK_H
#define ACRE_LIB_STACK_H

#include "base/base.h"

/* The return addresses of the calling thread, the innermost one first; at most `most`. Returns
 * their number. */
size_t stack_take(uintptr_t *frames, size_t most);

#endif
