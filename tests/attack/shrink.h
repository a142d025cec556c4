/* Making a sequence that has found something as short as it can be. */
#ifndef ACRE_TESTS_ATTACK_SHRINK_H
#define ACRE_TESTS_ATTACK_SHRINK_H

#include <stdbool.h>

/* Plays the attempt's steps in a process of its own; notes in it what is found, signals too. In
 * search.c. */
void search_play(void);

/*
 * Leaves steps out, and makes others do less, while the rest still finds the same. Returns false,
 * with nothing changed, if the steps, played again, do not find it.
 */
bool shrink(void);

#endif
