/*
 * Runs the suites of all modules, or of the one named: unit [SUITE].
 *
 * Random tests take their seed from ACRE_SEED. Where it is not set, a new one is chosen, printed
 * and put into the environment, where the test processes find it.
 */
#include "test.h"
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const struct {
    const char *name;
    Suite *(*suite)(void);
} suites[] = {
    {"states", states_suite},
    {"bits", bits_suite},
    {"list", list_suite},
    {"vdso", vdso_suite},
    {"os", os_suite},
    {"os_pages", os_pages_suite},
    {"out", out_suite},
    {"option", option_suite},
    {"report", report_suite},
    {"lock", lock_suite},
    {"lock_fork", lock_fork_suite},
    {"lock_fork_twice", lock_fork_twice_suite},
    {"meta", meta_suite},
    {"size_class", size_class_suite},
    {"unit_map", unit_map_suite},
    {"heap", heap_suite},
    {"heap_pages", heap_pages_suite},
    {"heap_places", heap_places_suite},
    {"heap_system", heap_system_suite},
    {"slab", slab_suite},
    {"slab_states", slab_states_suite},
    {"slab_wide", slab_wide_suite},
    {"slab_wide_free", slab_wide_free_suite},
    {"slab_wide_steps", slab_wide_steps_suite},
    {"remote", remote_suite},
    {"remote_purge", remote_purge_suite},
    {"extents", extents_suite},
    {"extents_steps", extents_steps_suite},
    {"large", large_suite},
    {"large_system", large_system_suite},
    {"large_steps", large_steps_suite},
    {"arena", arena_suite},
    {"arena_fork", arena_fork_suite},
    {"arena_idle", arena_idle_suite},
    {"arena_steps", arena_steps_suite},
    {"background", background_suite},
    {"alloc", alloc_suite},
    {"alloc_short", alloc_short_suite},
    {"alloc_steps", alloc_steps_suite},
    {"alloc_trace", alloc_trace_suite},
    {"alloc_wide", alloc_wide_suite},
    {"free_wide", free_wide_suite},
    {"free", free_suite},
    {"stats", stats_suite},
    {"init", init_suite},
};

enum { SUITE_COUNT = sizeof(suites) / sizeof(suites[0]) };

static void choose_seed(void)
{
    if (getenv(RANDOM_SEED_VARIABLE) == NULL) {
        struct timespec now;
        char text[24];

        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(text, sizeof(text), "%" PRIu32,
                 (uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec << 10 ^ (uint32_t)getpid());
        setenv(RANDOM_SEED_VARIABLE, text, 1);
    }
    printf("%s=%s\n", RANDOM_SEED_VARIABLE, getenv(RANDOM_SEED_VARIABLE));
    fflush(stdout);
}

static int print_usage(const char *program)
{
    fprintf(stderr, "usage: %s [SUITE], where SUITE is one of:", program);
    for (size_t i = 0; i < SUITE_COUNT; i++)
        fprintf(stderr, " %s", suites[i].name);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *only = argc == 2 ? argv[1] : NULL;
    SRunner *runner = srunner_create(NULL);
    size_t added = 0;
    int failed, run;

    /* a test that takes longer hangs: four seconds, the default, pass on a busy machine */
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (only == NULL || strcmp(only, suites[i].name) == 0) {
            srunner_add_suite(runner, suites[i].suite());
            added++;
        }
    }
    if (argc > 2 || added == 0) {
        srunner_free(runner);
        return print_usage(argv[0]);
    }

    choose_seed();
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    run = srunner_ntests_run(runner);
    srunner_free(runner);
    return failed == 0 && run != 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
