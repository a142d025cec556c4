/*
 * ACRE_OPTIONS applies to a program, but not to a set-user-ID program. As root the test copies its
 * own program, makes it set-user-ID, and runs it as another user.
 */
#include "check.h"
#include <acre/acre.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { OTHER_USER = 65534 };

static char report_mode[] = "report";

/* Status of the program that says what it sees of the options. */
enum { OPTIONS_APPLY = 10, OPTIONS_IGNORED = 11, NOT_SECURE = 12 };

static int report(bool wants_secure)
{
    char value[64];
    if (wants_secure && getauxval(AT_SECURE) == 0)
        return NOT_SECURE;
    CHECK(acre_option_get("decay", value, sizeof(value)) == 0);
    return strncmp(value, "77", 2) == 0 ? OPTIONS_APPLY : OPTIONS_IGNORED;
}

/* Runs a program with ACRE_OPTIONS set, as another user if asked; returns its exit status. */
static int run_with_options(const char *program, bool as_other, bool *printed)
{
    int ends[2];
    char secure[] = "secure", output;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char name[] = "setuid_options";
        char options[] = "ACRE_OPTIONS=decay:77,no_such_option:1";
        char *arguments[] = {name, report_mode, as_other ? secure : NULL, NULL};
        char *environment[] = {options, NULL};
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        if (as_other && setuid(OTHER_USER) != 0)
            _exit(NOT_SECURE);
        execve(program, arguments, environment);
        _exit(NOT_SECURE);
    }
    close(ends[1]);
    *printed = read(ends[0], &output, 1) == 1;
    close(ends[0]);
    int status = wait_for(child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Copies this program to a new set-user-ID file. */
static void make_setuid_copy(const char *path)
{
    struct stat properties;
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    CHECK(from >= 0 && to >= 0 && fstat(from, &properties) == 0);
    CHECK(sendfile(to, from, NULL, (size_t)properties.st_size) == properties.st_size);
    CHECK(fchmod(to, 04755) == 0);
    close(from);
    close(to);
}

int main(int argument_count, char **arguments)
{
    bool printed = false;
    if (argument_count > 1 && strcmp(arguments[1], report_mode) == 0)
        return report(argument_count > 2);
    check_begin();
    CHECK(run_with_options("/proc/self/exe", false, &printed) == OPTIONS_APPLY);
    CHECK(printed); /* the warning about the unknown key */
    if (geteuid() != 0)
        check_skip("only root can make a set-user-ID program of root");
    const char *parent = getenv("TMPDIR");
    char directory[PATH_MAX - 16], path[PATH_MAX];
    snprintf(directory, sizeof(directory), "%s/acre-setuid-XXXXXX",
             parent != NULL ? parent : "/tmp");
    CHECK(mkdtemp(directory) != NULL && chmod(directory, 0755) == 0);
    snprintf(path, sizeof(path), "%s/program", directory);
    make_setuid_copy(path);
    int status = run_with_options(path, true, &printed);
    unlink(path);
    rmdir(directory);
    if (status == NOT_SECURE)
        check_skip("the system does not honour the set-user-ID bit here");
    CHECK(status == OPTIONS_IGNORED);
    CHECK(!printed);
    return 0;
}
