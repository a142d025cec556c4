/*
 * launch FILE COMMAND [ARGUMENT...]: runs a command and writes what it used to FILE, as lines
 * "name value unit":
 *
 *     status        its wait status, as wait4 gives it
 *     user, system  CPU seconds of the process and of the descendants that were waited for
 *     peak-rss      the peak resident size of the largest of these processes
 *     page-faults   the page faults of them all that read nothing from a file
 *
 * The kernel hands the peak of the process that starts a program on to it, so what a driver of 20
 * MiB asks of wait4 is never less than 20 MiB. This program is small, and stays below any other.
 *
 * SIGTERM, SIGINT and SIGQUIT are passed on to the command. When the process that started this one
 * ends, the whole process group, which it must lead, is killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STATUS_USAGE = 2,
    STATUS_CANNOT_RUN = 127, /* as of a shell */
};

static const int passed_on[] = {SIGTERM, SIGINT, SIGQUIT};

/* Constant once the handlers that use it are set. */
static pid_t command_pid;

static void pass_on(int number)
{
    kill(command_pid, number);
}

static void kill_group(int number)
{
    (void)number;
    kill(0, SIGKILL);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(number, &action, NULL);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Becomes the command; ends the process if that fails. */
static _Noreturn void become(char **command)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(command[0], command);
    fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
    _exit(STATUS_CANNOT_RUN);
}

/* Starts the command. Signals that come before it is there wait for it. */
static void start(char **command)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    command_pid = fork();
    if (command_pid == 0)
        become(command);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        handle(passed_on[i], pass_on);
    handle(SIGHUP, kill_group);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: launch FILE COMMAND [ARGUMENT...]\n");
        return STATUS_USAGE;
    }
    FILE *file = fopen(argv[1], "we");
    if (!file) {
        fprintf(stderr, "launch: %s: %s\n", argv[1], strerror(errno));
        return EXIT_FAILURE;
    }
    if (getpgrp() == getpid())
        prctl(PR_SET_PDEATHSIG, SIGHUP);
    start(argv + 2);

    int status;
    struct rusage used;
    if (command_pid < 0 || wait4(command_pid, &status, 0, &used) < 0) {
        fprintf(stderr, "launch: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    fprintf(file, "status %d number\nuser %.6f s\nsystem %.6f s\n", status, seconds(used.ru_utime),
            seconds(used.ru_stime));
    fprintf(file, "peak-rss %ld bytes\npage-faults %ld number\n", used.ru_maxrss * 1024,
            used.ru_minflt);
    return fclose(file) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
