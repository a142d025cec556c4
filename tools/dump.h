/* Reading a profile and writing it to a file, in the format that was asked for. */
#ifndef ACRE_TOOLS_DUMP_H
#define ACRE_TOOLS_DUMP_H

#include "leaks.h"
#include "sums.h"

#include <stdio.h>

enum dump_format { DUMP_BY_NAME, DUMP_TEXT, DUMP_PPROF, DUMP_HEAP_V2, DUMP_FOLDED, DUMP_HTML };

struct dump_wanted {
    enum dump_format format; /* BY_NAME: what the end of the file's name says, else TEXT */
    struct sums_wanted which;
    bool pinned;
    size_t most;      /* stacks of the table */
    const char *path; /* of the file; NULL: `stream` */
    FILE *stream;     /* NULL: standard output */
};

/* The format of that name. If there is none, prints which there are and exits with status 2. */
enum dump_format dump_parse_format(const char *name);

/* The length of the suffix of a path that names a format, such as ".pb.gz"; 0: it has none. */
size_t dump_suffix(const char *path);

/* Writes the profile of an open process or core; of its live blocks only the leaks, if that is not
 * NULL. False, after it has said so, if it has none, parts of it could not be read, or the file
 * cannot be written. */
bool dump(struct memory *memory, const struct dump_wanted *wanted, const struct leaks *leaks);

#endif
