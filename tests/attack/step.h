/*
 * A step of the attacker: one call of the malloc family, or something done to memory or threads. A
 * step names blocks by the step that made them, never by address, so that a sequence can be played
 * again, and with steps left out.
 */
#ifndef ACRE_TESTS_ATTACK_STEP_H
#define ACRE_TESTS_ATTACK_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STEPS_MOST = 512,  /* steps of a sequence */
    COUNT_MOST = 8192, /* blocks that one step makes */
    THREADS = 3,       /* that make steps, one at a time; number 0 is the main thread */
    WRITE_MOST =
        1 << 16, /* bytes that the attacker writes past a block's end, or into a freed one */
};

enum call {
    CALL_MALLOC, /* and the next four: count blocks */
    CALL_CALLOC,
    CALL_ALIGNED_ALLOC,
    CALL_POSIX_MEMALIGN,
    CALL_MEMALIGN,
    CALL_REALLOC,
    CALL_FREE,
    CALL_USABLE_SIZE,
    CALL_SWEEP,     /* usable_size, free and realloc of each 16th address of a block's unit, and of
                       odd ones between, where no block starts */
    CALL_FREE_MANY, /* of the step's blocks, by number, all but those that are 0 modulo `keep` */
    CALL_RACE,      /* the same by the step's thread, while the main thread makes count blocks */
    CALL_FLUSH,     /* acre_thread_flush */
    CALL_TRIM,
    CALL_WRITE,      /* size bytes of value `byte` */
    CALL_THREAD_END, /* the thread ends, and another one takes its number */
    CALL_FORK,       /* the child goes on */
    CALL_SLEEP,      /* for size microseconds */
};

enum place_kind {
    PLACE_NUMBER, /* the offset itself */
    PLACE_BLOCK,  /* from a block's start */
    PLACE_UNIT,   /* from the unit that it starts in: 64 KiB */
    PLACE_HEAP,   /* from the heap that it would be in: 32 MiB */
    PLACE_STACK,  /* from a variable on the stack */
    PLACE_DATA,   /* from a static variable */
    PLACE_CODE,   /* from a function */
    PLACE_MAPPED, /* from a mapping of the program's own */
};

/* An address as the attacker makes it. */
struct place {
    enum place_kind kind;
    unsigned step, number; /* the block: which one of those that the step made */
    intptr_t offset;       /* bytes */
};

struct step {
    unsigned number; /* in the sequence as it was first played */
    enum call call;
    unsigned thread;
    struct place place; /* what the call is given */
    size_t size;        /* bytes asked for, or written */
    size_t alignment;   /* bytes */
    unsigned count;     /* blocks to make, at least 1 */
    unsigned keep;      /* at least 2 */
    unsigned char byte;
};

#endif
