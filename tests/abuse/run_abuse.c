/*
 * Runs every misuse program, each in a process of its own, and checks that it dies by SIGABRT with
 * exactly the line on standard error that names its fault. What the line must contain (the pointer,
 * the block and its size) the programs print before the misuse; the words come from the tables
 * here.
 */
#include "misuse.h"

#include <inttypes.h>
#include <libgen.h>
#include <regex.h>
#include <signal.h>
#include <sys/resource.h>

enum {
    MOST_WORDS = 8,
    FACTS = 256,     /* characters of standard output */
    LINES = 1 << 21, /* characters of standard error */
    PATTERN = 512,   /* characters of a regular expression */
    RACE_ROUNDS = 1000,
    HANG_SECONDS = 120,
};

/* How a process ended and what it printed. */
struct outcome {
    pid_t process;
    int status; /* of waitpid */
    char facts[FACTS];
    char lines[LINES];   /* of standard error, without ... */
    char details[LINES]; /* ... those that follow the first line of a report */
};

static char *programs; /* the directory of the misuse programs */
static unsigned runs, failures;

#define NAME(word, call, reported) {#word, reported},
static const struct {
    const char *word, *reported;
} functions[] = {MISUSE_FUNCTIONS(NAME)};
enum { FUNCTIONS = COUNT_OF(functions) };

/* What a call with a block that was freed is called. */
static const char *fault_of_freed(const char *reported)
{
    bool uses = strncmp(reported, "realloc", 7) == 0 || strcmp(reported, "malloc_usable_size") == 0;
    return uses ? "use after free" : "double free";
}

/* The block sizes, how a report ends that names the class, and bytes (misuse.c). */
static const struct {
    const char *word, *class;
    size_t bytes;
} sizes[] = {
    {"tiny", "TINY, arena [1-9][0-9]*", 48},
    {"small", "SMALL, arena [1-9][0-9]*", 5000},
    {"big", "SMALL, arena [1-9][0-9]*", 300000},
    {"large", "LARGE", 3000000},
};
enum { SIZES = COUNT_OF(sizes) };

static void run_child(const char *const *words, const char *options, int out, int err)
{
    struct rlimit no_core = {0, 0};
    char *arguments[MOST_WORDS + 1] = {NULL}, *path = NULL;
    for (size_t i = 0; words[i] != NULL && i < MOST_WORDS; i++)
        arguments[i] = (char *)(uintptr_t)words[i];
    if (asprintf(&path, "%s/%s", programs, words[0]) < 0)
        _exit(126);
    arguments[0] = path; /* reports name the part after its last slash */
    setrlimit(RLIMIT_CORE, &no_core);
    setenv("ACRE_OPTIONS", options, 1);
    alarm(HANG_SECONDS);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(path, arguments);
    _exit(127);
}

/* Puts the details, the lines that begin with two blanks after "[PID]: ", apart. */
static void split_lines(struct outcome *outcome)
{
    char *lines = outcome->lines, *details = outcome->details;
    for (char *line = outcome->lines, *next; *line != '\0'; line = next) {
        char *start = strstr(line, "]: ");
        next = strchrnul(line, '\n');
        next += *next == '\n';
        char **to = start != NULL && start < next && start[3] == ' ' ? &details : &lines;
        memmove(*to, line, (size_t)(next - line));
        *to += next - line;
    }
    *lines = *details = '\0';
}

/* Runs a misuse program and waits for it. Facts are few, so reading one pipe first cannot block. */
static void run(const char *const *words, const char *options, struct outcome *outcome)
{
    int out[2], err[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0)
        run_child(words, options, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    read_all(err[0], outcome->lines, LINES);
    read_all(out[0], outcome->facts, FACTS);
    outcome->status = wait_for(child);
    split_lines(outcome);
    outcome->process = child;
    runs++;
}

/* Says which run went wrong, and how. */
static void fail(const char *const *words, const struct outcome *outcome, const char *expected)
{
    failures++;
    printf("failed:");
    for (size_t i = 0; words[i] != NULL; i++)
        printf(" %s", words[i]);
    printf("\n  expected: %s\n  status:   %s %d\n  printed:  %.600s\n", expected,
           WIFSIGNALED(outcome->status) ? "signal" : "exit",
           WIFSIGNALED(outcome->status) ? WTERMSIG(outcome->status) : WEXITSTATUS(outcome->status),
           outcome->lines);
    fflush(stdout); /* at once, or the processes' lines would mingle */
}

static bool matches(const char *text, const char *pattern)
{
    regex_t expression;
    CHECK(regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    bool found = regexec(&expression, text, 0, NULL, 0) == 0;
    regfree(&expression);
    return found;
}

/*
 * The details: neighbours, only if the block may be known; the thread, and in its stack first the
 * program, which made the call, and at the end the C library, which started the thread. Nothing is
 * said of the library's own functions.
 */
static void expect_details(const char *const *words, const struct outcome *outcome, bool known)
{
    char pattern[PATTERN];
    snprintf(pattern, sizeof(pattern),
             "^(acre: %1$s\\[%2$d\\]:   (before|after) it: block 0x[0-9a-f]+ of [0-9]+ bytes, "
             "(live|free)[a-z ]*\n)%3$s"
             "acre: %1$s\\[%2$d\\]:   called by thread [0-9]+ \\(%1$s\\) at\n"
             "acre: %1$s\\[%2$d\\]:     #0 0x[0-9a-f]+ [^ ]*/%1$s\\+0x[0-9a-f]+\n"
             "(acre: %1$s\\[%2$d\\]:     #[0-9]+ 0x[0-9a-f]+ [^ ]+\\+0x[0-9a-f]+( "
             "\\(.*\\+0x.*\\))?\n)+$",
             words[0], (int)outcome->process, known ? "{0,2}" : "{0}");
    if (!matches(outcome->details, pattern) || strstr(outcome->details, "libacre.so") != NULL) {
        printf("details: %s", outcome->details);
        fail(words, outcome, pattern);
    }
}

/*
 * Runs a misuse that must be fatal. After "acre: PROGRAM[PID]: " the line must be
 * "FAULT: FUNCTION(POINTER): " and then `tail`, in which %b and %s stand for the block and its
 * size; `tail` is an extended regular expression. So is `history`, of the details; NULL: as
 * expect_details.
 */
static void expect_abort_with(const char *options, const char *const *words, const char *fault,
                              const char *reported, const char *tail, const char *history)
{
    static struct outcome outcome;
    char pattern[PATTERN], block[32], size[32];
    uintmax_t pointer = 0, block_address = 0, block_size = 0;
    run(words, options, &outcome);
    if (sscanf(outcome.facts, "%jx %jx %ju", &pointer, &block_address, &block_size) != 3) {
        fail(words, &outcome, "facts on standard output");
        return;
    }
    snprintf(block, sizeof(block), "%#jx", block_address);
    snprintf(size, sizeof(size), "%ju", block_size);
    int used = snprintf(pattern, sizeof(pattern), "^acre: %s\\[%d\\]: %s: %s\\(%#jx\\): ", words[0],
                        (int)outcome.process, fault, reported, pointer);
    for (const char *next = tail; *next != '\0' && used < PATTERN - 40; next++) {
        const char *value = next[0] != '%' ? NULL : next[1] == 'b' ? block : size;
        if (value == NULL) {
            pattern[used++] = *next;
            continue;
        }
        used += snprintf(pattern + used, sizeof(pattern) - (size_t)used, "%s", value);
        next++;
    }
    snprintf(pattern + used, sizeof(pattern) - (size_t)used, "\n$");
    if (!WIFSIGNALED(outcome.status) || WTERMSIG(outcome.status) != SIGABRT ||
        !matches(outcome.lines, pattern))
        fail(words, &outcome, pattern);
    if (history == NULL)
        expect_details(words, &outcome, block_address != 0);
    else if (!matches(outcome.details, history))
        fail(words, &outcome, history);
}

static void expect_abort(const char *const *words, const char *fault, const char *reported,
                         const char *tail)
{
    expect_abort_with("", words, fault, reported, tail, NULL);
}

/* The end of the line after each history. Where the block's memory was given back or served other
 * blocks meanwhile, that it was released may be all that can be said. */
static void double_tail(size_t size, const char *history, char *tail)
{
    static const char gone[] = "the block was released";
    bool is_large = strcmp(sizes[size].word, "large") == 0;
    bool has_own_run = strcmp(sizes[size].word, "big") == 0;
    if (strcmp(history, "between") == 0 && is_large)
        snprintf(tail, PATTERN, "(block %%b of [0-9]+ bytes, LARGE|%s)", gone);
    else if (strcmp(history, "between") == 0 || strcmp(history, "released") == 0 || has_own_run)
        snprintf(tail, PATTERN, "(block %%b of %%s bytes, %s|%s)", sizes[size].class, gone);
    else
        snprintf(tail, PATTERN, "block %%b of %%s bytes, %s", sizes[size].class);
}

static const char *const callers[] = {"same", "other"};

static void test_double(void)
{
    static const char *const histories[] = {"fresh", "full", "between", "released"};
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t c = 0; c < 4; c++)
                for (size_t h = 0; h < COUNT_OF(histories); h++) {
                    char tail[PATTERN];
                    const char *words[] = {
                        "double",       functions[f].word, sizes[s].word, callers[c / 2],
                        callers[c % 2], histories[h],      NULL};
                    double_tail(s, histories[h], tail);
                    expect_abort(words, fault_of_freed(functions[f].reported),
                                 functions[f].reported, tail);
                }
}

static void test_interior(void)
{
    static const struct {
        const char *word, *fault;
    } places[] = {
        {"next", "interior pointer"},   {"middle", "interior pointer"},
        {"last", "interior pointer"},   {"odd", "misaligned pointer"},
        {"half", "misaligned pointer"}, {"end", "misaligned pointer"},
    };
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t c = 0; c < 2; c++)
                for (size_t p = 0; p < COUNT_OF(places); p++) {
                    char tail[PATTERN];
                    const char *words[] = {"interior", functions[f].word, sizes[s].word,
                                           callers[c], places[p].word,    NULL};
                    snprintf(tail, sizeof(tail), "block %%b of %%s bytes, %s", sizes[s].class);
                    expect_abort(words, places[p].fault, functions[f].reported, tail);
                }
}

static void test_foreign(void)
{
    static const char *const addresses[] = {
        "stack",
        "thread_stack",
        "code",
        "library_code",
        "string",
        "data",
        "thread_local",
        "mapping",
        "unmapped",
        "break",
        "vdso",
        "heap",
        "inside_mapping",
        "aligned_mapping",
        "header",
        "heap_end",
        "library_data",
        "0x1",                /* not even aligned */
        "0x10",               /* page zero */
        "0x800",              /* page zero */
        "0x7ffffffffff0",     /* the end of the 47-bit addresses */
        "0x800000000000",     /* the first above them: non-canonical with 48 bits */
        "0x1000000000000",    /* the first above 48 bits */
        "0x100000000000000",  /* the first above 56 bits, the widest that kernels give */
        "0x8000000000000000", /* non-canonical */
        "0xffff800000000000", /* the kernel's */
        "0xfffffffffffffff0", /* (void *)-16 */
        "0xffffffffffffffff", /* (void *)-1 */
    };
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t c = 0; c < 2; c++)
            for (size_t a = 0; a < COUNT_OF(addresses); a++) {
                const char *words[] = {"foreign", functions[f].word, callers[c], addresses[a],
                                       NULL};
                expect_abort(words, "foreign pointer", functions[f].reported,
                             "not a block of this allocator");
            }
}

/* How many lines of the outcome there are; -1 if one of them does not match. */
static int count_matching(char *lines, const char *pattern)
{
    int count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!matches(line, pattern))
            return -1;
        count++;
    }
    return count;
}

/*
 * Two frees in the same instant. Where neither is by the owner, and for LARGE, each double free is
 * reported; where one is, it may go unreported, but never do two live blocks overlap.
 */
static void test_race(void)
{
    static const char *const who[] = {"remote", "owner"};
    static struct outcome outcome;
    char pattern[PATTERN];
    for (size_t s = 0; s < SIZES; s++)
        for (size_t w = 0; w < 2; w++) {
            const char *words[] = {"race", sizes[s].word, who[w], NULL};
            bool all = w == 0 || strcmp(sizes[s].word, "large") == 0;
            run(words, "on_error:report", &outcome);
            snprintf(
                pattern, sizeof(pattern),
                "^acre: race\\[%d\\]: double free: free\\(0x[0-9a-f]+\\): ", (int)outcome.process);
            int count = count_matching(outcome.lines, pattern);
            if (!WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0 || count < 0 ||
                count > RACE_ROUNDS || (all && count != RACE_ROUNDS)) {
                printf("reports: %d of %d rounds\n", count, RACE_ROUNDS);
                fail(words, &outcome, all ? "a report in each round" : "at most one in each round");
            }
        }
}

/* Each of on_error and foreign: what is reported, and whether the program goes on. */
static void test_go_on(void)
{
    static const struct {
        const char *options;
        int reports, status; /* -1: ended by SIGABRT */
    } ways[] = {
        {"on_error:report,foreign:report", 4, 0},
        {"on_error:ignore,foreign:report", 1, 0},
        {"on_error:report,foreign:ignore", 3, 0},
        {"on_error:ignore,foreign:ignore", 0, 0},
        {"on_error:report", 4, -1},
        {"on_error:ignore", 1, -1},
        {"foreign:ignore,on_error:abort", 1, -1},
    };
    static struct outcome outcome;
    char pattern[PATTERN];
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t w = 0; w < COUNT_OF(ways); w++) {
                const char *words[] = {"go_on", functions[f].word, sizes[s].word, NULL};
                run(words, ways[w].options, &outcome);
                snprintf(pattern, sizeof(pattern),
                         "^acre: go_on\\[%d\\]: ((double|use after) "
                         "free|(interior|misaligned|foreign) pointer): "
                         "%s\\(0x",
                         (int)outcome.process, functions[f].reported);
                int status = WIFEXITED(outcome.status) ? WEXITSTATUS(outcome.status) : -1;
                if (status != ways[w].status ||
                    count_matching(outcome.lines, pattern) != ways[w].reports) {
                    printf("%s: %d reports and status %d\n", ways[w].options, ways[w].reports,
                           ways[w].status);
                    fail(words, &outcome, pattern);
                }
            }
}

/* The details with the stacks of the calls that have, maybe, freed and allocated the block: each
 * begins in the program. */
#define FRAME(program) "acre: " program "\\[[0-9]+\\]:     #0 0x[0-9a-f]+ [^ ]*/" program "\\+0x"
#define FREED(program) "  freed by thread [0-9]+ at\n" FRAME(program) ".*"
#define HISTORY(program, freed)                                                                    \
    "  called by .*\n" FRAME(program) ".*" freed "  allocated by thread [0-9]+ at\n" FRAME(program)

/* With the trace a double free has the stacks of the first free and of the allocation. */
static void test_trace(void)
{
    static struct outcome outcome;
    static const char pattern[] = HISTORY("double", FREED("double"));
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t c = 0; c < 4; c++) {
                const char *words[] = {
                    "double",       functions[f].word, sizes[s].word, callers[c / 2],
                    callers[c % 2], "fresh",           NULL};
                run(words, "trace:1000", &outcome);
                if (!WIFSIGNALED(outcome.status) || !matches(outcome.details, pattern)) {
                    printf("details: %s", outcome.details);
                    fail(words, &outcome, pattern);
                }
            }
}

/* A guarded block is named as such, and while its slot is not used again a double free of it is
 * exact. Words are those of `double` and `interior`. */
static void test_guarded_misuse(void)
{
    static const char tail[] = "block %b of %s bytes, guarded";
    for (size_t f = 0; f < FUNCTIONS; f++)
        for (size_t c = 0; c < 4; c++) {
            const char *const twice[] = {"double",       functions[f].word, "tiny", callers[c / 2],
                                         callers[c % 2], "fresh",           NULL};
            const char *const inside[] = {"interior",
                                          functions[f].word,
                                          "tiny",
                                          callers[c / 2],
                                          c % 2 == 0 ? "middle" : "odd",
                                          NULL};
            expect_abort_with("guard:1", twice, fault_of_freed(functions[f].reported),
                              functions[f].reported, tail, HISTORY("double", FREED("double")));
            expect_abort_with("guard:1", inside,
                              c % 2 == 0 ? "interior pointer" : "misaligned pointer",
                              functions[f].reported, tail, HISTORY("interior", ""));
        }
}

/* A fault next to a guarded block, or in one that was freed, ends the process by SIGSEGV, with a
 * report; unless a handler of the program's has taken the place of acre's. */
static void test_guarded_fault(void)
{
    static const struct {
        const char *word, *fault, *from;
        bool freed;
    } ways[] = {
        {"overflow", "overflow", "0 bytes after", false},
        {"far", "overflow", "100 bytes after", false},
        {"underflow", "underflow", "1 bytes before", false},
        {"after_free", "use after free", "0 bytes into", true},
        {"resized", "use after free", "0 bytes into", true},
    };
    static const char *const histories[] = {
        "  accessed by .*  allocated by thread [0-9]+ at\n" FRAME("guard"),
        "  accessed by .*" FREED("guard") "  allocated by thread [0-9]+ at\n" FRAME("guard"),
    };
    static const char *const who[] = {"here", "thread", "child", "replaced"};
    static struct outcome outcome;
    char pattern[PATTERN];
    for (size_t w = 0; w < COUNT_OF(ways); w++)
        for (size_t i = 0; i < COUNT_OF(who); i++) {
            const char *words[] = {"guard", ways[w].word, who[i], NULL};
            uintmax_t pointer = 0, block = 0, size = 0;
            run(words, "guard:1", &outcome);
            bool replaced = strcmp(who[i], "replaced") == 0;
            if (sscanf(outcome.facts, "%jx %jx %ju", &pointer, &block, &size) != 3 ||
                !WIFSIGNALED(outcome.status) ||
                WTERMSIG(outcome.status) != (replaced ? SIGUSR1 : SIGSEGV)) {
                fail(words, &outcome, replaced ? "SIGUSR1" : "SIGSEGV");
                continue;
            }
            snprintf(pattern, sizeof(pattern),
                     "^acre: guard\\[[0-9]+\\]: %s: access to %#jx, %s block %#jx of %ju bytes, "
                     "guarded\n$",
                     ways[w].fault, pointer, ways[w].from, block, size);
            if (!matches(outcome.lines, replaced ? "^$" : pattern))
                fail(words, &outcome, replaced ? "nothing" : pattern);
            if (!replaced && !matches(outcome.details, histories[ways[w].freed]))
                fail(words, &outcome, histories[ways[w].freed]);
        }
}

/* What the modes find: writes above what was asked for, and after free. */
static void test_damage(void)
{
    static const char *const modes[] = {"hardened:1", "hardened:1,fill:1", "fill:1"};
    char tail[PATTERN];
    for (size_t m = 0; m < COUNT_OF(modes); m++)
        for (size_t s = 0; strcmp(sizes[s].word, "large") != 0; s++) {
            for (size_t c = 0; c < 2 * FUNCTIONS * COUNT_OF(callers) && m < 2; c++) {
                size_t f = c / 2 / COUNT_OF(callers);
                const char *words[] = {"damage",           c % 2 == 0 ? "above" : "nul",
                                       functions[f].word,  sizes[s].word,
                                       callers[c / 2 % 2], NULL};
                snprintf(tail, sizeof(tail),
                         "block %%b of [0-9]+ bytes, %s, %%s asked for, byte %%s has changed",
                         sizes[s].class);
                if (strcmp(functions[f].word, "malloc_usable_size") != 0)
                    expect_abort_with(modes[m], words, "overflow", functions[f].reported, tail,
                                      NULL);
            }
            /* a larger block is released before it is written to */
            const char *words[] = {"damage", "freed", "free", sizes[s].word, "same", NULL};
            snprintf(tail, sizeof(tail), "block %%b of [0-9]+ bytes, %s, byte [0-9]+ has changed",
                     sizes[s].class);
            if (strcmp(sizes[s].word, "big") != 0)
                expect_abort_with(modes[m], words, "written after free", "(free|malloc)", tail,
                                  NULL);
        }
}

/* At the end of a process or a thread all goes on as before, and a double free is named. */
static void test_at_exit(void)
{
    static const char *const ends[] = {"handler", "quick", "destructor", "after",
                                       "key",     "last",  "meanwhile"};
    static const char *const options[] = {
        "", "hardened:1", "trace:1000", "profile:1K", "limit:1G", "background_thread:1,decay:1"};
    for (size_t e = 0; e < COUNT_OF(ends); e++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t o = 0; o < COUNT_OF(options); o++) {
                const char *words[] = {"at_exit", ends[e], sizes[s].word, NULL};
                char tail[PATTERN];
                /* with hardened the program is told of less than the block has */
                snprintf(tail, sizeof(tail),
                         "(block %%b of [0-9]+ bytes, %s|the block was released)", sizes[s].class);
                expect_abort_with(options[o], words, "double free", "free", tail,
                                  "  called by thread .*\n" FRAME("at_exit"));
            }
}

/* ---- mismatched calls ---- */

/* A family's word is how a report names it. */
static const char malloc_family[] = "malloc", new_family[] = "operator new",
                  array_family[] = "operator new\\[\\]";

static const struct {
    const char *word, *family;
    size_t alignment;
} allocations[] = {
    {"malloc", malloc_family, 16},           {"calloc", malloc_family, 16},
    {"realloc", malloc_family, 16},          {"reallocarray", malloc_family, 16},
    {"aligned_alloc", malloc_family, 64},    {"new", new_family, 16},
    {"new_array", array_family, 16},         {"new_aligned", new_family, 64},
    {"new_array_aligned", array_family, 64},
};

enum { UNTOLD = -1 };

/* The calls of mismatch.c; the size is told as one that differs by so much. */
static const struct {
    const char *word, *family, *reported;
    int alignment, size; /* UNTOLD: none */
} frees[] = {
    {"free", malloc_family, "free", UNTOLD, UNTOLD},
    {"cfree", malloc_family, "cfree", UNTOLD, UNTOLD},
    {"free_sized", malloc_family, "free_sized", 16, 0},
    {"free_wrong_size", malloc_family, "free_sized", 16, 8},
    {"free_aligned", malloc_family, "free_aligned_sized", 64, 0},
    {"free_aligned_wrong_size", malloc_family, "free_aligned_sized", 64, -8},
    {"free_wrong_alignment", malloc_family, "free_aligned_sized", 128, 0},
    {"resize", malloc_family, "realloc", UNTOLD, UNTOLD},
    {"resize_larger", malloc_family, "realloc", UNTOLD, UNTOLD},
    {"resize_to_zero", malloc_family, "realloc", UNTOLD, UNTOLD},
    {"delete", new_family, "operator delete", 16, UNTOLD},
    {"delete_sized", new_family, "operator delete", 16, 0},
    {"delete_wrong_size", new_family, "operator delete", 16, 8},
    {"delete_aligned", new_family, "operator delete", 64, UNTOLD},
    {"delete_wrong_alignment", new_family, "operator delete", 128, UNTOLD},
    {"delete_aligned_sized", new_family, "operator delete", 64, 0},
    {"delete_array", array_family, "operator delete\\[\\]", 16, UNTOLD},
    {"delete_array_sized", array_family, "operator delete\\[\\]", 16, 0},
    {"delete_array_wrong_size", array_family, "operator delete\\[\\]", 16, -8},
    {"delete_array_aligned", array_family, "operator delete\\[\\]", 64, UNTOLD},
    {"delete_array_aligned_wrong_size", array_family, "operator delete\\[\\]", 64, 8},
};

/* With mismatch:report a process must end with 0 and say nothing but, if the call is wrong, what is
 * wrong with it. */
static void try_mismatch(size_t a, size_t f, size_t s, size_t c, const char *options)
{
    static struct outcome outcome;
    const char *words[] = {"mismatch",    allocations[a].word, frees[f].word,
                           sizes[s].word, callers[c],          NULL};
    char pattern[PATTERN] = "^$", wrong[100] = "";
    const char *fault = NULL;
    size_t asked = sizes[s].bytes;
    if (allocations[a].family != frees[f].family) {
        fault = "mismatch";
        snprintf(wrong, sizeof(wrong), "allocated by %s", allocations[a].family);
    } else if (frees[f].alignment != UNTOLD &&
               (size_t)frees[f].alignment != allocations[a].alignment) {
        fault = "wrong alignment";
        snprintf(wrong, sizeof(wrong), "alignment %zu asked for, %d given",
                 allocations[a].alignment, frees[f].alignment);
    } else if (frees[f].size != UNTOLD && frees[f].size != 0) {
        fault = "wrong size";
        snprintf(wrong, sizeof(wrong), "%zu asked for, %zu given", asked,
                 asked + (size_t)frees[f].size);
    }
    run(words, options, &outcome);
    uintmax_t block = 0;
    if (fault != NULL && sscanf(outcome.facts, "%jx", &block) == 1)
        snprintf(pattern, sizeof(pattern),
                 "^acre: mismatch\\[%d\\]: %s: %s\\(%#jx\\): block %#jx of [0-9]+ bytes, %s, %s\n$",
                 (int)outcome.process, fault, frees[f].reported, block, block, sizes[s].class,
                 wrong);
    if (!WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0 ||
        !matches(outcome.lines, pattern))
        fail(words, &outcome, pattern);
}

static void test_mismatch(void)
{
    static const char *const options[] = {"mismatch:report,hardened:1", "mismatch:report,fill:1",
                                          "mismatch:report,profile:1,trace:9",
                                          "mismatch:report,hardened:1,fill:1"};
    size_t way = 0;
    for (size_t a = 0; a < COUNT_OF(allocations); a++)
        for (size_t f = 0; f < COUNT_OF(frees); f++)
            for (size_t s = 0; s < SIZES; s++, way++) {
                try_mismatch(a, f, s, 0, "mismatch:report");
                try_mismatch(a, f, s, 1, options[way % COUNT_OF(options)]);
            }
    /* the other values */
    static struct outcome outcome;
    const char *words[] = {"mismatch", "new", "free", "tiny", "same", NULL};
    expect_abort_with("mismatch:abort", words, "mismatch", "free",
                      "block %b of [0-9]+ bytes, TINY, arena 1, allocated by operator new", ".");
    run(words, "mismatch:ignore", &outcome);
    if (outcome.status != 0 || outcome.lines[0] != '\0')
        fail(words, &outcome, "nothing");
}

/* Blocks of heaps that were destroyed, of other heaps, and heaps that have ended. */
static void test_own_heaps(void)
{
    static const char *const whats[] = {"twice", "destroyed", "reused"};
    char tail[PATTERN];
    for (size_t s = 0; s < SIZES; s++)
        for (size_t c = 0; c < COUNT_OF(callers); c++) {
            for (size_t f = 0; f < FUNCTIONS * COUNT_OF(whats); f++) {
                const char *what = whats[f / FUNCTIONS];
                const char *words[] = {"own_heap",    what,       functions[f % FUNCTIONS].word,
                                       sizes[s].word, callers[c], NULL};
                double_tail(s, strcmp(what, "twice") == 0 ? "fresh" : "between", tail);
                expect_abort(words, fault_of_freed(functions[f % FUNCTIONS].reported),
                             functions[f % FUNCTIONS].reported, tail);
            }
            const char *foreign[] = {"own_heap", "foreign", "no", sizes[s].word, callers[c], NULL};
            const char *ended[] = {"own_heap", "ended", "no", sizes[s].word, callers[c], NULL};
            snprintf(tail, sizeof(tail), "block %%b of %%s bytes, %s", sizes[s].class);
            expect_abort(foreign, "foreign pointer", "acre_heap_free", tail);
            expect_abort(ended, "heap that has ended", "acre_heap_alloc", "it was destroyed");
        }
}

static void (*const tests[])(void) = {test_double,         test_interior,      test_foreign,
                                      test_race,           test_go_on,         test_trace,
                                      test_guarded_misuse, test_guarded_fault, test_damage,
                                      test_own_heaps,      test_at_exit,       test_mismatch};

/* The tests run side by side, each in a process of its own. */
int main(int count, char **words)
{
    int failed = 0, status;
    (void)count;
    programs = dirname(strdup(words[0]));
    for (size_t i = 0; i < COUNT_OF(tests); i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            tests[i]();
            if (failures != 0)
                printf("%u of %u misuses went wrong\n", failures, runs);
            exit(failures == 0 ? 0 : 1);
        }
    }
    while (wait(&status) > 0)
        failed |= status;
    return failed == 0 ? 0 : 1;
}
