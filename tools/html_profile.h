/*
 * The flame graph: one HTML page that shows a profile's stacks. The page is tools/profile.html,
 * with the data in it; it loads nothing.
 */
#ifndef ACRE_TOOLS_HTML_PROFILE_H
#define ACRE_TOOLS_HTML_PROFILE_H

#include "report.h"

/* The template, made into a string when it was built. */
extern const char profile_template[];

/* Writes the page. Errors show in ferror. */
void html_profile(const struct report *report, FILE *file);

#endif
