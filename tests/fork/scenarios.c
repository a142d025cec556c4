/* The tables of scenarios, joined: see scenarios.h. */
#include "check.h"

#include "child.h"
#include "scenarios.h"
#include "step.h"

static const struct scenario *const tables[] = {
    scenarios_local, scenarios_remote, scenarios_threads, scenarios_large, scenarios_pressure,
};

enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

const struct scenario *scenario_at(size_t number)
{
    for (size_t i = 0; i < TABLES; i++)
        for (const struct scenario *scenario = tables[i]; scenario->name != NULL; scenario++)
            if (number-- == 0)
                return scenario;
    return NULL;
}

const struct scenario *scenario_find(const char *name)
{
    size_t number = 0;
    const struct scenario *scenario;
    while ((scenario = scenario_at(number)) != NULL && strcmp(scenario->name, name) != 0)
        number++;
    return scenario;
}

void scenario_run(const struct scenario *scenario)
{
    if (scenario->prepare != NULL)
        scenario->prepare();
    scenario->run();
    if (step_in_child())
        child_run(false);
}
