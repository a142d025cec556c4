/* Starting and stopping the profile of a process, from outside. */
#ifndef ACRE_TOOLS_CONTROL_H
#define ACRE_TOOLS_CONTROL_H

#include "memory.h"

/* Exits with status 2, after it has said what is allowed, if that is no interval. */
void control_check_interval(const char *interval);

/*
 * These ask an open process, and wait until it has done it. They say so on standard output;
 * `quiet`: the process does not, on its standard error. False, after they have said why, if it has
 * not done it. Exit with status 1 if it cannot be asked.
 */
bool control_start(struct memory *memory, const char *interval, bool quiet);
bool control_stop(struct memory *memory, bool quiet);
bool control_mark(struct memory *memory);

#endif
