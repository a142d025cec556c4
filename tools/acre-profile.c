/*
 * acre-profile: starts and stops the heap profile of a process that uses acre, and reads it, also
 * from a core; acre-profile(1) is the manual. The process records by itself; all else is done here,
 * from outside.
 */
#define _GNU_SOURCE 1
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acre/acre.h"
#include "control.h"
#include "dump.h"
#include "run.h"

enum {
    STATUS_USAGE = 2,
    STACKS = 20, /* in the table, by default */
};

static const char usage[] =
    "usage: acre-profile start [--interval SIZE] [--quiet] PID\n"
    "       acre-profile stop [--quiet] PID\n"
    "       acre-profile mark PID\n"
    "       acre-profile dump [OPTION...] PID|CORE\n"
    "       acre-profile run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
    "       acre-profile --version | --help\n"
    "\n"
    "Shows which stacks allocated what a process that uses acre holds.\n"
    "\n"
    "  --interval SIZE  bytes between samples; 1: each block; 512K by default\n"
    "  --quiet          the process writes no line about it to its standard error\n"
    "  -o, --output FILE  write to FILE; of run: %p in it is the process's id, %n its name\n"
    "  --format FORMAT  text, pprof, heap_v2, folded or html; else by FILE's end: .txt, .pb.gz,\n"
    "                   .heap, .folded, .html\n"
    "  --live           blocks that are live: the default\n"
    "  --allocated      all blocks that were allocated, freed or not\n"
    "  --peak           blocks that were live at the peak\n"
    "  --since-mark     only live blocks that were allocated after the mark\n"
    "  --older SECONDS  only live blocks that are at least this old\n"
    "  --newer SECONDS  only live blocks that are younger than this\n"
    "  --pinned         also the bytes of nearly empty pages that the blocks keep resident\n"
    "  --stacks N       show N stacks in the table; 20 by default\n"
    "  --leaks          of run: only blocks to which no pointer leads when COMMAND ends\n";

/* What the command line asks for. */
struct request {
    const char *interval; /* NULL: not given */
    bool quiet, leaks;
    struct dump_wanted dump;
};

/* ---- the command line ---- */

_Noreturn static void refuse_usage(void)
{
    fputs(usage, stderr);
    exit(STATUS_USAGE);
}

/* ms. */
static uint64_t parse_seconds(const char *option, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 1e9))
        errx(STATUS_USAGE, "%s cannot be \"%s\"; allowed: 0 to 1000000000 seconds", option, text);
    return (uint64_t)(seconds * 1000);
}

static size_t parse_count(const char *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number == 0)
        errx(STATUS_USAGE, "%s cannot be \"%s\"; allowed: a number from 1 on", option, text);
    return number;
}

enum {
    OPTION_INTERVAL = 256,
    OPTION_QUIET,
    OPTION_FORMAT,
    OPTION_LIVE,
    OPTION_ALLOCATED,
    OPTION_PEAK,
    OPTION_SINCE_MARK,
    OPTION_OLDER,
    OPTION_NEWER,
    OPTION_PINNED,
    OPTION_STACKS,
    OPTION_LEAKS,
};

/* Which options each command has. */
static const int dump_options[] = {OPTION_FORMAT,
                                   OPTION_LIVE,
                                   OPTION_ALLOCATED,
                                   OPTION_PEAK,
                                   OPTION_SINCE_MARK,
                                   OPTION_OLDER,
                                   OPTION_NEWER,
                                   OPTION_PINNED,
                                   OPTION_STACKS,
                                   'o',
                                   0};
static const int start_options[] = {OPTION_INTERVAL, OPTION_QUIET, 0};
static const int stop_options[] = {OPTION_QUIET, 0};
static const int mark_options[] = {0};
static const int run_options[] = {
    OPTION_FORMAT, OPTION_LIVE,   OPTION_ALLOCATED, OPTION_PEAK,     OPTION_OLDER, OPTION_NEWER,
    OPTION_PINNED, OPTION_STACKS, OPTION_LEAKS,     OPTION_INTERVAL, 'o',          0};

static void take_option(struct request *request, int letter)
{
    struct sums_wanted *which = &request->dump.which;
    switch (letter) {
    case OPTION_INTERVAL:
        control_check_interval(optarg);
        request->interval = optarg;
        break;
    case OPTION_QUIET:
        request->quiet = true;
        break;
    case OPTION_FORMAT:
        request->dump.format = dump_parse_format(optarg);
        break;
    case OPTION_LIVE:
        which->kind = SUMS_LIVE;
        break;
    case OPTION_ALLOCATED:
        which->kind = SUMS_ALLOCATED;
        break;
    case OPTION_PEAK:
        which->kind = SUMS_PEAK;
        break;
    case OPTION_SINCE_MARK:
        which->since_mark = true;
        break;
    case OPTION_OLDER:
        which->older = parse_seconds("--older", optarg);
        break;
    case OPTION_NEWER:
        which->newer = parse_seconds("--newer", optarg);
        break;
    case OPTION_PINNED:
        request->dump.pinned = true;
        break;
    case OPTION_STACKS:
        request->dump.most = parse_count("--stacks", optarg);
        break;
    case OPTION_LEAKS:
        request->leaks = true;
        break;
    default:
        request->dump.path = optarg;
    }
}

/* Reads the options of a command; optind is the first argument after them. */
static struct request read_options(int argc, char **argv, const char *command, const int *allowed)
{
    static const struct option options[] = {
        {"interval", required_argument, NULL, OPTION_INTERVAL},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {"output", required_argument, NULL, 'o'},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"live", no_argument, NULL, OPTION_LIVE},
        {"allocated", no_argument, NULL, OPTION_ALLOCATED},
        {"peak", no_argument, NULL, OPTION_PEAK},
        {"since-mark", no_argument, NULL, OPTION_SINCE_MARK},
        {"older", required_argument, NULL, OPTION_OLDER},
        {"newer", required_argument, NULL, OPTION_NEWER},
        {"pinned", no_argument, NULL, OPTION_PINNED},
        {"stacks", required_argument, NULL, OPTION_STACKS},
        {"leaks", no_argument, NULL, OPTION_LEAKS},
        {NULL, 0, NULL, 0},
    };
    struct request request = {.dump = {.most = STACKS}};
    int letter, which = 0;
    while ((letter = getopt_long(argc, argv, "+o:", options, &which)) != -1) {
        const int *each = allowed;
        if (letter == '?')
            refuse_usage();
        while (*each != 0 && *each != letter)
            each++;
        if (*each == 0)
            errx(STATUS_USAGE, "%s has no option %s%s", command, letter == 'o' ? "-" : "--",
                 letter == 'o' ? "o" : options[which].name);
        take_option(&request, letter);
    }
    return request;
}

/* The only argument. */
static const char *only_argument(int argc, char **argv, const char *what)
{
    if (optind != argc - 1) {
        warnx(optind == argc ? "no %s given" : "more than one %s given", what);
        refuse_usage();
    }
    return argv[optind];
}

/* ---- the commands ---- */

/* Opens a process; exits if it is a core. */
static void open_process(struct memory *memory, int argc, char **argv)
{
    memory_open(memory, only_argument(argc, argv, "process"));
    if (memory->pid == 0)
        errx(EXIT_FAILURE, "%s is a core: only a process can be changed", memory->name);
}

static int start(int argc, char **argv)
{
    static struct memory memory;
    struct request request = read_options(argc, argv, "start", start_options);
    open_process(&memory, argc, argv);
    bool done = control_start(&memory, request.interval != NULL ? request.interval : RUN_INTERVAL,
                              request.quiet);
    memory_close(&memory);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int stop(int argc, char **argv)
{
    static struct memory memory;
    struct request request = read_options(argc, argv, "stop", stop_options);
    open_process(&memory, argc, argv);
    bool done = control_stop(&memory, request.quiet);
    memory_close(&memory);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int mark(int argc, char **argv)
{
    static struct memory memory;
    (void)read_options(argc, argv, "mark", mark_options);
    open_process(&memory, argc, argv);
    bool done = control_mark(&memory);
    memory_close(&memory);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int dump_profile(int argc, char **argv)
{
    static struct memory memory;
    struct request request = read_options(argc, argv, "dump", dump_options);
    memory_open(&memory, only_argument(argc, argv, "process or core"));
    bool whole = dump(&memory, &request.dump, NULL);
    memory_close(&memory);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_command(int argc, char **argv)
{
    struct request request = read_options(argc, argv, "run", run_options);
    if (optind == argc) {
        warnx("no command given");
        refuse_usage();
    }
    if (request.dump.path == NULL && request.dump.format > DUMP_TEXT)
        errx(STATUS_USAGE, "run writes that format to a file: -o FILE names it");
    request.dump.stream = stderr;
    const struct run_wanted wanted = {
        .dump = request.dump,
        .leaks = request.leaks,
        .interval = request.interval,
    };
    return run(&wanted, argv + optind);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*act)(int argc, char **argv);
    } commands[] = {
        {"start", start},       {"stop", stop},       {"mark", mark},
        {"dump", dump_profile}, {"run", run_command},
    };
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        argv[1] = argv[0]; /* the name in getopt's messages */
        return commands[i].act(argc - 1, argv + 1);
    }
    if (strcmp(name, "--version") == 0) {
        puts("acre-profile " ACRE_VERSION_STRING);
        return EXIT_SUCCESS;
    }
    if (strcmp(name, "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (name[0] != '\0')
        warnx("there is no command \"%s\"", name);
    refuse_usage();
}
