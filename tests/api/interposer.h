/* What interposer_lib.c tells the test that it is preloaded into. */
#ifndef ACRE_TESTS_API_INTERPOSER_H
#define ACRE_TESTS_API_INTERPOSER_H

/* Calls of its versions of functions that ask something of the system; atomic. */
extern unsigned long interposer_calls;

#endif
