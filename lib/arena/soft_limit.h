/*
 * The soft limit: a function of the program's is called when what acre holds crosses a share of the
 * limit (base/limit.h), so that it can give up caches before requests fail.
 *
 * 1. The thread whose request crosses the share finds that in idle_make_room, where it may hold an
 *    arena, and notes it in its thread_state.
 * 2. Where the allocation has ended (paths/alloc.c) and no lock or arena is held, it frees the
 *    block that it got, if any, calls the function, and allocates anew: so nothing is lost if the
 *    function leaves by a jump, and a request that was refused is tried again.
 *
 * The function may jump, so a thread is in it if its stack has the call (stack_has).
 */
#ifndef ACRE_LIB_SOFT_LIMIT_H
#define ACRE_LIB_SOFT_LIMIT_H

#include "arena/arena.h"
#include "base/base.h"

#include <acre/acre.h>

/* As acre_set_limit_callback. */
int soft_limit_set(acre_limit_callback *callback, unsigned percent);

/* False if the calling thread is in the program's function, which is not called from there. */
bool soft_limit_may_call(void);

/* True if the calling thread is to call soft_limit_call, once it holds no lock and has no arena for
 * a moment only. */
static inline bool soft_limit_is_due(void)
{
    return UNLIKELY(thread_state.limit_crossed);
}

/* Calls the program's function, and gives back what that left idle. Preserves errno. */
COLD void soft_limit_call(void);

#endif
