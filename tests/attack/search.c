/*
 * A search for what an attacker can make of acre: random sequences of calls by a program that
 * passes any address to free, realloc and malloc_usable_size, frees twice, and writes past its
 * blocks and into freed ones. It knows no code of acre's, only what the program itself has done,
 * and looks for what must never be: a misuse that is not reported exactly once, a report without
 * one, two live blocks that overlap, a block that is lost or whose contents change, figures that
 * are not the program's, memory that stays for ever, a crash. attempt.h has all of it.
 *
 *   search [--seconds N | --count N] [--seed N] [--first N] [--set NAME] [--brief]
 *
 * Each sequence runs in a process of its own, under each option set in turn or the one that is
 * named. A finding is printed with the seed and the sequence's number, made short, and its steps
 * are listed; the same seed, --first and --set repeat it. --brief ends at the first finding and
 * leaves it as it is. The exit status is 1 if there was any.
 */
#include "attempt.h"
#include "ground.h"
#include "shrink.h"

#include <acre/acre.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FINDINGS_MOST = 5, /* then the search ends */
    SEQUENCES = 360,   /* without arguments */
};

static const struct option_set sets[] = {
    {"default", "", 0},
    {"decay-0", "decay:0", 0},
    {"decay-1", "decay:1", 0},
    {"dirty-0", "dirty_limit:0", 0},
    {"stock-0", "large_stock:0", 0},
    {"stock-1G", "large_stock:1G", 0},
    {"nothing-kept", "decay:0,dirty_limit:0,large_stock:0", 0},
    {"huge-never", "huge_pages:never", 0},
    {"huge-system", "huge_pages:system", 0},
    {"huge-always", "huge_pages:always", 0},
    {"background", "background_thread:1,decay:1", 0},
    {"short", "", (size_t)32 << 20},
};
enum { SETS = sizeof(sets) / sizeof(sets[0]) };

static const char *const names[] = {
    [FOUND_NOTHING] = "nothing",
    [FOUND_UNREPORTED] = "a misuse is not reported",
    [FOUND_REPORTED] = "a report too many",
    [FOUND_MISNAMED] = "a report names something else",
    [FOUND_ACTED] = "a misuse has an effect",
    [FOUND_OVERLAP] = "two live blocks overlap",
    [FOUND_OUTSIDE] = "a block in the program's own memory",
    [FOUND_MISALIGNED] = "a block is not aligned",
    [FOUND_REFUSED] = "a request is refused",
    [FOUND_GRANTED] = "a request is granted that cannot be met",
    [FOUND_ERRNO] = "errno is wrong",
    [FOUND_SIZE] = "the usable size is wrong",
    [FOUND_CONTENTS] = "contents have changed",
    [FOUND_NOT_ZERO] = "calloc's bytes are not zero",
    [FOUND_FIGURES] = "the figures are wrong",
    [FOUND_INVALID] = "structures are not valid",
    [FOUND_LOST] = "memory is lost",
    [FOUND_SIGNAL] = "a signal",
};

static const char *const calls[] = {
    [CALL_MALLOC] = "malloc",
    [CALL_CALLOC] = "calloc",
    [CALL_ALIGNED_ALLOC] = "aligned_alloc",
    [CALL_POSIX_MEMALIGN] = "posix_memalign",
    [CALL_MEMALIGN] = "memalign",
    [CALL_REALLOC] = "realloc",
    [CALL_FREE] = "free",
    [CALL_USABLE_SIZE] = "malloc_usable_size",
    [CALL_SWEEP] = "sweep",
    [CALL_FREE_MANY] = "free many",
    [CALL_RACE] = "race",
    [CALL_FLUSH] = "flush",
    [CALL_TRIM] = "trim",
    [CALL_WRITE] = "write",
    [CALL_THREAD_END] = "thread ends",
    [CALL_FORK] = "fork",
    [CALL_SLEEP] = "sleep",
};

static const char *const places[] = {
    [PLACE_NUMBER] = "number", [PLACE_BLOCK] = "block",   [PLACE_UNIT] = "unit of",
    [PLACE_HEAP] = "heap of",  [PLACE_STACK] = "stack",   [PLACE_DATA] = "data",
    [PLACE_CODE] = "code",     [PLACE_MAPPED] = "mapped",
};

static struct {
    unsigned long seconds; /* 0: no limit */
    uint64_t count, first; /* sequences: how many, and the first one's number */
    uint64_t seed;
    const struct option_set *set; /* NULL: each in turn */
    bool brief;
} wanted = {.count = SEQUENCES, .seed = 1};

/* Prints without allocating: the driver must have no block of acre's. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    static char text[2048];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    size_t bytes = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
    if (write(STDOUT_FILENO, text, bytes) < 0)
        _exit(STATUS_FAILED);
}

/* ---- one sequence ---- */

void search_play(void)
{
    int status;
    attempt->finding = FOUND_NOTHING;
    attempt->playing = 0;
    pid_t child = fork();
    if (child < 0)
        attempt_failed("fork");
    if (child == 0)
        attempt_play();
    while (waitpid(child, &status, 0) != child)
        continue;
    if (WIFSIGNALED(status)) {
        attempt->finding = FOUND_SIGNAL;
        snprintf(attempt->text, FINDING_TEXT, "signal %d%s", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ", that is, it hangs" : "");
    } else if (WEXITSTATUS(status) == STATUS_FAILED) {
        _exit(STATUS_FAILED);
    }
}

static void say_steps(void)
{
    for (unsigned i = 0; i < attempt->count; i++) {
        const struct step *step = &attempt->steps[i];
        say("%u: thread %u: %s, place: %s %u.%u %+ld, size %zu, alignment %zu, count %u, keep %u, "
            "byte %u\n",
            step->number, step->thread, calls[step->call], places[step->place.kind],
            step->place.step, step->place.number, (long)step->place.offset, step->size,
            step->alignment, step->count, step->keep, step->byte);
    }
}

static void say_finding(bool repeated)
{
    say("found: %s: %s (step %u of %u)\n", names[attempt->finding], attempt->text,
        attempt->playing + 1, attempt->count);
    say("repeat with: search --seed %llu --first %llu --count 1 --set %s\n",
        (unsigned long long)attempt->seed, (unsigned long long)attempt->sequence,
        attempt->set->name);
    if (!repeated)
        say("played again it did not find it; all of it:\n");
}

/* Prints what was found, and the shortest sequence that finds it. */
static void report(void)
{
    say_finding(true);
    if (wanted.brief)
        return;
    attempt->mode = MODE_REPLAY;
    bool repeated = shrink();
    say_finding(repeated);
    say_steps();
}

/* ---- all of them ---- */

static void read_arguments(int count, char **arguments)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 'r'},
        {"first", required_argument, NULL, 'f'},
        {"set", required_argument, NULL, 'o'},
        {"brief", no_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
        if (option == 's') {
            wanted.seconds = strtoul(optarg, NULL, 10);
            wanted.count = UINT64_MAX;
        } else if (option == 'c') {
            wanted.count = strtoull(optarg, NULL, 10);
        } else if (option == 'r') {
            wanted.seed = strtoull(optarg, NULL, 10);
        } else if (option == 'f') {
            wanted.first = strtoull(optarg, NULL, 10);
        } else if (option == 'b') {
            wanted.brief = true;
        } else if (option == 'o') {
            for (unsigned i = 0; i < SETS; i++)
                if (strcmp(sets[i].name, optarg) == 0)
                    wanted.set = &sets[i];
            if (wanted.set == NULL && strcmp(optarg, "all") != 0)
                attempt_failed("there is no such option set");
        } else {
            _exit(STATUS_FAILED);
        }
    }
}

/* The driver must not have used acre, or its children would not begin with nothing. */
static void check_unused(void)
{
    struct acre_stats stats;
    if (acre_stats(&stats, sizeof(stats)) != 0 || stats.arenas != 0 || stats.large_blocks != 0)
        attempt_failed("the driver has blocks of its own");
}

static void prepare(void)
{
    attempt =
        mmap(NULL, sizeof(*attempt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (attempt == MAP_FAILED)
        _exit(STATUS_FAILED);
    ground_prepare();
    check_unused();
}

int main(int count, char **arguments)
{
    unsigned findings = 0;
    uint64_t played = 0;
    time_t begin = time(NULL);
    prepare();
    read_arguments(count, arguments);
    say("search: seed %llu, from sequence %llu on\n", (unsigned long long)wanted.seed,
        (unsigned long long)wanted.first);
    while (played < wanted.count && findings < (wanted.brief ? 1 : FINDINGS_MOST) &&
           (wanted.seconds == 0 || time(NULL) - begin < (time_t)wanted.seconds)) {
        attempt->seed = wanted.seed;
        attempt->sequence = wanted.first + played;
        attempt->set = wanted.set != NULL ? wanted.set : &sets[attempt->sequence % SETS];
        attempt->mode = MODE_CHOOSE;
        search_play();
        played++;
        if (attempt->finding != FOUND_NOTHING) {
            findings++;
            report();
        }
    }
    say("%llu sequences in %ld s: %zu calls, %zu misuses, %zu refusals, %zu wide blocks; %u "
        "findings\n",
        (unsigned long long)played, (long)(time(NULL) - begin), attempt->calls, attempt->misuses,
        attempt->refusals, attempt->wide_blocks, findings);
    return findings != 0 ? STATUS_FOUND : 0;
}
