/* Starting and stopping the profile of a process, from outside. */
#ifndef ACRE_TOOLS_CONTROL_H
#define ACRE_TOOLS_CONTROL_H

#include "memory.h"

/* Exits with status 2, after a message that has what is allowed, if that is no interval. */
void control_check_interval(const char *interval);

/*
 * Each asks an open process, waits until it has done it, and prints a line about it. `quiet`: the
 * process writes no line about it to its standard error. False, after a message, if the process has
 * not done it. Exits with status 1 if it cannot be asked.
 */
bool control_start(struct memory *memory, const char *interval, bool quiet);
bool control_stop(struct memory *memory, bool quiet);
bool control_mark(struct memory *memory);

#endif
