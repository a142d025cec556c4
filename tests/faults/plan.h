/*
 * What the driver and the process of a run share: which system call is to fail and how, and what
 * came of it. It lies in shared memory, so that calls are counted through children of fork, too.
 */
#ifndef ACRE_TESTS_FAULTS_PLAN_H
#define ACRE_TESTS_FAULTS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum plan_how {
    PLAN_ONCE,      /* the call alone */
    PLAN_SAME_ON,   /* it and each later one of the same system call */
    PLAN_PAGES_ON,  /* it and each later one that maps, unmaps or changes pages */
    PLAN_MEMORY_ON, /* it and each later one that adds writable memory, as where the system commits
                       no more than it has (vm.overcommit_memory 2) */
    PLAN_HOWS
};

enum {
    PLAN_FD = 100,            /* inherited by the process of a run */
    PLAN_NOTED = 1 << 13,     /* calls of a run that are noted */
    PLAN_SYSTEM_CALLS = 1024, /* numbers of system calls are below, those of PLAN_CALL_... above */
    PLAN_FEATURES = 16,       /* of the system, that may be lacking: intercept_feature */
};

/* Functions of libc that may fail, by which the library makes threads and keys and handles a
 * signal. They are counted among the system calls. */
enum plan_libc_call {
    PLAN_CALL_THREAD = PLAN_SYSTEM_CALLS,
    PLAN_CALL_KEY,
    PLAN_CALL_SPECIFIC,
    PLAN_CALL_ACTION,
    PLAN_CALLS
};

/* A call of a run without faults. */
struct plan_call {
    unsigned number;
    uintptr_t place; /* in the library, after its instruction */
    uint64_t path;   /* a hash of the library's addresses on the stack */
};

/* Calls are counted in two sequences: reads of the clock, which are many, and all others. */
struct plan_calls {
    size_t count;  /* [any] so far in this run */
    size_t learnt; /* [driver] in the run without faults */
    struct plan_call noted[PLAN_NOTED];
};

enum { PLAN_SEQUENCES = 2 };

struct plan {
    /* [driver] */
    size_t at;         /* the number, from 1, of the call that fails; 0: none does */
    unsigned error;    /* which of its errors: from 0 */
    enum plan_how how; /* and which calls after it */
    bool of_clock;     /* the sequence that `at` is of */
    size_t others;     /* live blocks at the end that are not the program's, without faults */
    size_t space;      /* bytes mapped at the end, without faults */
    bool learning;     /* a run without faults: `others` and `space` are found out */
    uint32_t lacking;  /* bit f: the system does not have feature f */
    bool confined;     /* the process is killed for each call of the library's but these: */
    bool allowed[PLAN_SYSTEM_CALLS];

    /* [any] */
    struct plan_calls sequences[PLAN_SEQUENCES]; /* that of the clock second */
    size_t failed;                               /* calls that failed */
    size_t refused;                              /* of the program's requests: NULL */
    size_t lost;                 /* bytes that were mapped at the end beyond `space` */
    unsigned number;             /* the system call that failed first, */
    uintptr_t place;             /* and the place of it */
    uint64_t clock;              /* ms; moved by the program alone */
    size_t seen[PLAN_CALLS];     /* calls, by number, of all runs */
    size_t asked[PLAN_FEATURES]; /* calls that ask for a feature, of all runs */
};

extern struct plan *plan;

#endif
