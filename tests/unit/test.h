/*
 * What the unit tests share: how a test and its suite are registered. Each test_<name>.c has one
 * suite, and tests by the TEST macros; main.c runs them.
 */
#ifndef ACRE_TESTS_UNIT_TEST_H
#define ACRE_TESTS_UNIT_TEST_H

#include <check.h>
#include <stddef.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct test {
    const TTest *test;
    const char *skipped; /* why it does not run in this build; NULL: it runs */
    int from, to;        /* of _i in the loop: it runs for from, ..., to - 1 */
    struct test *next;
};

struct test_suite {
    const char *name;
    void (*begin)(void); /* runs before each test, in its process */
    double timeout;      /* seconds for a test; 0: as main.c says */
    struct test *first;  /* in the order of their lines */
    struct test_suite *next;
};

void test_add_suite(struct test_suite *suite);
void test_add(struct test_suite *suite, struct test *test);

#define AT_START(name) __attribute__((constructor)) static void name(void)

/* The suite of a file: SUITE(name, .begin = ..., .timeout = ...); before its tests. */
#define SUITE(...)                                                                                 \
    static struct test_suite test_suite = {SUITE_FIELDS(__VA_ARGS__, )};                           \
    AT_START(add_suite)                                                                            \
    {                                                                                              \
        test_add_suite(&test_suite);                                                               \
    }                                                                                              \
    struct test_suite /* takes the semicolon */
#define SUITE_FIELDS(suite, ...) .name = #suite, __VA_ARGS__

/*
 * A test, which Check runs in a process of its own, or one for each _i from first_i up to end_i
 * - 1. With UNLESS: only if `reason` is NULL; else main.c says that it is skipped, and why.
 */
#define TEST(name) TEST_LOOP_UNLESS(NULL, name, 0, 1)
#define TEST_LOOP(name, first_i, end_i) TEST_LOOP_UNLESS(NULL, name, first_i, end_i)
#define TEST_UNLESS(reason, name) TEST_LOOP_UNLESS(reason, name, 0, 1)
#define TEST_LOOP_UNLESS(reason, name, first_i, end_i)                                             \
    static const TTest *name;                                                                      \
    AT_START(add_##name)                                                                           \
    {                                                                                              \
        static struct test test = {.skipped = reason, .from = first_i, .to = end_i};               \
        test.test = name;                                                                          \
        test_add(&test_suite, &test);                                                              \
    }                                                                                              \
    START_TEST(name)

#endif
