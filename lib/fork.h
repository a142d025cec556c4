/*
 * Fork: the handlers. No lock is held across fork; the child only takes note of it (doc/fork.md).
 */
#ifndef ACRE_LIB_FORK_H
#define ACRE_LIB_FORK_H

/* Registers the handlers. Called once, from a constructor: registering may allocate. */
void fork_install(void);

#endif
