/*
 * System calls of the library that fail: the fuzzer's library is built with SYSTEM_CALL_BY_LIBC,
 * and the linker leads libc's functions that it calls for that to refuse.c (--wrap).
 */
#ifndef ACRE_TESTS_FUZZ_REFUSE_H
#define ACRE_TESTS_FUZZ_REFUSE_H

#include <stdbool.h>
#include <stdint.h>

/* From now on call number `at`, from 1, fails; also each later one, if the lowest bit of `how` is
 * set. The other bits choose the error. */
void refuse_begin(unsigned at, uint8_t how);

/* Nothing fails any more. */
void refuse_end(void);

/* How many calls have failed since refuse_begin. */
unsigned refuse_count(void);

/* True if calls fail now and will until refuse_end. */
bool refuse_goes_on(void);

#endif
