/* What a run does: each scenario goes through some of the slow paths. */
#ifndef ACRE_TESTS_FAULTS_SCENARIOS_H
#define ACRE_TESTS_FAULTS_SCENARIOS_H

#include <stdbool.h>

struct scenario {
    const char *name;    /* NULL ends a table */
    const char *options; /* ACRE_OPTIONS; NULL: none */
    void (*run)(void);
    bool others_vary; /* a thread may hold blocks of libc's at the end, or not */
};

extern const struct scenario scenarios_alone[], scenarios_together[];

/* Removes the directory in which the scenarios of other processes have left their files. */
void scenarios_remove_files(const char *directory);

#endif
