/*
 * Reports: each line exactly as report.h documents it, in one write, and what follows it.
 */
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "capture.h"
#include "option.h"
#include "report.h"

static const struct {
    struct misuse_report report;
    const char *line;
} reports[] = {
    {{MISUSE_DOUBLE_FREE, "free", (void *)0x7f0000010030, (void *)0x7f0000010030, 48, "TINY", 1},
     "acre: double free: free(0x7f0000010030): block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {{MISUSE_INTERIOR, "free", (void *)0x7f0000010040, (void *)0x7f0000010030, 48, "TINY", 1},
     "acre: interior pointer: free(0x7f0000010040): "
     "block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {{MISUSE_MISALIGNED, "realloc", (void *)0x7f0000010031, (void *)0x7f0000010030, 48, "TINY", 1},
     "acre: misaligned pointer: realloc(0x7f0000010031): "
     "block 0x7f0000010030 of 48 bytes, TINY, arena 1\n"},
    {{MISUSE_FOREIGN, "free", (void *)0x7ffc12345678, NULL, 0, NULL, 0},
     "acre: foreign pointer: free(0x7ffc12345678): not a block of this allocator\n"},
    {{MISUSE_DOUBLE_FREE, "free", (void *)0x7f0000100000, NULL, 0, NULL, 0},
     "acre: double free: free(0x7f0000100000): the block was released\n"},
    {{MISUSE_INTERIOR, "free", (void *)0x7f0000101000, (void *)0x7f0000100000, 2097152, "LARGE", 0},
     "acre: interior pointer: free(0x7f0000101000): block 0x7f0000100000 of 2097152 bytes, "
     "LARGE\n"},
    {{MISUSE_INTERIOR, "free", (void *)0x7f0000101000, (void *)0x7f0000100000, 0, NULL, 0},
     "acre: interior pointer: free(0x7f0000101000): block 0x7f0000100000\n"},
    {{MISUSE_MISALIGNED, "free", (void *)0x1, NULL, 0, NULL, 0},
     "acre: misaligned pointer: free(0x1)\n"},
};

enum { REPORT_COUNT = sizeof reports / sizeof reports[0] };

static void misuse(void *report)
{
    report_misuse(report);
}

static void misuse_without_abort(void *report)
{
    ck_assert_int_eq(option_set_text("abort", "0"), 0);
    errno = EXDEV;
    report_misuse(report);
    _exit(errno == EXDEV ? 0 : 1);
}

static void warn(void *unused)
{
    (void)unused;
    errno = EXDEV;
    report_warning("%s of %zu is %d%%", "half", (size_t)100, 50);
    ck_assert_int_eq(errno, EXDEV);
    report_warning("second");
}

static void warn_too_long(void *text)
{
    report_warning("%s", (const char *)text);
}

START_TEST(misuse_reports_and_aborts)
{
    struct misuse_report report = reports[_i].report;
    struct capture capture;
    capture_child(&capture, misuse, &report);
    ck_assert_str_eq(capture.text, reports[_i].line);
    ck_assert_uint_eq(capture.writes, 1);
    ck_assert(WIFSIGNALED(capture.status));
    ck_assert_int_eq(WTERMSIG(capture.status), SIGABRT);
}
END_TEST

START_TEST(misuse_returns_without_abort)
{
    struct misuse_report report = reports[_i].report;
    struct capture capture;
    capture_child(&capture, misuse_without_abort, &report);
    ck_assert_str_eq(capture.text, reports[_i].line);
    ck_assert_uint_eq(capture.writes, 1);
    ck_assert(WIFEXITED(capture.status));
    ck_assert_int_eq(WEXITSTATUS(capture.status), 0);
}
END_TEST

START_TEST(warnings_are_one_write_each)
{
    struct capture capture;
    capture_stderr(&capture, warn, NULL);
    ck_assert_str_eq(capture.text, "acre: half of 100 is 50%\nacre: second\n");
    ck_assert_uint_eq(capture.writes, 2);
}
END_TEST

START_TEST(a_long_warning_is_still_one_line)
{
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct capture capture;
    capture_stderr(&capture, warn_too_long, text);
    size_t length = strlen(capture.text);
    ck_assert_uint_eq(capture.writes, 1);
    ck_assert_int_eq(strncmp(capture.text, "acre: xxx", strlen("acre: xxx")), 0);
    ck_assert_uint_gt(length, 400);
    ck_assert_uint_lt(length, sizeof text);
    ck_assert_ptr_eq(strchr(capture.text, '\n'), capture.text + length - 1);
}
END_TEST

Suite *report_suite(void)
{
    Suite *suite = suite_create("report");
    TCase *tests = tcase_create("report");
    tcase_add_loop_test(tests, misuse_reports_and_aborts, 0, REPORT_COUNT);
    tcase_add_loop_test(tests, misuse_returns_without_abort, 0, REPORT_COUNT);
    tcase_add_test(tests, warnings_are_one_write_each);
    tcase_add_test(tests, a_long_warning_is_still_one_line);
    suite_add_tcase(suite, tests);
    return suite;
}
