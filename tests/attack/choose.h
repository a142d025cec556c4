/*
 * Choosing steps at random, from what is live and what was: each sequence has a temper (which
 * sizes, how many steps, threads and misuses) and each step follows from it. All of it follows from
 * the attempt's seed and number.
 */
#ifndef ACRE_TESTS_ATTACK_CHOOSE_H
#define ACRE_TESTS_ATTACK_CHOOSE_H

#include "step.h"

/* Chooses the temper; sets the attempt's threads. Returns the number of steps to come. */
unsigned choose_temper(void);

/* Chooses step `number`; it may turn out not to be possible. */
struct step choose_step(unsigned number);

#endif
