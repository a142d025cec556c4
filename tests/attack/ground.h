/*
 * The program's own memory, which it had before acre mapped any: places in it that are passed as
 * blocks, and the attacker's writes, which stop where memory is not writable or is the program's.
 */
#ifndef ACRE_TESTS_ATTACK_GROUND_H
#define ACRE_TESTS_ATTACK_GROUND_H

#include "step.h"

/* Called once, in the driver, after its last mapping. */
void ground_prepare(void);

/* The address that offsets of a place of this kind count from. Not for places at blocks. */
uintptr_t ground_base(enum place_kind kind);

/* True if a byte of [start, end) was mapped before acre mapped any. */
bool ground_is_own(uintptr_t start, uintptr_t end);

/* True if all pages of [start, start + size) are mapped now. */
bool ground_is_mapped(const char *start, size_t size);

/*
 * Writes `size` bytes, at most WRITE_MOST, of that value from `at` upwards, as far as memory is
 * writable, not the program's own and not a block of the C library's. Returns the bytes written.
 */
size_t ground_write(char *at, size_t size, unsigned char byte);

/*
 * Notes that the attacker has written to [start, end), which may not be zero any more.
 * ground_is_dirtied says whether any byte of a range was.
 */
void ground_dirtied(uintptr_t start, uintptr_t end);
bool ground_is_dirtied(uintptr_t start, uintptr_t end);

#endif
