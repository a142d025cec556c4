/*
 * Checking every structure of the process, for acre_check. Locks: those of heaps and LARGE, one at
 * a time, and arenas of the pool are borrowed.
 */
#ifndef ACRE_LIB_CHECK_H
#define ACRE_LIB_CHECK_H

#include "base/out.h"

/*
 * Says in a line each what is wrong; returns the number of lines. First everything is walked over
 * as a reader outside does (view.h), who trusts no value: if that finds damage, it is all that is
 * said, since the rest follows pointers. Then the arena of the caller and those of the pool are
 * checked whole, of others their heaps, and the LARGE list.
 */
size_t check_process(struct out *out);

#endif
