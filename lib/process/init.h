/*
 * The order of starting up and of ending. Allocation works before any of this: it only adds what
 * needs libc.
 */
#ifndef ACRE_LIB_INIT_H
#define ACRE_LIB_INIT_H

/* To be called by the library's constructor with the process's environment (NULL: none). */
void init_start(char *const *environment);

/* To be called by the library's destructor: writes what option `stats` asks for. */
void init_end(void);

#endif
