/*
 * ACRE_OPTIONS applies to a program, but not to a set-user-ID program. As root the test copies its
 * own program, makes it set-user-ID, and runs it as another user. Then it does so with an
 * /etc/acre.conf, in a namespace of mounts of its own: that applies to both.
 */
#define _GNU_SOURCE 1
#include "check.h"
#include <acre/acre.h>
#include <limits.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { OTHER_USER = 65534 };

static char report_mode[] = "report";

/* Status of the program that says what it sees of the options. */
enum { OPTIONS_APPLY = 10, OPTIONS_IGNORED, FILE_APPLIES, USERS_FILE_APPLIES, NOT_SECURE };

static int report(bool wants_secure)
{
    char value[64];
    if (wants_secure && getauxval(AT_SECURE) == 0)
        return NOT_SECURE;
    CHECK(acre_option_get("decay", value, sizeof(value)) == 0);
    return strcmp(value, "77") == 0   ? OPTIONS_APPLY
           : strcmp(value, "66") == 0 ? FILE_APPLIES
           : strcmp(value, "55") == 0 ? USERS_FILE_APPLIES
                                      : OPTIONS_IGNORED;
}

/* Runs a program with ACRE_OPTIONS if they are not NULL, as another user if asked; returns its exit
 * status. */
static int run_with(const char *program, char *options, bool as_other, bool *printed)
{
    int ends[2];
    char secure[] = "secure", output;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char name[] = "setuid_options", home[] = "HOME=/etc/home";
        char *arguments[] = {name, report_mode, as_other ? secure : NULL, NULL};
        char *environment[] = {home, options, NULL};
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

static int run_with_options(const char *program, bool as_other, bool *printed)
{
    char options[] = "ACRE_OPTIONS=decay:77,no_such_option:1";
    return run_with(program, options, as_other, printed);
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

static void write_conf(const char *path, const char *text, mode_t mode, uid_t owner)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, mode) == 0 && fchown(fd, owner, owner) == 0);
    close(fd);
}

/* In a process whose /etc is its own. */
static void check_files(const char *set_uid)
{
    bool printed;
    CHECK(mkdir("/etc/home", 0755) == 0 && mkdir("/etc/home/.config", 0755) == 0);
    write_conf("/etc/acre.conf", "decay:66\n[other]\ndecay:1\n", 0644, 0);
    CHECK(run_with("/proc/self/exe", NULL, false, &printed) == FILE_APPLIES && !printed);
    CHECK(run_with_options("/proc/self/exe", false, &printed) == OPTIONS_APPLY);
    CHECK(run_with_options(set_uid, true, &printed) == FILE_APPLIES && !printed);
    /* the user's file is above it, but not for the set-user-ID program */
    write_conf("/etc/home/.config/acre.conf", "decay:55\n", 0644, 0);
    CHECK(run_with("/proc/self/exe", NULL, false, &printed) == USERS_FILE_APPLIES && !printed);
    CHECK(run_with_options("/proc/self/exe", false, &printed) == OPTIONS_APPLY);
    CHECK(run_with_options(set_uid, true, &printed) == FILE_APPLIES && !printed);
    CHECK(unlink("/etc/home/.config/acre.conf") == 0);
    /* others may write to it */
    CHECK(chmod("/etc/acre.conf", 0646) == 0);
    CHECK(run_with_options(set_uid, true, &printed) == OPTIONS_IGNORED && printed);
    CHECK(chmod("/etc/acre.conf", 0644) == 0 && chown("/etc/acre.conf", OTHER_USER, 0) == 0);
    CHECK(run_with_options(set_uid, true, &printed) == OPTIONS_IGNORED && printed);
    CHECK(run_with("/proc/self/exe", NULL, false, &printed) == OPTIONS_IGNORED && printed);
    /* the section is for the file of the executable, however it is called */
    write_conf("/etc/acre.conf", "[setuid_options]\ndecay:1\n[program]\ndecay:66\n", 0644, 0);
    CHECK(run_with_options(set_uid, true, &printed) == FILE_APPLIES && !printed);
}

/* The status of a process that does so; 77 if it cannot have an /etc of its own. */
static int check_files_apart(const char *set_uid)
{
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", "/etc", "tmpfs", 0, NULL) != 0)
            _exit(CHECK_SKIPPED);
        check_files(set_uid);
        _exit(0);
    }
    return wait_for(child);
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
    int with_files = status == NOT_SECURE ? 0 : check_files_apart(path);
    unlink(path);
    rmdir(directory);
    if (status == NOT_SECURE)
        check_skip("the system does not honour the set-user-ID bit here");
    CHECK(status == OPTIONS_IGNORED);
    CHECK(!printed);
    if (WIFEXITED(with_files) && WEXITSTATUS(with_files) == CHECK_SKIPPED)
        check_skip("nothing can be mounted over /etc");
    CHECK(with_files == 0);
    return 0;
}
