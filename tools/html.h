/*
 * The heap map: one HTML page that shows every heap of a process unit by unit, with its tables.
 * The page is tools/inspect.html, with the data in it; it loads nothing.
 */
#ifndef ACRE_TOOLS_HTML_H
#define ACRE_TOOLS_HTML_H

#include "detail.h"
#include "memory.h"

/* The template, made into a string when it was built. */
extern const char html_template[];

/*
 * Writes the page to the file at `path`. The figures are of all of `memory`.
 * Exits with status 1, after it has said why, if that cannot be.
 */
void html_write(struct memory *memory, const struct print_process *process,
                const struct detail *detail, const char *path);

#endif
