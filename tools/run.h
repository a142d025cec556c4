/*
 * Running a command until it ends, and reading its memory right before: it is traced, with all that
 * it starts, and each process stops where it ends, however that came about. Nothing is written to
 * it.
 */
#ifndef ACRE_TOOLS_RUN_H
#define ACRE_TOOLS_RUN_H

#include "dump.h"

/* Exit statuses, besides the command's own. */
enum {
    RUN_LEAKS = 23,      /* there are leaks */
    RUN_FAILED = 125,    /* the command could not be traced */
    RUN_REFUSED = 126,   /* it is there but cannot be run */
    RUN_NOT_FOUND = 127, /* there is no such command */
};

#define RUN_INTERVAL "512K" /* by default; doc/profile.md has what it costs */

struct run_wanted {
    struct dump_wanted dump; /* `path` may have %p, the process's id, and %n, its name */
    bool leaks;              /* only what nothing leads to any more */
    const char *interval;    /* bytes between samples; NULL: not given */
};

/*
 * Runs the command with the profile on, and writes the profile of each of its processes that uses
 * acre. Returns the status to exit with; if a signal has ended the command it ends this program,
 * too.
 */
int run(const struct run_wanted *wanted, char **command);

#endif
