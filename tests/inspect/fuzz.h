/* The tool that fuzz.c feeds; it is linked in, and its main has the name fuzz_main. */
#ifndef ACRE_TESTS_FUZZ_H
#define ACRE_TESTS_FUZZ_H

#include <stdint.h>

extern const char fuzz_tool[];

/* Runs it on a process or core, in a way that is chosen, or in one that reads everything if
 * hostile.notes_reads; `address` is that of a block. Returns its exit status. */
int fuzz_run(const char *what, uint64_t address);

#endif
