/* A sequence written as a C program, while it is played, so that its last line is the call that
 * failed. Nothing is written but in MODE_WRITE. */
#ifndef ACRE_TESTS_ATTACK_PROGRAM_H
#define ACRE_TESTS_ATTACK_PROGRAM_H

#include "model.h"
#include "step.h"

/* The text before the first step. */
void program_begin(void);

/* A possible step; before it is played. */
void program_step(const struct step *step);

/* A free of a block that is left at the end. */
void program_free_rest(const struct block *block);

/* The text after the last step, which is the one that failed. */
void program_end(void);

#endif
