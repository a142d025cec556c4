/* acre-inspect, as fuzz.c feeds it. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXTRA_ARGUMENTS = 3 };

const char fuzz_tool[] = "acre-inspect";

/* That of tools/acre-inspect.c. */
#undef main
int fuzz_main(int argc, char **argv);

int fuzz_run(struct random *choices, const char *what, uint64_t address)
{
    static char text[32];
    static char *arguments[EXTRA_ARGUMENTS + 2] = {(char *)fuzz_tool};
    int count = 1;
    switch (random_below(choices, 6)) {
    case 0:
        arguments[count++] = (char *)"--json";
        break;
    case 1:
        arguments[count++] = (char *)"--prometheus";
        break;
    case 2:
        /* a block that is in the profile, if it is, or another address */
        arguments[count++] = (char *)"--find";
        if (random_below(choices, 2) == 0)
            address += random_small(choices, 64 << 20) - random_small(choices, 4 << 20);
        snprintf(text, sizeof(text), "0x%" PRIx64, address);
        arguments[count++] = text;
        break;
    case 3:
        arguments[count++] = (char *)"--class";
        snprintf(text, sizeof(text), "%zu", 1 + random_small(choices, 4096));
        arguments[count++] = text;
        break;
    default:
        break;
    }
    arguments[count++] = (char *)what;
    return fuzz_main(count, arguments);
}
