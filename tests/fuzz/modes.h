/*
 * Options as part of an input: they are taken from the library's own table, so that a new option is
 * covered without a change here.
 */
#ifndef ACRE_TESTS_FUZZ_MODES_H
#define ACRE_TESTS_FUZZ_MODES_H

#include <stdbool.h>
#include <stdint.h>

/* Gives all options the values that they had when this was called first. */
void modes_reset(void);

/* Sets one option, by two bytes of the input. Options of statistics are left out: they write files
 * and take signals. */
void modes_set(uint8_t option, uint8_t value);

/* True if an option bounds what acre may hold, so that any request may be refused. */
bool modes_limit(void);

#endif
