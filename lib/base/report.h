/*
 * Messages to the user. Everything goes to standard error as a single write of one line beginning
 * with "acre: NAME[PID]: ", so that lines of several threads or processes do not mix. No lock, no
 * allocation.
 *
 * NAME is the program's: argv[0] without its path, as it was when report_start was called. So it is
 * that of the last exec, the same in all threads and in children of fork, whatever a program writes
 * over its arguments and however it names its threads.
 */
#ifndef ACRE_LIB_REPORT_H
#define ACRE_LIB_REPORT_H

#include "base/out.h"

/* Notes the program's name. Once, by a constructor; reports before it take libc's. */
void report_start(void);

enum { REPORT_NAME = 32 }; /* bytes of a program's name with its NUL; what is longer is cut off */

/* The name of the program that the calling process runs, "?" if it has none. */
void report_process_name(char name[REPORT_NAME]);

/* The calling thread would wait for a lock that it holds: says so and ends the process by SIGABRT.
 * A handler of SIGABRT that leads here again is not called again. */
_Noreturn void report_deadlock(void);

/* Prints the formatted text (the formats of out.h) as one line. Preserves errno. */
void report_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
