/* Carrying out one step, and checking what it gives. */
#ifndef ACRE_TESTS_ATTACK_PLAY_H
#define ACRE_TESTS_ATTACK_PLAY_H

#include "step.h"

/* The address of a place. False if its block was never made. */
bool play_address(const struct place *place, uintptr_t *address);

/* True if the step may be carried out: what it names is there. */
bool play_is_possible(const struct step *step);

/* Carries out a possible step, in its thread. */
void play_step(struct step *step);

/* Frees what is left, by all threads in turn. */
void play_free_rest(void);

#endif
