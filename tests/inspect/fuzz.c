/*
 * Feeds what is not to be trusted to acre-inspect: cores with changed bytes, cut off ones, and a
 * process whose memory reads as something else each time. acre-inspect is linked in, with
 * sanitizers, and runs in a child of fork for each case. It may refuse, or say that something is
 * damaged. A finding is: a sanitizer's report, a signal, more than CPU_SECONDS, or output that
 * would change a terminal. What it would write to the process is checked, and not written: one word
 * at a time, at an address that is not in the first page.
 *
 *   fuzz --seconds N --seed N [--cases N] SUBJECT [CORE]
 *
 * Case i is made from the number seed + i alone, as far as SUBJECT has its memory at the same
 * addresses: `--seed (seed + i) --cases 1` plays it again. CORE is one of SUBJECT.
 *
 * What is changed are bytes that acre-inspect reads: the first run of each kind of input is on the
 * unchanged one, and notes them.
 */
#define _GNU_SOURCE 1
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

enum {
    CPU_SECONDS = 20, /* of one case; some hundredths are usual */
    MOST_CHANGES = 8, /* of a core */
    HEAD = 64 << 10,  /* bytes of a core in which its headers and notes are */
    EXTRA_ARGUMENTS = 4,
};

/* That of tools/acre-inspect.c, which is built with another name for main. */
#undef main
int fuzz_inspect_main(int argc, char **argv);

static const char *subject;
static uint64_t block, large; /* addresses of blocks of the subject */

/* ---- one run ---- */

static pid_t own_id; /* of the process that has started the subject */

/* At exit; children leave it alone. */
static void end_subject(void)
{
    if (hostile.subject > 0 && getpid() == own_id)
        kill(hostile.subject, SIGKILL);
}

/* Of --set; the library's table of options has them. */
static const char *const settings[] = {"decay:100", "large_stock:64M", "huge_pages:never",
                                       "stats:exit", "background_thread:1"};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

/* Runs acre-inspect in this process, a child, on what was chosen. */
_Noreturn static void inspect(const char *what, int output, int errors)
{
    char text[32];
    char *arguments[EXTRA_ARGUMENTS + 2] = {(char *)"acre-inspect"};
    int count = 1;
    uint64_t address = random_below(&choices, 4) == 0 ? large : block;
    const struct rlimit limit = {CPU_SECONDS, CPU_SECONDS + 1};
    setrlimit(RLIMIT_CPU, &limit);
    switch (hostile.notes_reads ? 0 : random_below(&choices, 9)) {
    case 0:
        arguments[count++] = (char *)"--json";
        break;
    case 1:
        arguments[count++] = (char *)"--prometheus";
        break;
    case 2:
        arguments[count++] = (char *)"--find";
        address += random_small(&choices, 64 << 20) - random_small(&choices, 4 << 20);
        snprintf(text, sizeof(text), "0x%" PRIx64, address);
        arguments[count++] = text;
        break;
    case 3:
        arguments[count++] = (char *)"--class";
        snprintf(text, sizeof(text), "%zu", 1 + random_small(&choices, 4096));
        arguments[count++] = text;
        break;
    case 4:
        arguments[count++] = (char *)"--set";
        arguments[count++] = (char *)settings[random_below(&choices, SETTINGS)];
        break;
    case 5:
        arguments[count++] = (char *)"--trim";
        break;
#ifdef ACRE_WATCH
    case 6: /* takes some tenths of a second */
        if (random_below(&choices, 8) == 0) {
            arguments[count++] = (char *)"--watch=0.1";
            notes->screen = true;
        }
        break;
#endif
    default:
        break;
    }
    if (random_below(&choices, 4) == 0)
        hostile.left_alone = random_below(&choices, notes->count + 1);
    arguments[count++] = (char *)what;
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0)
        _exit(SANITIZER_FOUND);
    optind = 0;
    exit(fuzz_inspect_main(count, arguments));
}

/* True if the output has a byte that a terminal obeys. */
static bool has_control(int output)
{
    static char bytes[64 << 10];
    ssize_t got;
    lseek(output, 0, SEEK_SET);
    while ((got = read(output, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < got; i++)
            if ((bytes[i] >= 0 && bytes[i] < ' ' && bytes[i] != '\n') || bytes[i] == 0x7f)
                return true;
    return false;
}

/* Copies a file's text to standard error. */
static void show(int file)
{
    char bytes[4096];
    ssize_t got;
    lseek(file, 0, SEEK_SET);
    while ((got = read(file, bytes, sizeof(bytes))) > 0)
        if (write(STDERR_FILENO, bytes, (size_t)got) != got)
            return;
}

static int open_output(void)
{
    int file = memfd_create("output", MFD_CLOEXEC);
    if (file < 0)
        err(EXIT_FAILURE, "memfd_create");
    return file;
}

/* Runs acre-inspect on `what`; says on standard error what it found wrong with it, if anything.
 * *status is the exit status. True if all is right. */
static bool run(const char *what, int *status)
{
    int output = open_output(), errors = open_output(), waited;
    notes->screen = false;
    pid_t child = fork();
    if (child < 0)
        err(EXIT_FAILURE, "fork");
    if (child == 0)
        inspect(what, output, errors);
    while (waitpid(child, &waited, 0) < 0)
        if (errno != EINTR)
            err(EXIT_FAILURE, "waitpid");
    *status = WIFEXITED(waited) ? WEXITSTATUS(waited) : -1;
    bool right = true;
    if (*status != EXIT_SUCCESS && *status != EXIT_FAILURE) {
        right = false;
        warnx("acre-inspect %s: %s %d", what, WIFSIGNALED(waited) ? "signal" : "status",
              WIFSIGNALED(waited) ? WTERMSIG(waited) : *status);
    } else if ((has_control(output) && !notes->screen) || has_control(errors)) {
        right = false;
        warnx("acre-inspect %s: control characters in the output", what);
        show(output);
    }
    if (!right)
        show(errors);
    close(output);
    close(errors);
    return right;
}

/* ---- a core ---- */

/* What was at a place of the core. */
struct kept {
    off_t at;
    size_t size;
    uint8_t bytes[WORD];
};

static void read_at(int file, void *into, size_t size, off_t at)
{
    if (__real_pread(file, into, size, at) != (ssize_t)size)
        err(EXIT_FAILURE, "pread");
}

static void write_at(int file, const void *from, size_t size, off_t at)
{
    if (pwrite(file, from, size, at) != (ssize_t)size)
        err(EXIT_FAILURE, "pwrite");
}

/* A place of the core that acre-inspect reads, or in its headers. */
static struct noted choose_place(off_t core_size)
{
    const size_t head = core_size < HEAD ? (size_t)core_size : HEAD;
    if (notes->count == 0 || random_below(&choices, 4) == 0) {
        size_t at = random_small(&choices, head - WORD);
        return (struct noted){at, WORD};
    }
    struct noted place = notes->reads[random_below(&choices, notes->count)];
    size_t in = random_below(&choices, 2) == 0 ? random_below(&choices, place.size)
                                               : random_small(&choices, place.size);
    if (random_below(&choices, 4) != 0)
        in = in / WORD * WORD;
    size_t left = place.size - in;
    return (struct noted){place.at + in, left < WORD ? left : WORD};
}

/* Changes the core, runs, and changes it back. */
static bool play_changed_core(const char *path, int core, off_t core_size)
{
    struct kept kept[MOST_CHANGES];
    int status;
    size_t count = 1 + random_small(&choices, MOST_CHANGES);
    for (size_t i = 0; i < count; i++) {
        struct noted place = choose_place(core_size);
        uint8_t bytes[WORD];
        kept[i].at = (off_t)place.at;
        kept[i].size = place.size;
        read_at(core, kept[i].bytes, place.size, kept[i].at);
        memcpy(bytes, kept[i].bytes, place.size);
        hostile_change(bytes, place.size);
        write_at(core, bytes, place.size, kept[i].at);
    }
    bool right = run(path, &status);
    while (count-- != 0)
        write_at(core, kept[count].bytes, kept[count].size, kept[count].at);
    return right;
}

/* Runs on the core's first bytes, of which some are changed. */
static bool play_cut_core(int core, off_t core_size)
{
    static uint8_t bytes[4 * HEAD];
    char path[] = "fuzz.cut.XXXXXX";
    int status;
    size_t most = core_size < (off_t)sizeof(bytes) ? (size_t)core_size : sizeof(bytes);
    size_t size = 1 + random_small(&choices, most);
    size_t changes = random_small(&choices, 64);
    int file = mkostemp(path, O_CLOEXEC);
    if (file < 0)
        err(EXIT_FAILURE, "%s", path);
    read_at(core, bytes, size, 0);
    for (size_t i = 0; i < changes; i++) {
        size_t at = random_small(&choices, size);
        hostile_change(bytes + at, size - at);
    }
    write_at(file, bytes, size, 0);
    close(file);
    bool right = run(path, &status);
    unlink(path);
    return right;
}

/* ---- the subject ---- */

/* Starts the subject, which lives until this process ends, and reads where its blocks are. */
static void start_subject(void)
{
    int input[2], output[2];
    char line[256];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0)
        err(EXIT_FAILURE, "pipe2");
    own_id = getpid();
    hostile.subject = fork();
    if (hostile.subject < 0)
        err(EXIT_FAILURE, "fork");
    if (hostile.subject == 0) {
        dup2(input[0], STDIN_FILENO);
        dup2(output[1], STDOUT_FILENO);
        execl(subject, subject, "quiet", (char *)NULL);
        err(EXIT_FAILURE, "%s", subject);
    }
    close(input[0]);
    close(output[1]);
    FILE *lines = fdopen(output[0], "r");
    while (lines != NULL && fgets(line, sizeof(line), lines) != NULL)
        if (sscanf(line, "block 0x%" SCNx64 " freed 0x%*x large 0x%" SCNx64, &block, &large) == 2)
            return;
    errx(EXIT_FAILURE, "%s does not begin", subject);
}

/* ---- all ---- */

/* Runs once on what is not changed; the reads are noted. False if it cannot be read. */
static bool note_reads(const char *what)
{
    int status;
    notes->count = 0;
    hostile.notes_reads = true;
    bool right = run(what, &status);
    hostile.notes_reads = false;
    return right && status == EXIT_SUCCESS;
}

struct request {
    uint64_t seed, cases;
    time_t seconds;
    const char *core;
};

static struct request read_command_line(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},
        {"cases", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct request request = {.seed = 1, .cases = UINT64_MAX, .seconds = 60};
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 's')
            request.seconds = (time_t)strtoul(optarg, NULL, 10);
        else if (letter == 'r')
            request.seed = strtoull(optarg, NULL, 10);
        else if (letter == 'c')
            request.cases = strtoull(optarg, NULL, 10);
        else
            exit(2);
    }
    if (optind == argc || argc - optind > 2)
        errx(2, "usage: fuzz --seconds N --seed N [--cases N] SUBJECT [CORE]");
    subject = argv[optind];
    request.core = argv[optind + 1];
    return request;
}

static time_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Plays a case of the core, or of the process. */
static bool play(const char *process, const char *path, int core, off_t core_size)
{
    int status;
    hostile.change_one_in = hostile.left_alone = 0;
    if (core >= 0 && (process == NULL || random_below(&choices, 2) == 0))
        return random_below(&choices, 8) == 0 ? play_cut_core(core, core_size)
                                              : play_changed_core(path, core, core_size);
    hostile.change_one_in = (size_t)1 << random_below(&choices, 11);
    return run(process, &status);
}

int main(int argc, char **argv)
{
    struct request request = read_command_line(argc, argv);
    char id[16];
    const char *process = id;
    int core = -1;
    off_t core_size = 0;
    notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (notes == MAP_FAILED)
        err(EXIT_FAILURE, "mmap");
    start_subject();
    atexit(end_subject);
    snprintf(id, sizeof(id), "%d", (int)hostile.subject);
    if (!note_reads(process)) {
        puts("no right to read a process: cores alone");
        process = NULL;
    }
    if (request.core != NULL) {
        core = open(request.core, O_RDWR | O_CLOEXEC);
        core_size = core >= 0 ? lseek(core, 0, SEEK_END) : 0;
        if (core < 0 || core_size < HEAD || !note_reads(request.core))
            errx(EXIT_FAILURE, "%s is no core of %s", request.core, subject);
    }
    if (process == NULL && core < 0) {
        puts("there is nothing to feed");
        return 77;
    }
    time_t end = now() + request.seconds;
    uint64_t i = 0;
    printf("seed %" PRIu64 "\n", request.seed);
    fflush(stdout);
    for (; i < request.cases && now() < end; i++) {
        choices.state = random_mix(request.seed + i);
        if (play(process, request.core, core, core_size))
            continue;
        printf("found by seed %" PRIu64 "; again: --seed %" PRIu64 " --cases 1\n", request.seed + i,
               request.seed + i);
        return EXIT_FAILURE;
    }
    if (waitpid(hostile.subject, NULL, WNOHANG) != 0)
        errx(EXIT_FAILURE, "%s has ended meanwhile: no process was read", subject);
    printf("%" PRIu64 " cases, nothing found\n", i);
    return EXIT_SUCCESS;
}
