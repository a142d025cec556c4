/*
 * Runs each scenario again and again, in a fresh process of this same program, and has one system
 * call of the library fail: in run N the N-th, until a run is through without a failure. After that
 * on systems that lack a feature of later ones: intercept_feature.
 *
 *   faults [--all] [SCENARIO...]
 *   faults --one SCENARIO calls|clock AT ERROR HOW     (as a failure prints it; for a debugger)
 *
 * With --all each call fails, without it a part of them: see choice.h.
 */
#include "check.h"

#include "choice.h"
#include "intercept.h"
#include "plan.h"
#include "scenarios.h"
#include "shadow.h"

#include <acre/acre.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

enum {
    LOG_FD = 101,       /* standard error of a run */
    FAILURES_MOST = 10, /* a scenario with more runs that failed ends */
    HANG_SECONDS = 100, /* a run that takes that long hangs */
    UNSUPPORTED = 78,   /* exit status of a run whose calls could not be caught */
};

/* Bytes of address space that a run may have mapped at its end beyond those of one without faults:
 * ranges that could not be unmapped, and heaps more than are needed. */
#define SPACE_MOST (256 * CHECK_MIB)

static const char *const how_names[] = {"once", "same-on", "pages-on", "memory-on"};

static struct {
    size_t runs, failed, refused, lost_most;
} totals;

/* ---- the scenarios ---- */

static const struct scenario *const tables[] = {scenarios_alone, scenarios_together};

#include "find_scenario.h"

/* ---- the process of one run ---- */

/* Bytes mapped. */
static size_t address_space(void)
{
    char text[128];
    read_file("/proc/self/statm", text, sizeof(text));
    return strtoul(text, NULL, 10) * (size_t)getpagesize();
}

/* All idle memory goes back, also what was refused before. */
static void trim(void)
{
    struct acre_stats stats;
    size_t failed = plan->failed;
    malloc_trim(0);
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    if (plan->failed == failed && !intercept_lacks("advice"))
        CHECK(stats.heap_free_dirty == 0 && stats.large_stock == 0);
    CHECK(acre_check(STDERR_FILENO) == 0);
}

static int run_scenario(const struct scenario *scenario)
{
    if (!intercept_is_on())
        _exit(UNSUPPORTED);
    check_begin();
    alarm(HANG_SECONDS);
    scenario->run();
    shadow_finish();
    trim();
    size_t others = shadow_check(), space = address_space();
    if (plan->learning) {
        plan->others = others;
        plan->space = space;
    }
    plan->lost = space > plan->space ? space - plan->space : 0;
    CHECK(others == plan->others || scenario->others_vary);
    CHECK(plan->lost <= SPACE_MOST);
    return 0;
}

/* ---- the driver ---- */

static void start_run(char *program, const struct scenario *scenario)
{
    char *arguments[] = {program, (char *)(uintptr_t) "--run", (char *)(uintptr_t)scenario->name,
                         NULL};
    CHECK(dup2(LOG_FD, STDERR_FILENO) == STDERR_FILENO);
    if (scenario->options != NULL)
        setenv("ACRE_OPTIONS", scenario->options, 1);
    execv("/proc/self/exe", arguments);
    _exit(127);
}

/* Prints what the run wrote to standard error. */
static void print_log(void)
{
    char text[1 << 12];
    ssize_t length = pread(LOG_FD, text, sizeof(text), 0);
    if (length > 0)
        fwrite(text, 1, (size_t)length, stderr);
}

static void print_run(const struct scenario *scenario)
{
    const char *error = intercept_error(plan->number, plan->error);
    fprintf(stderr, "faults --one %s %s %zu %u %u: %s %s %s at 0x%zx\n", scenario->name,
            plan->of_clock ? "clock" : "calls", plan->at, plan->error, plan->how,
            plan->failed != 0 ? intercept_name(plan->number) : "nothing",
            error != NULL ? error : "", how_names[plan->how], (size_t)plan->place);
}

/* Makes a run as the plan says. False if it failed, which is said. */
static bool run(char *program, const struct scenario *scenario)
{
    plan->sequences[0].count = plan->sequences[1].count = 0;
    plan->failed = plan->refused = plan->lost = 0;
    plan->number = 0;
    plan->clock = 100 * 1000;
    CHECK(ftruncate(LOG_FD, 0) == 0 && lseek(LOG_FD, 0, SEEK_SET) == 0);
    pid_t child = fork();
    if (child == 0)
        start_run(program, scenario);
    int status = wait_for(child);
    totals.runs++;
    totals.failed += plan->failed;
    totals.refused += plan->refused;
    if (plan->lost > totals.lost_most)
        totals.lost_most = plan->lost;
    if (status == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == UNSUPPORTED)
        check_skip("the system does not let a program filter its system calls");
    print_log();
    print_run(scenario);
    if (WIFSIGNALED(status))
        fprintf(stderr, "    died of signal %d\n", WTERMSIG(status));
    return false;
}

struct runs {
    char *program;
    const struct scenario *scenario;
    unsigned bad; /* runs that failed */
};

/* Makes a run, unless many have failed. True if the call failed. */
static bool make_run(void *context)
{
    struct runs *runs = context;
    if (runs->bad == FAILURES_MOST)
        return false;
    runs->bad += !run(runs->program, runs->scenario);
    return plan->failed != 0;
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Makes a run without a fault on a system that lacks features: requests succeed there as elsewhere.
 */
static void run_lacking(struct runs *runs, uint32_t features)
{
    plan->at = 0;
    plan->lacking = features;
    if (!run(runs->program, runs->scenario) || plan->refused != 0) {
        fprintf(stderr, "    on a system that lacks features: 0x%x\n", features);
        runs->bad++;
    }
    plan->lacking = 0;
}

/* Systems that lack a feature each, and one that lacks all. */
static void run_without_features(struct runs *runs)
{
    uint32_t all = 0;
    bool used;
    for (unsigned f = 0; intercept_feature(f, &used) != NULL; f++)
        if (used) {
            run_lacking(runs, 1U << f);
            all |= 1U << f;
        }
    run_lacking(runs, all);
}

static unsigned run_all_of(char *program, const struct scenario *scenario)
{
    struct runs runs = {program, scenario, 0};
    double began = now_seconds();
    size_t count = totals.runs, failed = totals.failed, refused = totals.refused;
    plan->at = 0;
    plan->learning = true;
    if (!run(program, scenario))
        return 1;
    plan->learning = false;
    runs.bad += plan->refused != 0;
    choice_for_each(make_run, &runs);
    run_without_features(&runs);
    printf("%-18s %s %5zu calls %5zu of the clock %6zu runs %7zu failed calls %7zu refused "
           "requests %6.1f s\n",
           scenario->name, runs.bad == 0 ? "ok    " : "FAILED", plan->sequences[0].learnt,
           plan->sequences[1].learnt, totals.runs - count, totals.failed - failed,
           totals.refused - refused, now_seconds() - began);
    fflush(stdout);
    return runs.bad;
}

static size_t unseen;

static void note_unseen(unsigned number, const char *name)
{
    if (plan->seen[number] == 0) {
        fprintf(stderr, "no scenario makes %s\n", name);
        unseen++;
    }
}

/* A feature that is lacking in vain, or one that the library is not known to ask for. */
static void note_unasked(void)
{
    bool used;
    const char *name;
    for (unsigned f = 0; (name = intercept_feature(f, &used)) != NULL; f++)
        if (used != (plan->asked[f] != 0)) {
            fprintf(stderr, "%s scenario asks for %s\n", used ? "no" : "some", name);
            unseen++;
        }
}

static void print_totals(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("%zu runs, %zu calls failed, %zu requests were refused; %zu MiB of address space more "
           "than without faults at most; %ld s of CPU\n",
           totals.runs, totals.failed, totals.refused, totals.lost_most / CHECK_MIB,
           (long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec));
}

/* Makes a file without a name, for the processes of runs, too. */
static void make_file(int fd)
{
    int made = memfd_create("faults", 0);
    CHECK(made >= 0 && dup2(made, fd) == fd && close(made) == 0);
}

static int run_all(char *program, int count, char **names)
{
    unsigned bad = 0;
    if (count > 0) {
        for (int i = 0; i < count; i++)
            bad += run_all_of(program, find_scenario(names[i]));
    } else {
        for (size_t i = 0; scenario_at(i) != NULL; i++)
            bad += run_all_of(program, scenario_at(i));
        intercept_for_each(note_unseen);
        note_unasked();
    }
    print_totals();
    return bad == 0 && unseen == 0 ? 0 : 1;
}

static int run_one(char *program, char **arguments)
{
    const struct scenario *scenario = find_scenario(arguments[0]);
    plan->learning = true; /* what is live at the end is not known */
    plan->of_clock = strcmp(arguments[1], "clock") == 0;
    plan->at = strtoul(arguments[2], NULL, 10);
    plan->error = (unsigned)strtoul(arguments[3], NULL, 10);
    plan->how = (enum plan_how)strtoul(arguments[4], NULL, 10);
    bool passed = run(program, scenario);
    if (passed)
        print_run(scenario);
    return passed ? 0 : 1;
}

int main(int count, char **arguments)
{
    char directory[] = "/tmp/acre-faults-XXXXXX", file[64];
    if (count == 3 && strcmp(arguments[1], "--run") == 0)
        return run_scenario(find_scenario(arguments[2]));
    choice_all = count > 1 && strcmp(arguments[1], "--all") == 0;
    make_file(LOG_FD);
    intercept_make_plan();
    /* each run has the same addresses, if that may be set */
    personality(ADDR_NO_RANDOMIZE);
    CHECK(mkdtemp(directory) != NULL);
    snprintf(file, sizeof(file), "%s/stats", directory);
    CHECK(setenv("ACRE_FAULTS_FILE", file, 1) == 0);
    int status;
    if (count == 7 && strcmp(arguments[1], "--one") == 0)
        status = run_one(arguments[0], arguments + 2);
    else
        status = run_all(arguments[0], count - 1 - choice_all, arguments + 1 + choice_all);
    scenarios_remove_files(directory);
    return status;
}
