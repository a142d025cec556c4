/* The system's limits: see pressure.h. */
#include "check.h"

#include "pressure.h"

#include <sys/resource.h>

static bool pressed; /* there is a limit of ours */

/* Bytes that count against RLIMIT_DATA. */
static size_t data_bytes(void)
{
    static const char label[] = "VmData:";
    char text[4096];
    read_file("/proc/self/status", text, sizeof(text));
    const char *line = strstr(text, label);
    CHECK(line != NULL);
    return strtoul(line + sizeof(label) - 1, NULL, 10) << 10;
}

/* Sets a soft limit, as far as the hard one lets it. */
static void set_limit(int resource, rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(resource, &limit) == 0);
    pressed = true;
}

void pressure_on_address_space(size_t more)
{
    set_limit(RLIMIT_AS, mapped_bytes() + more);
}

void pressure_on_data(size_t more)
{
    set_limit(RLIMIT_DATA, data_bytes() + more);
}

void pressure_end(void)
{
    if (!pressed)
        return;
    set_limit(RLIMIT_AS, RLIM_INFINITY);
    set_limit(RLIMIT_DATA, RLIM_INFINITY);
    pressed = false;
}
