/*
 * Runs every scenario in a fresh process of this same program, and adds up their figures.
 *
 *   own_handler|other_thread [SCENARIO...]
 *
 * ACRE_STEP_ALL=1 in the environment forks at every instruction stepped, instead of at a part of
 * those that are stepped again and again; ACRE_STEP_SEED=N chooses that part. ACRE_STEP_FEW=1 is
 * for a quick look: not even at all of those that are stepped for the first time.
 */
#include "check.h"

#include "actions.h"
#include "child.h"
#include "crew.h"
#include "figures.h"
#include "ledger.h"
#include "scenarios.h"
#include "step.h"

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum {
    FIGURES_FD = 100, /* inherited by the process of a scenario */
};

/* The process is that of one scenario, with handlers or without. */
static const char run_one[] = "--run", run_one_bare[] = "--run-bare";

struct figures *figures;

static void map_figures(int fd)
{
    figures = mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(figures != MAP_FAILED);
}

/* ---- the scenarios ---- */

static const struct scenario *const tables[] = {
    scenarios_local, scenarios_remote, scenarios_threads, scenarios_large, scenarios_pressure,
};

#include "find_scenario.h"

/* ---- the process of one scenario ---- */

static void run_other_child(void)
{
    child_run(true);
}

static sem_t forker_ready;

static void *fork_for_other(void *argument)
{
    const struct scenario *scenario = argument;
    if (scenario->forker != NULL)
        scenario->forker();
    sem_post(&forker_ready);
    step_fork_for_other(run_other_child);
    return NULL;
}

static pthread_t start_forker(const struct scenario *scenario)
{
    CHECK(sem_init(&forker_ready, 0, 0) == 0);
    pthread_t forker = crew_start(fork_for_other, (void *)(uintptr_t)scenario);
    while (sem_wait(&forker_ready) != 0)
        continue;
    return forker;
}

static void *run_stepped(void *argument)
{
    const struct scenario *scenario = argument;
    step_prepare_thread();
    if (scenario->prepare != NULL)
        scenario->prepare();
    scenario->run();
    if (step_in_child())
        child_run(false);
    return NULL;
}

static int run_scenario(const struct scenario *scenario)
{
    pthread_t forker, stepped;
    size_t steps = figures->library_steps;
    check_begin();
    step_limit_time();
    step_scenario = scenario->name;
    child_task.scenario = scenario;
    ledger_init();
    /* how long it all takes must not matter */
    CHECK(acre_option_set("decay", "3600000") == 0);
    if (scenario->before != NULL)
        scenario->before();
    if (step_mode == STEP_OTHER)
        forker = start_forker(scenario);
    else if (scenario->forker != NULL)
        in_sleeping_thread(scenario->forker);
    stepped = crew_start(run_stepped, (void *)(uintptr_t)scenario);
    join(stepped);
    if (step_mode == STEP_OTHER) {
        step_finish();
        join(forker);
    }
    CHECK(figures->library_steps > steps);
    return step_failures() == 0 ? 0 : 1;
}

/* ---- the driver ---- */

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Runs a scenario in a process of its own. False if it failed. */
static bool run_in_process(char *program, const char *name, bool bare)
{
    const char *how = bare ? run_one_bare : run_one;
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {program, (char *)(uintptr_t)how, (char *)(uintptr_t)name, NULL};
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    int status = wait_for(child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: died of signal %d\n", name, WTERMSIG(status));
    return status == 0;
}

/* Runs one scenario and prints its own share of the figures. */
static bool run_and_print(char *program, const char *name, bool bare)
{
    double began = now_seconds();
    size_t steps = figures->steps, forks = figures->forks;
    size_t blocks = figures->lost_blocks, ranges = figures->lost_ranges;
    figures->scenarios++;
    bool passed = run_in_process(program, name, bare);
    printf("%-28s %-5s %s %7zu steps %6zu forks %6zu lost blocks %8zu KiB lost %6.1f s\n", name,
           bare ? "_Fork" : "fork", passed ? "ok    " : "FAILED", figures->steps - steps,
           figures->forks - forks, figures->lost_blocks - blocks,
           (figures->lost_ranges - ranges) >> 10, now_seconds() - began);
    fflush(stdout);
    return passed;
}

static void print_figures(void)
{
    struct rusage usage;
    size_t addresses = 0;
    getrusage(RUSAGE_CHILDREN, &usage);
    for (size_t i = 0; i < FIGURES_TEXT; i++)
        addresses += figures->forks_at[i] != 0;
    printf("%zu scenarios; %zu instructions stepped, %zu of them the library's, which stand at %zu "
           "addresses\n",
           figures->scenarios, figures->steps, figures->library_steps, addresses);
    printf("%zu forks, %zu of children; %zu children lost something: %zu blocks, %zu at most; %zu "
           "KiB of address space, %zu at most\n",
           figures->forks, figures->grandchildren, figures->children_losing, figures->lost_blocks,
           figures->lost_at_most, figures->lost_ranges >> 10, figures->range_at_most >> 10);
    printf("seed %llu, %ld s of CPU\n", (unsigned long long)step_seed,
           (long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec));
}

static bool is_set(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && strcmp(text, "1") == 0;
}

static void read_environment(void)
{
    char text[24];
    const char *seed = getenv("ACRE_STEP_SEED");
    step_seed = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    step_all = is_set("ACRE_STEP_ALL");
    step_few = is_set("ACRE_STEP_FEW");
    snprintf(text, sizeof(text), "%llu", (unsigned long long)step_seed);
    CHECK(setenv("ACRE_STEP_SEED", text, 1) == 0);
}

/* Runs a scenario in all its ways; returns in how many it failed. */
static unsigned run_ways(char *program, const struct scenario *scenario)
{
    unsigned failed = !run_and_print(program, scenario->name, false);
    if (scenario->also_bare)
        failed += !run_and_print(program, scenario->name, true);
    return failed;
}

/* The driver: all scenarios, or those that are named. */
static int run_all(int count, char **arguments)
{
    unsigned failed = 0;
    int fd = memfd_create("figures", 0);
    CHECK(fd >= 0 && ftruncate(fd, sizeof(struct figures)) == 0);
    CHECK(dup2(fd, FIGURES_FD) == FIGURES_FD);
    map_figures(FIGURES_FD);
    if (count > 1) {
        for (int i = 1; i < count; i++)
            failed += run_ways(arguments[0], find_scenario(arguments[i]));
    } else {
        for (size_t i = 0; scenario_at(i) != NULL; i++)
            failed += run_ways(arguments[0], scenario_at(i));
    }
    print_figures();
    return failed == 0 ? 0 : 1;
}

int main(int count, char **arguments)
{
    scenarios_make_early_key();
    read_environment();
    step_install();
    step_bare = count == 3 && strcmp(arguments[1], run_one_bare) == 0;
    if (step_bare || (count == 3 && strcmp(arguments[1], run_one) == 0)) {
        map_figures(FIGURES_FD);
        return run_scenario(find_scenario(arguments[2]));
    }
    if (!step_is_possible())
        check_skip("there is no trap flag, or the system does not let a program use it");
    return run_all(count, arguments);
}
