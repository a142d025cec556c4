/*
 * The system calls of each mode are those that doc/loading.md lists, no more and no fewer. Each
 * case is run in a process of its own, under a filter that notes the library's calls, told apart
 * from libc's by the address of their instruction, and once more under one that kills the process
 * for any call that the document does not have for the case. A call that no case makes is one too
 * many in the document.
 *
 *   calls [DOCUMENT]
 *   calls --run CASE      (the process of a case)
 */
#include "check.h"

#include "intercept.h"
#include "plan.h"
#include "scenarios.h"
#include "shadow.h"

#include <acre/acre.h>
#include <malloc.h>
#include <signal.h>
#include <sys/syscall.h>

enum { UNSUPPORTED = 78 }; /* exit status of a process whose calls could not be caught */

/* ---- names ---- */

#define CALL(name)                                                                                 \
    {                                                                                              \
        SYS_##name, #name                                                                          \
    }

static const struct {
    unsigned number;
    const char *name;
} names[] = {
    CALL(mmap),          CALL(munmap),         CALL(mprotect),     CALL(mremap),     CALL(madvise),
    CALL(mincore),       CALL(getrandom),      CALL(personality),  CALL(prlimit64),  CALL(futex),
    CALL(clock_gettime), CALL(prctl),          CALL(openat),       CALL(read),       CALL(write),
    CALL(close),         CALL(fcntl),          CALL(newfstatat),   CALL(unlinkat),   CALL(renameat),
    CALL(getpid),        CALL(gettid),         CALL(geteuid),      CALL(readlinkat), CALL(tgkill),
    CALL(exit_group),    CALL(rt_sigprocmask), CALL(rt_sigaction),
};

static const char *name_of(unsigned number)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].number == number)
            return names[i].name;
    return "a call that no row has";
}

/* ---- what is done ---- */

static const struct scenario *const tables[] = {scenarios_alone, scenarios_together};

#include "find_scenario.h"

/* Those of each process: all that is done without an option. */
static void run_plain(void)
{
    const struct scenario *scenario;
    for (size_t i = 0; (scenario = scenario_at(i)) != NULL; i++)
        if (scenario->options == NULL)
            in_child(scenario->run); /* each begins without blocks */
}

static void run_few(void)
{
    find_scenario("few")->run();
    find_scenario("ticks")->run();
    find_scenario("children")->run();
}

static void run_statistics(void)
{
    find_scenario("statistics")->run();
}

static void run_background(void)
{
    find_scenario("background")->run();
}

static void run_file(void)
{
    char decay[32];
    CHECK(acre_option_get("decay", decay, sizeof(decay)) == 0);
    CHECK(strcmp(decay, "1234") == 0); /* the file was read */
    run_few();
}

/* A double free. */
static void misuse(void)
{
    void *block = hide(malloc(100)), *other = hide(malloc(2 * CHECK_MIB));
    for (int i = 0; i < 2; i++) {
        free(hide(block));
        free(hide(other));
    }
}

/* Also where the program ignores the signal. */
static void run_misuse_that_ends(void)
{
    for (int ignored = 0; ignored < 2; ignored++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGABRT, ignored ? SIG_IGN : SIG_DFL);
            misuse();
        }
        int status = wait_for(child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static const struct call_case {
    const char *name;
    const char *options; /* ACRE_OPTIONS; "": none */
    void (*run)(void);
    const char *rows; /* of the document, beside "each process", between commas */
} cases[] = {
    {"plain", "", run_plain, ""},
    {"huge_pages", "huge_pages:always", run_plain, ""},
    {"no_stock", "decay:0,large_stock:0,dirty_limit:0", run_plain, ""},
    {"file", "", run_file, "`acre.conf`"},
    {"file_of_another", "", run_few, "`acre.conf`,a warning"},
    {"hardened", "hardened:1", run_plain, "`hardened:1`"},
    {"limit", "limit:4G", run_few, ""},
    {"limit_group", "limit:cgroup", run_few, "`limit:cgroup`"},
    {"profile", "profile:4K", run_few, "`profile` `trace`"},
    {"trace", "trace:1000", run_few, "`profile` `trace`"},
    {"statistics", "stats:exit,stats_seconds:3,stats_signal:12", run_statistics,
     "statistics,`stats:exit`,`stats_file`,`stats_signal`"},
    {"background", "background_thread:1,decay:20", run_background, "`background_thread:1`"},
    {"misuse", "on_error:report", misuse, "a misuse"},
    {"misuse_ignored", "on_error:ignore", misuse, ""},
    {"misuse_that_ends", "", run_misuse_that_ends, "a misuse,a misuse that ends the process"},
};

/* In the process of a case. */
static int run_case(const char *name)
{
    if (!intercept_is_on())
        _exit(UNSUPPORTED);
    check_begin();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (strcmp(cases[i].name, name) == 0) {
            cases[i].run();
            shadow_free_from(0, 1);
            malloc_trim(0);
            return 0;
        }
    return 2;
}

/* ---- the document ---- */

static char document[1 << 16];
static bool is_made[PLAN_SYSTEM_CALLS]; /* by a case whose rows have it */

/* The row of the table that a line is: its first cell, and where its second begins. */
static bool is_row(const char *line, size_t *key_length, const char **list)
{
    const char *end = strchr(line, '\n'), *second = strstr(line, " | ");
    if (strncmp(line, "| ", 2) != 0 || second == NULL || end == NULL || second > end)
        return false;
    *key_length = (size_t)(second - line) - 2;
    *list = second + 3;
    return true;
}

/* Calls visit for each call of each row with that key. Returns how many rows have it. */
static size_t for_each_call(const char *key, size_t length, void (*visit)(unsigned))
{
    size_t rows = 0;
    for (const char *line = document; line != NULL && line[0] != '\0';
         line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL) {
        const char *list;
        size_t key_length;
        if (!is_row(line, &key_length, &list) || key_length != length ||
            strncmp(line + 2, key, length) != 0)
            continue;
        rows++;
        const char *end = strchr(list, '|');
        CHECK(end != NULL);
        while (list < end) {
            size_t used = strcspn(list, ", |"), i = 0;
            if (strncmp(list, "- ", 2) == 0) /* none of the library's own */
                break;
            while (i < COUNT_OF(names) &&
                   (strlen(names[i].name) != used || strncmp(names[i].name, list, used) != 0))
                i++;
            if (i == COUNT_OF(names)) {
                fprintf(stderr, "%.*s: no name of a call\n", (int)used, list);
                exit(1);
            }
            visit(names[i].number);
            list += used + strspn(list + used, ", ");
        }
    }
    return rows;
}

static void allow(unsigned number)
{
    plan->allowed[number] = true;
}

static void allow_rows(const struct call_case *test)
{
    static const char each[] = "each process", file[] = "`acre.conf`";
    memset(plan->allowed, 0, sizeof(plan->allowed));
    CHECK(for_each_call(each, strlen(each), allow) > 1);
    if (access("/etc/acre.conf", F_OK) == 0)
        CHECK(for_each_call(file, strlen(file), allow) == 1);
    for (const char *key = test->rows; *key != '\0'; key += strspn(key, ",")) {
        size_t length = strcspn(key, ",");
        if (for_each_call(key, length, allow) == 0) {
            fprintf(stderr, "the document has no row %.*s\n", (int)length, key);
            exit(1);
        }
        key += length;
    }
}

static unsigned unmade;

static void look_whether_made(unsigned number)
{
    if (is_made[number])
        return;
    fprintf(stderr, "%s is listed, and no case makes it\n", name_of(number));
    is_made[number] = true;
    unmade++;
}

static const char *table_begin(void)
{
    const char *begin = strstr(document, "\n## Sandboxes and limits\n");
    CHECK(begin != NULL);
    return begin;
}

/* Leaves the table of system calls alone in `document`. */
static void read_document(const char *path)
{
    CHECK(read_file(path, document, sizeof(document)) < sizeof(document) - 1);
    const char *begin = strstr(table_begin(), "\n| ");
    CHECK(begin != NULL);
    const char *end = strstr(begin, "\n\n");
    CHECK(end != NULL);
    size_t size = (size_t)(end - begin);
    memmove(document, begin + 1, size);
    document[size] = '\0';
}

/* ---- the driver ---- */

static char directory[] = "/tmp/acre-calls-XXXXXX";

static void path_in_directory(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", directory, name);
}

static void make_files(void)
{
    char path[64];
    CHECK(mkdtemp(directory) != NULL);
    path_in_directory(path, sizeof(path), "stats");
    CHECK(setenv("ACRE_FAULTS_FILE", path, 1) == 0);
    path_in_directory(path, sizeof(path), "acre.conf");
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(file >= 0 && write(file, "decay:1234\n[x]\n", 15) == 15 && close(file) == 0);
}

/* Root's file becomes another user's: root's own is obeyed whoever the user is. */
static void give_file_away(void)
{
    enum { NOBODY = 65534 };
    char path[64];
    path_in_directory(path, sizeof(path), "acre.conf");
    CHECK(geteuid() != 0 || chown(path, NOBODY, NOBODY) == 0);
}

/* Starts the process of a case. Its status. */
static int run_process(const struct call_case *test, bool confined)
{
    plan->confined = confined;
    plan->clock = 100 * 1000;
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {program_invocation_short_name, (char *)(uintptr_t) "--run",
                             (char *)(uintptr_t)test->name, NULL};
        setenv("ACRE_OPTIONS", test->options, 1);
        setenv("XDG_CONFIG_HOME", strncmp(test->name, "file", 4) == 0 ? directory : "", 1);
        setenv("HOME", "", 1);
        if (strcmp(test->name, "file_of_another") == 0)
            give_file_away();
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    return wait_for(child);
}

/* False if a case makes other calls than are listed. */
static bool try_case(const struct call_case *test)
{
    bool right = true;
    allow_rows(test);
    memset(plan->seen, 0, sizeof(plan->seen));
    int status = run_process(test, false);
    if (WIFEXITED(status) && WEXITSTATUS(status) == UNSUPPORTED)
        check_skip("the system does not let a program filter its system calls");
    CHECK(status == 0);
    for (unsigned i = 0; i < PLAN_SYSTEM_CALLS; i++) {
        if (plan->seen[i] != 0 && !plan->allowed[i]) {
            fprintf(stderr, "%s: %s (%u) is made, and not listed\n", test->name, name_of(i), i);
            right = false;
        }
        is_made[i] |= plan->seen[i] != 0 && plan->allowed[i];
    }
    if (right && run_process(test, true) != 0) {
        fprintf(stderr, "%s: killed, or fails, with the listed calls alone\n", test->name);
        right = false;
    }
    return right;
}

/* The filter kills: for a call that is not listed. */
static void check_that_it_kills(void)
{
    allow_rows(&cases[0]);
    plan->allowed[SYS_madvise] = false;
    int status = run_process(&cases[0], true);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

int main(int count, char **arguments)
{
    unsigned bad = 0;
    if (count == 3 && strcmp(arguments[1], "--run") == 0)
        return run_case(arguments[2]);
    read_document(count == 2 ? arguments[1] : ACRE_LOADING_MD);
    intercept_make_plan();
    make_files();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool right = try_case(&cases[i]);
        printf("%-18s %s\n", cases[i].name, right ? "ok" : "FAILED");
        bad += !right;
    }
    if (bad == 0)
        check_that_it_kills();
    for (size_t i = 0; bad == 0 && i < COUNT_OF(cases); i++) {
        allow_rows(&cases[i]);
        for (unsigned call = 0; call < PLAN_SYSTEM_CALLS; call++)
            if (plan->allowed[call])
                look_whether_made(call);
    }
    scenarios_remove_files(directory);
    return bad == 0 && unmade == 0 ? 0 : 1;
}
