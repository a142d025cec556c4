/*
 * What acre-inspect reads, writes and asks with, when it is linked into the program fuzz: pread and
 * process_vm_readv note what is read, and give something else; process_vm_writev only looks;
 * isatty and wgetch are a terminal at which keys are typed.
 */
#ifndef ACRE_TESTS_HOSTILE_H
#define ACRE_TESTS_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "random.h"

enum {
    SANITIZER_FOUND = 99, /* exit status */
    MOST_READS = 1 << 16, /* noted */
    WORD = 8,             /* bytes of one change, at most */
};

/* A read of acre-inspect: offset in the core, or address in the process. */
struct noted {
    uint64_t at;
    size_t size;
};

/* Shared with the children. */
extern struct notes {
    bool screen; /* the last run was one of --watch, whose output is a terminal's */
    size_t count;
    struct noted reads[MOST_READS];
} * notes;

extern struct random choices;

/* What is done to reads of the process. */
extern struct hostile {
    bool notes_reads;
    size_t change_one_in; /* reads; 0: none ... */
    size_t left_alone;    /* ... until that many were read */
    pid_t subject;        /* the process that may be written to */
} hostile;

/* Changes up to WORD bytes at `bytes`, of which there are `size`, at least one. */
void hostile_change(uint8_t *bytes, size_t size);

/* The system's own; what it reads is not noted. */
ssize_t __real_pread(int file, void *into, size_t size, off_t offset);

#endif
