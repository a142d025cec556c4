/* acre-inspect, as fuzz.c feeds it. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "hostile.h"

enum { EXTRA_ARGUMENTS = 3 };

const char fuzz_tool[] = "acre-inspect";

/* That of tools/acre-inspect.c. */
#undef main
int fuzz_main(int argc, char **argv);

/* Of --set; the library's table of options has them. */
static const char *const settings[] = {"decay:100", "large_stock:64M", "huge_pages:never",
                                       "stats:exit", "background_thread:1"};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

int fuzz_run(const char *what, uint64_t address)
{
    static char text[32];
    static char *arguments[EXTRA_ARGUMENTS + 2] = {(char *)fuzz_tool};
    int count = 1;
    switch (hostile.notes_reads ? 0 : random_below(&choices, 9)) {
    case 0:
        arguments[count++] = (char *)"--json";
        break;
    case 1:
        arguments[count++] = (char *)"--prometheus";
        break;
    case 2:
        /* a block that is in the profile, if it is, or another address */
        arguments[count++] = (char *)"--find";
        if (random_below(&choices, 2) == 0)
            address += random_small(&choices, 64 << 20) - random_small(&choices, 4 << 20);
        snprintf(text, sizeof(text), "0x%" PRIx64, address);
        arguments[count++] = text;
        break;
    case 3:
        arguments[count++] = (char *)"--class";
        snprintf(text, sizeof(text), "%zu", 1 + random_small(&choices, 4096));
        arguments[count++] = text;
        break;
    case 4:
        arguments[count++] = (char *)"--set";
        arguments[count++] = (char *)settings[random_below(&choices, SETTINGS)];
        break;
    case 5:
        arguments[count++] = (char *)"--trim";
        break;
#ifdef ACRE_WATCH
    case 6: /* takes some tenths of a second */
        if (random_below(&choices, 8) == 0) {
            arguments[count++] = (char *)"--watch=0.1";
            notes->screen = true;
        }
        break;
#endif
    default:
        break;
    }
    arguments[count++] = (char *)what;
    return fuzz_main(count, arguments);
}
