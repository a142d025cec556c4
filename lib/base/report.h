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

enum misuse {
    MISUSE_DOUBLE_FREE, /* the block is known and not live */
    MISUSE_INTERIOR,    /* 16-byte aligned, inside a block but not at its start */
    MISUSE_MISALIGNED,  /* not 16-byte aligned, as no block is, and in a block or free memory */
    MISUSE_FOREIGN,     /* no block of this allocator: stack, code, unmapped, another allocator's,
                           metadata */
};

/* What is known about the pointer that was misused. */
struct misuse_report {
    enum misuse kind;
    const char *function; /* the exported function that was called, such as "free" or "realloc" */
    const void *pointer;  /* as passed */
    const void *block;    /* start of the block that the pointer lies in; NULL if unknown */
    size_t block_size;    /* its size in bytes */
    const char *block_class; /* "TINY", "SMALL" or "LARGE" */
    int arena;               /* number of its arena, from 1; 0 if LARGE */
};

/* Notes the program's name. Once, by a constructor; reports before it take libc's. */
void report_start(void);

enum { REPORT_NAME = 32 }; /* bytes of a program's name with its NUL; what is longer is cut off */

/* The name of the program that the calling process runs, "?" if it has none. */
void report_process_name(char name[REPORT_NAME]);

/*
 * Reports a misuse. After "acre: NAME[PID]: " the line is one of these, the last one if the block
 * is not known:
 *
 *   double free: free(0x7f0000010040): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   interior pointer: free(0x7f0000010050): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   misaligned pointer: free(0x7f0000010041): block 0x7f0000010040 of 64 bytes, TINY, arena 1
 *   foreign pointer: free(0x7ffc12345678): not a block of this allocator
 *   double free: free(0x7f0000100000): the block was released
 *
 * Preserves errno.
 */
void report_misuse(const struct misuse_report *report);

/* The calling thread would wait for a lock that it holds: says so and ends the process by SIGABRT.
 * A handler of SIGABRT that leads here again is not called again. */
_Noreturn void report_deadlock(void);

/* Prints the formatted text (the formats of out.h) as one line. */
void report_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
