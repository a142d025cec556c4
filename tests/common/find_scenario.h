/*
 * Finding a scenario among `tables`, an array of pointers to arrays of struct scenario that end
 * with one without a name. Included where these are defined.
 */
#ifndef ACRE_TESTS_COMMON_FIND_SCENARIO_H
#define ACRE_TESTS_COMMON_FIND_SCENARIO_H

#include "check.h"

/* The scenario with that number, from 0, of all tables; NULL after the last one. */
static const struct scenario *scenario_at(size_t number)
{
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        for (const struct scenario *scenario = tables[i]; scenario->name != NULL; scenario++)
            if (number-- == 0)
                return scenario;
    return NULL;
}

/* Ends the process with status 2 if there is none of that name. */
static const struct scenario *find_scenario(const char *name)
{
    const struct scenario *scenario;
    for (size_t i = 0; (scenario = scenario_at(i)) != NULL; i++)
        if (strcmp(scenario->name, name) == 0)
            return scenario;
    fprintf(stderr, "there is no scenario %s\n", name);
    exit(2);
}

#endif
