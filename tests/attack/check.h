/* What must hold between two steps, and at the end. Each function notes what it finds and ends the
 * process. */
#ifndef ACRE_TESTS_ATTACK_CHECK_H
#define ACRE_TESTS_ATTACK_CHECK_H

#include "model.h"

/* The block's contents and size are as they were. */
void check_block(const struct block *block);

/* All blocks, or some; now and then the figures and the structures, too. */
void check_between_steps(void);

/* Everything. */
void check_all(void);

/* Nothing is live: no memory is lost. */
void check_nothing_lost(void);

#endif
