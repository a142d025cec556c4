/* Options as part of an input: see modes.h. */
#define _GNU_SOURCE 1
#include "modes.h"

#include "base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acre/acre.h"

enum { VALUE_MOST = 512 };

/* What numbers and sizes are set to; beyond an option's range they are refused. Small, so that what
 * a mode reserves for its records does not fill memory. */
static const char *const numbers[] = {"0", "1", "7", "100", "1000", "5000", "20000"};
static const char *const sizes[] = {"0", "1", "1K", "64K", "1M", "16M", "64M"};
static const char *const limits[] = {"0", "1", "2M", "20M", "80M", "cgroup", "cgroup-50%"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void set(const char *name, const char *value)
{
    if (acre_option_set(name, value) != 0) {
        fprintf(stderr, "modes: %s cannot be \"%s\"\n", name, value);
        abort();
    }
}

void modes_reset(void)
{
    static char defaults[OPTION_COUNT][VALUE_MOST];
    static bool known;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *name = option_table[i].name;
        if (!known && acre_option_get(name, defaults[i], VALUE_MOST) != 0)
            abort();
        char now[VALUE_MOST];
        if (known && (acre_option_get(name, now, VALUE_MOST) != 0 || strcmp(now, defaults[i]) != 0))
            set(name, defaults[i]);
    }
    known = true;
}

/* The name number `index` of those between `|`, which begin again after the last. */
static void set_name(const struct option *option, unsigned index)
{
    char names[VALUE_MOST], *rest = names, *name = NULL;
    unsigned count = 1;
    snprintf(names, sizeof names, "%s", option->allowed);
    for (const char *at = names; (at = strchr(at, '|')) != NULL; at++)
        count++;
    for (index = index % count + 1; index != 0; index--)
        name = strsep(&rest, "|");
    set(option->name, name);
}

void modes_set(uint8_t number, uint8_t value)
{
    const struct option *option = &option_table[number % OPTION_COUNT];
    if (strncmp(option->name, "stats", 5) == 0 || option->type == TYPE_TEXT)
        return;
    if (option->type == TYPE_NAME)
        set_name(option, value);
    else if (option->type == TYPE_LIMIT)
        set(option->name, limits[value % COUNT_OF(limits)]);
    else if (option->type == TYPE_BYTES)
        set(option->name, sizes[value % COUNT_OF(sizes)]);
    else
        acre_option_set(option->name, numbers[value % COUNT_OF(numbers)]);
}

bool modes_limit(void)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_table[i].type == TYPE_LIMIT && option_table[i].value != 0)
            return true;
    return false;
}
