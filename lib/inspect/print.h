/*
 * Printing figures: as a table, as JSON, as Prometheus's text format, as glibc's malloc_info. Used
 * in the process and by the tools. Allocates nothing.
 */
#ifndef ACRE_LIB_PRINT_H
#define ACRE_LIB_PRINT_H

#include "base/out.h"
#include "inspect/count.h"

/* Whose figures they are. */
struct print_process {
    const char *name;    /* of the program; may have any bytes */
    int id;              /* 0: unknown */
    const char *version; /* of the library there */
    uint64_t resident;   /* bytes, of the whole process; 0: unknown */
};

/* The table of acre_stats_print. */
void print_text(struct out *out, const struct print_process *process,
                const struct figures *figures);

/* One object. */
void print_json(struct out *out, const struct print_process *process,
                const struct figures *figures);

/* The same without its end, so that more members may follow. */
void print_json_open(struct out *out, const struct print_process *process,
                     const struct figures *figures);

/* Text format 0.0.4, with the labels process and pid at each sample, for one process by itself. */
void print_prometheus(struct out *out, const struct print_process *process,
                      const struct figures *figures);

/* The labels of a sample for Prometheus; more of them may follow, and a brace. */
void print_labels(struct out *out, const struct print_process *process);

/* The document of glibc's malloc_info, with one heap that stands for all. */
void print_xml(struct out *out, const struct figures *figures);

#endif
