/*
 * Running a command until it ends: see run.h.
 *
 * All threads of all processes are traced (PTRACE_SEIZE), and stop where they end
 * (PTRACE_O_TRACEEXIT), after exit, _exit, abort and fatal signals alike, with the memory still
 * there. The memory of a process is read when all its threads have stopped so. Each goes on at
 * once, after its registers were read, but for the one that ends the process: it is held until the
 * others have ended. One of them may be running another program, for which the system first ends
 * all other threads: so a thread is not held for ever (HOLD_LOOKS).
 */
#define _GNU_SOURCE 1
#include "run.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracees.h"

/* How long a thread is held at its end while nothing happens: it may be that another one, which is
 * to run another program, waits for it to end. */
enum { HOLD_US = 1000, HOLD_LOOKS = 500 };

#define OPTIONS_VARIABLE "ACRE_OPTIONS"

/* Live blocks of which a search for leaks has the stacks: 200 MB of address space. */
#define LEAKS_SAMPLES ",profile_samples:4194304"

struct runner {
    const struct run_wanted *wanted;
    struct tracees tracees;
    pid_t command;
    int status;       /* of the command, as of waitpid */
    bool had_acre;    /* the command's process, at its end */
    bool found_leaks; /* some process */
};

static pid_t forward_to; /* the command, for the signal handler */

/* While a process is read: who reads, and the thread that waits for that; err and errx end this
 * program then, but see go_on_anyway. */
static struct runner *reading;
static pid_t waiting;

/* ---- what a process leaves ---- */

/* The path for a process: %p and %n are replaced; without %p, others than the command have their id
 * in front of the end that tells the format. Allocated. */
static char *path_for(const struct runner *runner, const struct memory *memory)
{
    char *path = NULL;
    size_t size;
    FILE *file = open_memstream(&path, &size);
    const char *pattern = runner->wanted->dump.path;
    const char *end = pattern + strlen(pattern) - dump_suffix(pattern);
    bool adds_id = memory->program_pid != runner->command && strstr(pattern, "%p") == NULL;
    if (file == NULL)
        err(EXIT_FAILURE, NULL);
    for (const char *at = pattern; *at != '\0'; at++) {
        if (at == end && adds_id)
            fprintf(file, ".%d", memory->program_pid);
        if (at[0] == '%' && at[1] == 'p')
            fprintf(file, "%d", memory->program_pid);
        else if (at[0] == '%' && at[1] == 'n')
            for (const char *name = memory->program; *name != '\0'; name++)
                putc(*name == '/' ? '_' : *name, file);
        else
            putc(*at, file);
        at += at[0] == '%' && (at[1] == 'p' || at[1] == 'n');
    }
    if (*end == '\0' && adds_id)
        fprintf(file, ".%d", memory->program_pid);
    if (fclose(file) != 0 || path == NULL)
        err(EXIT_FAILURE, NULL);
    return path;
}

/* Finds the leaks, and writes them if there are any. */
static void write_leaks(struct runner *runner, struct memory *memory,
                        const struct dump_wanted *wanted, pid_t process)
{
    size_t count;
    struct leaks leaks;
    struct maps maps;
    struct leaks_thread *roots = tracees_roots(&runner->tracees, process, &count);
    maps_read(memory, &maps);
    leaks_find(memory, &maps, roots, count, &leaks);
    maps_free(&maps);
    free(roots);
    if (leaks.count != 0 || process == runner->command)
        (void)dump(memory, wanted, &leaks);
    runner->found_leaks = runner->found_leaks || leaks.count != 0;
    leaks_free(&leaks);
}

/* Reads the memory of a process by its last thread, which has stopped at its end. */
static void read_process(struct runner *runner, const struct tracee *last)
{
    static struct memory memory;
    struct dump_wanted wanted = runner->wanted->dump;
    char id[16], *path = NULL;
    pid_t process = last->process;
    if (last->shares || !memory_has_acre(last->id))
        return;
    snprintf(id, sizeof(id), "%d", (int)last->id);
    memory_open(&memory, id);
    memory_name_process(&memory, process);
    runner->had_acre = runner->had_acre || process == runner->command;
    if (wanted.path != NULL)
        wanted.path = path = path_for(runner, &memory);
    if (runner->wanted->leaks)
        write_leaks(runner, &memory, &wanted, process);
    else
        (void)dump(&memory, &wanted, NULL);
    free(path);
    memory_close(&memory);
}

/* ---- tracing ---- */

/* Lets a tracee go on; that fails if it was killed meanwhile, of which waitpid tells. */
static void go_on(pid_t id, int with_signal)
{
    (void)ptrace(PTRACE_CONT, id, NULL, (void *)(intptr_t)with_signal);
}

static void read_by(struct runner *runner, const struct tracee *last)
{
    reading = runner;
    waiting = last->id;
    read_process(runner, last);
    reading = NULL;
}

/* The thread that is held at its end, of a process, or, if that is 0, of any; NULL: none. */
static struct tracee *held_of(struct runner *runner, pid_t process)
{
    for (size_t i = 0; i < runner->tracees.count; i++) {
        struct tracee *tracee = &runner->tracees.all[i];
        if (tracee->held && (process == 0 || tracee->process == process))
            return tracee;
    }
    return NULL;
}

/* Lets those go on that are held. */
static void release(struct runner *runner, pid_t process)
{
    struct tracee *held;
    while ((held = held_of(runner, process)) != NULL) {
        held->held = false;
        go_on(held->id, 0);
    }
}

/*
 * The thread that ends its process is held until the others have ended: one that was at its end
 * when it was killed with the process does not tell of that, and may have seemed to be the last.
 */
static void take_end(struct runner *runner, struct tracee *tracee)
{
    unsigned long code = 0;
    (void)ptrace(PTRACE_GETEVENTMSG, tracee->id, NULL, &code);
    long call = tracee_read_registers(tracee->id, &tracee->roots);
    /* a thread that has ended by itself has left its stack */
    tracee->has_roots = call != -1 && !(call == SYS_exit && WIFEXITED((int)code));
    tracee->ended = true;
    if (tracees_all_ended(&runner->tracees, tracee->process)) {
        read_by(runner, tracee);
        release(runner, tracee->process);
    } else {
        tracee->held =
            call == SYS_exit_group || (WIFSIGNALED((int)code) && WTERMSIG((int)code) != SIGKILL);
    }
}

/* The process that made a tracee is known: the tracee need not wait any more. */
static void report(struct tracee *child)
{
    child->reported = true;
    if (child->waits) {
        child->waits = false;
        go_on(child->id, 0);
    }
}

/* A thread has made another one, or a process. */
static void take_child(struct runner *runner, pid_t parent, int event)
{
    unsigned long id = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &id) != 0)
        return; /* killed: see let_go */
    pid_t process = tracees_get(&runner->tracees, parent)->process;
    struct tracee *child = tracees_get(&runner->tracees, (pid_t)id);
    child->shares = event != PTRACE_EVENT_FORK && child->process != process;
    report(child);
}

/* A thread has ended. If it was killed as it made another one, no stop reports that one: those that
 * wait to be reported go on, as processes of their own. */
static void let_go(struct runner *runner, pid_t id)
{
    pid_t process = tracees_get(&runner->tracees, id)->process;
    tracees_remove(&runner->tracees, id);
    struct tracee *held = held_of(runner, process);
    if (held != NULL && tracees_all_ended(&runner->tracees, process)) {
        read_by(runner, held);
        release(runner, process);
    }
    for (size_t i = 0; i < runner->tracees.count; i++)
        if (runner->tracees.all[i].waits)
            report(&runner->tracees.all[i]);
}

/* A process runs another program; its other threads are gone. */
static void take_exec(struct runner *runner, pid_t id)
{
    struct tracee *tracee = tracees_get(&runner->tracees, id);
    *tracee = (struct tracee){.id = id, .process = id, .reported = true};
    tracees_keep_one(&runner->tracees, id, id);
}

static bool is_stop_signal(int number)
{
    return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

static void take_stop(struct runner *runner, pid_t id, int status)
{
    int event = status >> 16, number = WSTOPSIG(status);
    struct tracee *tracee = tracees_get(&runner->tracees, id);
    switch (event) {
    case PTRACE_EVENT_EXIT:
        take_end(runner, tracee);
        if (tracee->held)
            return;
        break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        take_child(runner, id, event);
        break;
    case PTRACE_EVENT_EXEC:
        take_exec(runner, id);
        break;
    case PTRACE_EVENT_STOP:
        if (is_stop_signal(number)) {
            (void)ptrace(PTRACE_LISTEN, id, NULL, NULL);
            return;
        }
        tracee->waits = !tracee->reported && tracees_has_maker(&runner->tracees, id);
        if (tracee->waits)
            return; /* take_child lets it go on, or let_go */
        break;
    default:
        go_on(id, number);
        return;
    }
    go_on(id, 0);
}

/* Traces until the command has ended. What still runs then goes on by itself. */
static void trace(struct runner *runner)
{
    for (int looks = 0;;) {
        int status;
        bool holds = held_of(runner, 0) != NULL;
        looks = holds ? looks : 0;
        pid_t id = waitpid(-1, &status, holds ? __WALL | WNOHANG : __WALL);
        if (id < 0 && errno == EINTR)
            continue;
        if (id == 0) {
            usleep(HOLD_US);
            if (++looks == HOLD_LOOKS)
                release(runner, 0);
            continue;
        }
        if (id < 0)
            err(RUN_FAILED, "waitpid");
        if (WIFSTOPPED(status)) {
            take_stop(runner, id, status);
            continue;
        }
        let_go(runner, id);
        if (id == runner->command) {
            runner->status = status;
            return;
        }
    }
}

/* ---- the command ---- */

/* Adds options of acre: those that were not asked for in front of those that are set, which win. */
static void add_options(const struct run_wanted *wanted)
{
    const char *set = getenv(OPTIONS_VARIABLE), *interval = wanted->interval;
    char *options;
    int length;
    set = set != NULL ? set : "";
    const char *separator = *set != '\0' ? "," : "";
    if (wanted->leaks)
        length = asprintf(&options, "%s%sprofile:%s" LEAKS_SAMPLES, set, separator,
                          interval != NULL ? interval : "1");
    else if (interval != NULL)
        length = asprintf(&options, "%s%sprofile:%s", set, separator, interval);
    else
        length = asprintf(&options, "profile:" RUN_INTERVAL "%s%s", separator, set);
    if (length < 0 || setenv(OPTIONS_VARIABLE, options, 1) != 0)
        err(RUN_FAILED, NULL);
    free(options);
}

/* Becomes the command, once the other process traces it. */
_Noreturn static void become(const struct run_wanted *wanted, char **command, int ready)
{
    char byte;
    add_options(wanted);
    if (read(ready, &byte, 1) != 1)
        _exit(RUN_FAILED); /* it has said why */
    execvp(command[0], command);
    warn("%s", command[0]);
    _exit(errno == ENOENT ? RUN_NOT_FOUND : RUN_REFUSED);
}

static void forward(int number)
{
    int saved = errno;
    kill(forward_to, number);
    errno = saved;
}

/* A terminal sends its signals to the command, too; what else would end this program is for the
 * command. */
static void handle_signals(void)
{
    static const int forwarded[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        const struct sigaction action = {.sa_handler = forward};
        sigaction(forwarded[i], &action, NULL);
    }
}

static void start(struct runner *runner, char **command)
{
    const unsigned long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
                                  PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        err(RUN_FAILED, "pipe2");
    runner->command = fork();
    if (runner->command < 0)
        err(RUN_FAILED, "fork");
    if (runner->command == 0) {
        close(ready[1]);
        become(runner->wanted, command, ready[0]);
    }
    forward_to = runner->command;
    handle_signals();
    if (ptrace(PTRACE_SEIZE, runner->command, NULL, (void *)options) != 0)
        err(RUN_FAILED,
            "%s cannot be traced (is this a container that forbids ptrace?); "
            "\"acre-profile start PID\" and \"dump PID\" may work",
            command[0]);
    tracees_get(&runner->tracees, runner->command)->reported = true;
    if (write(ready[1], "", 1) != 1)
        err(RUN_FAILED, "pipe");
    close(ready[0]);
    close(ready[1]);
}

/* Ends this program as the command has ended. */
static int end_as(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* the command has left a core, if one was wanted */
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status); /* as shells do */
}

/* The exit status, once the command has ended. */
static int finish(struct runner *runner)
{
    free(runner->tracees.all);
    if (runner->found_leaks && !WIFSIGNALED(runner->status))
        return RUN_LEAKS;
    return end_as(runner->status);
}

/* At exit. If that is because a process could not be read, or the file could not be written, which
 * was said, the command goes on all the same, traced, and its exit status is passed on. */
static void go_on_anyway(void)
{
    struct runner *runner = reading;
    if (runner == NULL)
        return;
    reading = NULL;
    atexit(go_on_anyway); /* it may be so again */
    go_on(waiting, 0);
    trace(runner);
    int status = finish(runner);
    fflush(NULL);
    _exit(status);
}

int run(const struct run_wanted *wanted, char **command)
{
    static struct runner runner;
    runner.wanted = wanted;
    start(&runner, command);
    atexit(go_on_anyway);
    trace(&runner);
    bool ran = !WIFEXITED(runner.status) || WEXITSTATUS(runner.status) < RUN_FAILED;
    if (!runner.had_acre && ran)
        warnx("%s has ended without acre in it: was it linked with libacre? \"acre-run --%s "
              "COMMAND\" preloads it",
              command[0], wanted->leaks ? "leaks" : "profile FILE");
    return finish(&runner);
}
