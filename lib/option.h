/*
 * Options: one table (in option.c), parsed once from ACRE_OPTIONS and changed by acre_option_set.
 * Values are relaxed atomics: any thread may read and set them. Never allocates, calls no getenv.
 */
#ifndef ACRE_LIB_OPTION_H
#define ACRE_LIB_OPTION_H

#include "out.h"

enum option_id {
    OPTION_ABORT, /* bool, default 1: end the process at a misuse of free */
    OPTION_DECAY, /* milliseconds 0..3600000, default 1000: free pages go back to the system after
                     it */
    OPTION_LARGE_STOCK, /* bytes 0..64 GiB, default 64 MiB: most free LARGE extents kept mapped */
    OPTION_DIRTY_LIMIT, /* bytes 0..64 GiB, default 64 MiB: most dirty free units an arena keeps */
    OPTION_HUGE_PAGES,  /* enum never|system|always: what heaps ask of transparent huge pages;
                           default never */
    OPTION_STATS, /* enum off|exit: print the statistics table to standard error at exit; default
                     off */
    OPTION_COUNT
};

/* The value: a number, bytes or milliseconds, 0/1, or the index of the enum's name. */
uint64_t option_value(enum option_id id);

/*
 * Parses "key:value,key:value". Each unknown key and each value that is not allowed is one warning
 * line that names it and what is allowed; the rest still applies. Sizes take K, M, G suffixes
 * (powers of 1024).
 */
void option_parse(const char *list);

/* Finds ACRE_OPTIONS in a NULL-terminated environment and parses it; ignored in set-uid programs.
 */
void option_parse_environment(char *const *environment);

/* As acre_option_get and acre_option_set: 0, ENOENT, EINVAL or ERANGE. */
int option_get_text(const char *key, char *value, size_t size);
int option_set_text(const char *key, const char *value);

/* Prints the table of options: name, type and range, default, help; for --help-options and the man
 * page. */
void option_print_help(struct out *out);

#endif
