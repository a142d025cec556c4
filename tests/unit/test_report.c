/*
 * Reports: each line exactly as report.h documents it, in one write, and what follows it.
 */
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "capture.h"
#include "base/report.h"

SUITE(report);

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
    {{MISUSE_MISALIGNED, "free", (void *)0x1, NULL, 0, NULL, 0},
     "acre: misaligned pointer: free(0x1)\n"},
};

enum { REPORT_COUNT = sizeof reports / sizeof reports[0] };

static void misuse(void *report)
{
    errno = EXDEV;
    report_misuse(report);
    ck_assert_int_eq(errno, EXDEV);
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

TEST_LOOP(a_misuse_is_reported_in_one_write, 0, REPORT_COUNT)
{
    struct misuse_report report = reports[_i].report;
    struct capture capture;
    capture_stderr(&capture, misuse, &report);
    ck_assert_str_eq(capture.text, reports[_i].line);
    ck_assert_uint_eq(capture.writes, 1);
}

TEST(warnings_are_one_write_each)
{
    struct capture capture;
    capture_stderr(&capture, warn, NULL);
    ck_assert_str_eq(capture.text, "acre: half of 100 is 50%\nacre: second\n");
    ck_assert_uint_eq(capture.writes, 2);
}

TEST(a_long_warning_is_still_one_line)
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

/* ---- Which program, and which process ---- */

static char given[] = "/usr/sbin/server"; /* its argv[0] */

static void start_as(const char *name)
{
    program_invocation_short_name = (char *)(uintptr_t)name;
    report_start();
}

static void tell(void)
{
    report_warning("told");
}

static void *tell_in_thread(void *unused)
{
    prctl(PR_SET_NAME, "worker");
    tell();
    return unused;
}

static void before_the_start(void)
{
    program_invocation_short_name = given + strlen("/usr/sbin/");
    tell();
}

static void before_libc_knows(void)
{
    program_invocation_short_name = "";
    tell();
}

/* As setproctitle does it. */
static void with_arguments_overwritten(void)
{
    start_as(given + strlen("/usr/sbin/"));
    memcpy(given, "server: a worker", sizeof given);
    tell();
}

static void renamed(void)
{
    start_as("server");
    program_invocation_short_name = NULL;
    prctl(PR_SET_NAME, "other");
    tell();
}

static void by_a_thread(void)
{
    pthread_t thread;
    start_as("server");
    ck_assert_int_eq(pthread_create(&thread, NULL, tell_in_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void with_control_characters(void)
{
    start_as("se\nr\033v\177er");
    tell();
}

static void with_a_long_name(void)
{
    start_as("a-program-whose-name-is-longer-than-a-line-needs");
    tell();
}

static const struct {
    void (*tell)(void);
    const char *name;
} tellers[] = {
    {before_the_start, "server"},
    {before_libc_knows, "?"},
    {with_arguments_overwritten, "server"},
    {renamed, "server"},
    {by_a_thread, "server"},
    {with_control_characters, "se?r?v?er"},
    {with_a_long_name, "a-program-whose-name-is-longer-"},
};

enum { TELLERS = sizeof tellers / sizeof tellers[0] };

/* The line is that of a child, so its number is not this process's. */
TEST_LOOP(a_line_names_the_program_and_the_process, 0, TELLERS)
{
    int ends[2];
    char line[128] = "", wanted[128];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        tellers[_i].tell();
        _exit(0);
    }
    close(ends[1]);
    ck_assert_int_gt(read(ends[0], line, sizeof line - 1), 0);
    close(ends[0]);
    snprintf(wanted, sizeof wanted, "acre: %s[%d]: told\n", tellers[_i].name, (int)child);
    ck_assert_str_eq(line, wanted);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
