/*
 * The command that acre-run is to run: where it is, and whether a library can be preloaded into it.
 */
#ifndef ACRE_TOOLS_COMMAND_H
#define ACRE_TOOLS_COMMAND_H

#include "elf_facts.h"

/* Exit statuses of acre-run itself, those of env(1) and the shells. */
enum {
    STATUS_FAILED = 125,    /* acre-run could not do its work */
    STATUS_REFUSED = 126,   /* the command is there but cannot be run, or not on acre */
    STATUS_NOT_FOUND = 127, /* there is no such command */
};

/*
 * The path of the command that a shell would run for `name`: name itself if it has a slash in it,
 * else what PATH leads to. Always has a slash in it; allocated. Says what is wrong and exits with
 * STATUS_NOT_FOUND or STATUS_REFUSED if there is none that can be executed.
 */
char *command_find(const char *name);

/*
 * Checks that the dynamic linker will preload `library`, whose ELF facts are given, into the
 * program at path or, if that is a script, into its interpreter. Says why and exits with
 * STATUS_REFUSED if not. A file of an unknown kind passes: the kernel may know what to do with it.
 */
void command_check(const char *path, const char *library, const struct elf_facts *facts);

#endif
