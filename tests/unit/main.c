/*
 * Runs the suites of all modules, or of the one named: unit [SUITE].
 *
 * Random tests take their seed from ACRE_SEED. Where it is not set, a new one is chosen, printed
 * and put into the environment, where the test processes find it.
 */
#include "test.h"
#include "common/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

enum { TIMEOUT = 60 }; /* seconds: a test that takes longer hangs */

static struct test_suite *suites; /* by name */

void test_add_suite(struct test_suite *suite)
{
    struct test_suite **at = &suites;

    while (*at != NULL && strcmp((*at)->name, suite->name) < 0)
        at = &(*at)->next;
    suite->next = *at;
    *at = suite;
}

void test_add(struct test_suite *suite, struct test *test)
{
    struct test **at = &suite->first;

    while (*at != NULL && (*at)->test->line < test->test->line)
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

static Suite *make_suite(const struct test_suite *suite)
{
    Suite *made = suite_create(suite->name);
    TCase *tests = tcase_create(suite->name);

    tcase_set_timeout(tests, suite->timeout == 0 ? TIMEOUT : suite->timeout);
    tcase_add_checked_fixture(tests, suite->begin, NULL);
    for (const struct test *test = suite->first; test != NULL; test = test->next) {
        if (test->skipped == NULL)
            tcase_add_loop_test(tests, test->test, test->from, test->to);
        else
            printf("skipped: %s: %s: %s\n", suite->name, test->test->name, test->skipped);
    }
    suite_add_tcase(made, tests);
    return made;
}

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
    for (const struct test_suite *suite = suites; suite != NULL; suite = suite->next)
        fprintf(stderr, " %s", suite->name);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *only = argc == 2 ? argv[1] : NULL;
    SRunner *runner = srunner_create(NULL);
    size_t added = 0;
    int failed, run;

    for (const struct test_suite *suite = suites; suite != NULL; suite = suite->next) {
        if (only == NULL || strcmp(only, suite->name) == 0) {
            srunner_add_suite(runner, make_suite(suite));
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
