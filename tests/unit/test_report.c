/*
 * Reports: each line exactly as report.h documents it, in one write, and what follows it.
 */
#include "test.h"
#include "child.h"
#include "in_thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "capture.h"
#include "base/report.h"

SUITE(report);

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

/* As setproctitle does it. */
static void overwrite_arguments(void)
{
    memcpy(given, "server: a worker", sizeof given);
}

static void rename_process(void)
{
    program_invocation_short_name = NULL;
    prctl(PR_SET_NAME, "other");
}

static void change_nothing(void)
{
}

static const struct {
    const char *program; /* its name, as libc has it */
    bool starts;         /* report_start is called */
    void (*change)(void);
    const char *name; /* in the line */
} programs[] = {
    {"server", false, change_nothing, "server"},
    {"", false, change_nothing, "?"},
    {given + sizeof("/usr/sbin/") - 1, true, overwrite_arguments, "server"},
    {"server", true, rename_process, "server"},
    {"se\nr\033v\177er", true, change_nothing, "se?r?v?er"},
    {"a-program-whose-name-is-longer-than-a-line-needs", true, change_nothing,
     "a-program-whose-name-is-longer-"},
};

static void *tell_in_thread(void *unused)
{
    prctl(PR_SET_NAME, "worker");
    report_warning("told");
    return unused;
}

/* The line is that of a child, whose number is not this process's, and of a thread with a name. */
TEST_LOOP(a_line_names_the_program_and_the_process, 0, COUNT_OF(programs))
{
    int ends[2];
    char line[128] = "", wanted[128];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork_limited();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        program_invocation_short_name = (char *)(uintptr_t)programs[_i].program;
        if (programs[_i].starts)
            report_start();
        programs[_i].change();
        run_thread(tell_in_thread, NULL);
        _exit(0);
    }
    ck_assert_int_eq(result_of(child), 0);
    ck_assert_int_gt(read(ends[0], line, sizeof line - 1), 0);
    snprintf(wanted, sizeof wanted, "acre: %s[%d]: told\n", programs[_i].name, (int)child);
    ck_assert_str_eq(line, wanted);
}
