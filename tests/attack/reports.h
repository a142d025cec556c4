/*
 * What acre reports: standard error is a file in memory, and each step says how many lines there
 * must be, and what the one of a misuse must name.
 */
#ifndef ACRE_TESTS_ATTACK_REPORTS_H
#define ACRE_TESTS_ATTACK_REPORTS_H

#include <stdint.h>

/* In each process that plays: from now on standard error is that file. */
void reports_begin(void);

/* There must be `count` lines since the last call. */
void reports_expect(unsigned count);

/* There must be one, for a call of `function` with `p`, where no live block starts. */
void reports_expect_misuse(const char *function, uintptr_t p);

#endif
