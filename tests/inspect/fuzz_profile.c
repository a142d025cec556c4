/* acre-profile, as fuzz.c feeds it: its dumps, and the search for leaks. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "../../tools/dump.h"
#include "hostile.h"

enum { EXTRA_ARGUMENTS = 8 };

const char fuzz_tool[] = "acre-profile";

/* That of tools/acre-profile.c. */
#undef main
int fuzz_main(int argc, char **argv);

/* What acre-profile run does at the end of a process. */
static int find_leaks(const char *what)
{
    static struct memory memory;
    const struct dump_wanted wanted = {.format = DUMP_TEXT, .most = 10};
    struct leaks leaks;
    struct maps maps;
    memory_open(&memory, what);
    maps_read(&memory, &maps);
    leaks_find(&memory, &maps, NULL, 0, &leaks);
    bool whole = dump(&memory, &wanted, &leaks);
    leaks_free(&leaks);
    maps_free(&maps);
    memory_close(&memory);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}

int fuzz_run(const char *what, uint64_t address)
{
    static const char *const formats[] = {"text", "folded", "heap_v2", "pprof", "html"};
    static const char *const kinds[] = {"--live", "--allocated", "--peak", "--since-mark"};
    char *arguments[EXTRA_ARGUMENTS + 2] = {(char *)fuzz_tool, (char *)"dump"};
    int count = 2;
    const char *format = formats[random_below(&choices, sizeof(formats) / sizeof(formats[0]))];
    (void)address;
    if (!hostile.notes_reads && random_below(&choices, 8) == 0)
        return find_leaks(what);
    arguments[count++] = (char *)"--format";
    arguments[count++] = (char *)format;
    arguments[count++] = (char *)kinds[random_below(&choices, sizeof(kinds) / sizeof(kinds[0]))];
    if (random_below(&choices, 4) == 0)
        arguments[count++] = (char *)"--pinned";
    if (strcmp(format, "pprof") == 0) { /* it is binary */
        arguments[count++] = (char *)"-o";
        arguments[count++] = (char *)"/dev/null";
    }
    arguments[count++] = (char *)what;
    return fuzz_main(count, arguments);
}
