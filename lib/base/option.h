/*
 * Options: one table (in option.c), parsed once from ACRE_OPTIONS and changed by acre_option_set.
 * Values are relaxed atomics: any thread may read and set them. Calls no getenv, allocates nothing
 * but texts, from metadata.
 */
#ifndef ACRE_LIB_OPTION_H
#define ACRE_LIB_OPTION_H

#include "base/os.h"

/* What each is for; ranges and defaults are in the table. */
enum option_id {
    OPTION_ON_ERROR,          /* enum on_error: what is done at a misuse of free */
    OPTION_FOREIGN,           /* enum on_error: the same if the pointer is foreign */
    OPTION_DECAY,             /* milliseconds after which free pages go back to the system */
    OPTION_LARGE_STOCK,       /* bytes: the part of the bound on the stock of LARGE that does not
                                 depend on what is live; 0: none (large_list.h) */
    OPTION_DIRTY_LIMIT,       /* bytes: most dirty free units that an arena keeps */
    OPTION_HUGE_PAGES,        /* enum huge_pages: what is asked of transparent huge pages */
    OPTION_STATS,             /* enum stats_when: whether to write the statistics at the end */
    OPTION_STATS_FILE,        /* text: the file's name, with %p and %n; "": standard error */
    OPTION_STATS_SECONDS,     /* seconds between two writings; 0: none */
    OPTION_STATS_SIGNAL,      /* number of the signal that asks for a writing; 0: none */
    OPTION_STATS_CHILDREN,    /* bool: children of fork write, too */
    OPTION_BACKGROUND_THREAD, /* bool: a thread gives idle memory back (background.h) */
    OPTION_PROFILE,           /* bytes between two samples of the heap profile, on average; 0: off
                                 (modes/profile.h) */
    OPTION_PROFILE_SAMPLES,   /* live samples that a profile has room for, from its next start on */
    OPTION_TRACE,             /* records of the trace; 0: off (modes/trace.h) */
    OPTION_GUARD,             /* one allocation in that many is guarded; 0: none (modes/guard.h) */
    OPTION_HARDENED,          /* bool: random places, quarantine, canaries (modes/hardened.h), guard
                                 pages (guard_page.h) */
    OPTION_FILL,              /* bool: allocated and freed bytes get patterns */
    OPTION_MISMATCH,          /* enum on_error: the same if a block goes back by another family of
                                 functions, or with another size (paths/mismatch.h) */
    OPTION_LIMIT, /* bytes that acre may hold, or OPTION_LIMIT_GROUP and the percentage that is left
                     of what the control group may have; 0: no limit (limit.h) */
    OPTION_COUNT
};

#define OPTION_LIMIT_GROUP (UINT64_C(1) << 63)

/* never: ask not to have them; large: ask to have them for LARGE blocks of 4 MiB or more and, once,
 * for what heaps grow by from 6 MiB on (heap_pages.h), and not to for all else; system: ask
 * nothing; always: ask to have them. */
enum huge_pages { HUGE_PAGES_NEVER, HUGE_PAGES_LARGE, HUGE_PAGES_SYSTEM, HUGE_PAGES_ALWAYS };

/* What is done at a misuse: it is reported and the process ended; it is reported; nothing. */
enum on_error { ON_ERROR_ABORT, ON_ERROR_REPORT, ON_ERROR_IGNORE };

enum stats_when { STATS_OFF, STATS_AT_EXIT };

enum option_type {
    TYPE_NAME,   /* one of the names in `allowed`; the value is its index */
    TYPE_NUMBER, /* a plain number */
    TYPE_BYTES,  /* a number, then K, M or G for powers of 1024 */
    TYPE_LIMIT,  /* as TYPE_BYTES, or `cgroup`, or `cgroup-N%` */
    TYPE_TEXT,   /* at most `most` bytes without a comma; the value is their address, 0 if none */
};

/* A row of the table. */
struct option {
    const char *name;
    enum option_type type;
    const char *allowed; /* for the user; of TYPE_NAME: the names, between `|` */
    uint64_t most;       /* of the numbers: the range is 0..most; of a text: bytes */
    uint64_t standard;   /* the default */
    uint64_t value;      /* [any] */
    const char *help;
};

extern struct option option_table[OPTION_COUNT];

/* The value: bytes, milliseconds, 0 or 1, or the enumerator. */
uint64_t option_value(enum option_id id);

/* A text; it stays as it is when the option changes. */
const char *option_text(enum option_id id);

/* Parses "key:value,key:value"; sizes take K, M, G suffixes, or k, m, g (powers of 1024). Each
 * mistake is one warning line that names `source`, where the list is from, and says what is
 * allowed; the rest still applies. False if there was a warning. */
bool option_parse(const char *list, const char *source);

/* Reads /etc/acre.conf and, except in set-uid programs, the user's file (acre-options(7)). To be
 * called by a constructor: not by two threads at once. */
void option_read_files(char *const *environment);

/* The same for one file, unless it is missing; reports one that is not the owner's or too long. */
void option_read_file(const char *path, enum os_owner owner);

/* Finds ACRE_OPTIONS in an environment (NULL-terminated; NULL: none) and parses it. Ignored in
 * set-uid programs. */
void option_parse_environment(char *const *environment);

/* As acre_option_get and acre_option_set (acre.h): 0, ENOENT, EINVAL or ERANGE. */
int option_get_text(const char *key, char *value, size_t size);
int option_set_text(const char *key, const char *value);

/* Writes the table of options to file descriptor fd: name, what is allowed, default, help. */
void option_print_help(int fd);

#endif
