/*
 * One attempt: a process that plays a sequence, and the memory that it shares with the driver: what
 * it is to play, how far it has come, and what it has found.
 */
#ifndef ACRE_TESTS_ATTACK_ATTEMPT_H
#define ACRE_TESTS_ATTACK_ATTEMPT_H

#include "step.h"

/* What there is to find. */
enum finding {
    FOUND_NOTHING,
    FOUND_UNREPORTED, /* a misuse without a report, or with too few */
    FOUND_REPORTED,   /* a report without a misuse, or one too many */
    FOUND_MISNAMED,   /* a report that names something else */
    FOUND_ACTED,      /* a misuse that returned something */
    FOUND_OVERLAP,    /* two live blocks that overlap */
    FOUND_OUTSIDE,    /* a block in memory that was the program's before acre mapped any */
    FOUND_MISALIGNED,
    FOUND_REFUSED, /* NULL for a request that can be met */
    FOUND_GRANTED, /* a block for one that cannot */
    FOUND_ERRNO,
    FOUND_SIZE,     /* malloc_usable_size is below what was asked for, or has changed */
    FOUND_CONTENTS, /* of a live block have changed */
    FOUND_NOT_ZERO, /* calloc */
    FOUND_FIGURES,  /* acre_stats is not what the program holds */
    FOUND_INVALID,  /* acre_debug_validate */
    FOUND_LOST,     /* memory that nothing is in and that malloc_trim leaves */
    FOUND_SIGNAL,   /* the process died */
};

enum mode {
    MODE_CHOOSE, /* steps are chosen, and noted in steps[] */
    MODE_REPLAY, /* steps[] is played */
};

enum {
    FINDING_TEXT = 512, /* characters */
    HANG_SECONDS = 120, /* a sequence that takes that long hangs */
};

/* Exit statuses, of attempts and of the driver. */
enum {
    STATUS_FOUND = 1,  /* something was found */
    STATUS_FAILED = 2, /* the test itself failed */
};

struct option_set {
    const char *name;
    const char *options;  /* as in ACRE_OPTIONS, beside on_error and foreign */
    size_t address_space; /* bytes that the process may map beyond what it has when it begins: then
                             requests may fail; 0: no limit */
};

/* In memory shared between the processes; written by the one that plays. */
struct attempt {
    enum mode mode;
    const struct option_set *set;
    uint64_t seed, sequence; /* what the choices follow from */

    unsigned threads; /* that make steps; 1: the main one alone */
    unsigned count;   /* of steps[] */
    struct step steps[STEPS_MOST];

    unsigned playing; /* the step that is being played, its place in steps[]; count: the end */
    enum finding finding;
    char text[FINDING_TEXT];
    size_t calls, misuses, refusals, wide_blocks; /* what was tried, summed up */
};

extern struct attempt *attempt;

/* Notes what was found and ends the process. */
__attribute__((noreturn, format(printf, 2, 3))) void attempt_found(enum finding finding,
                                                                   const char *format, ...);

/* Ends the process: the test itself is at fault, or the system lacks what it needs. */
__attribute__((noreturn)) void attempt_failed(const char *what);

/* Limits the address space as the option set says, or not. */
void attempt_limit_address_space(bool limited);

/* Plays the attempt from its start to its end. In a process of its own. */
__attribute__((noreturn)) void attempt_play(void);

#endif
