/*
 * The scans of lib/base/states.c once more, compiled without the vector instructions of the
 * machine, so that the portable fallback is tested on every machine. The contracts are those of
 * lib/base/states.h.
 */
#ifndef ACRE_TESTS_UNIT_STATES_PORTABLE_H
#define ACRE_TESTS_UNIT_STATES_PORTABLE_H

#include <stddef.h>
#include <stdint.h>

uint64_t portable_states_match(const uint8_t *states, uint8_t value);
size_t portable_states_count(const uint8_t *states, size_t count, uint8_t value);
size_t portable_states_find(const uint8_t *states, size_t count, uint8_t value);
uint64_t portable_states_summary(const uint8_t *states, size_t count, uint8_t value);

#endif
