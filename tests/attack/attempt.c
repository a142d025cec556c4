/* One attempt: see attempt.h. */
#include "attempt.h"

#include "check.h"
#include "choose.h"
#include "ground.h"
#include "play.h"
#include "reports.h"
#include "threads.h"

#include <acre/acre.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct attempt *attempt;

void attempt_found(enum finding finding, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(attempt->text, FINDING_TEXT, format, list);
    va_end(list);
    attempt->finding = finding;
    _exit(STATUS_FOUND);
}

void attempt_failed(const char *what)
{
    static const char text[] = "search: failed: ";
    ssize_t written = write(STDOUT_FILENO, text, sizeof(text) - 1);
    written += write(STDOUT_FILENO, what, strlen(what));
    written += write(STDOUT_FILENO, "\n", 1);
    (void)written;
    _exit(STATUS_FAILED);
}

/* Sets the options of "key:value,key:value". */
static void set_options(const char *list)
{
    if (acre_options_parse(list, "the option set") != 0)
        attempt_failed("an option is not known");
}

/* Bytes of address space that the process has; read without allocating. */
static size_t mapped_bytes(void)
{
    char text[64] = "";
    int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm < 0 || read(statm, text, sizeof(text) - 1) <= 0)
        attempt_failed("/proc/self/statm");
    close(statm);
    return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

void attempt_limit_address_space(bool limited)
{
    static size_t before; /* bytes that the process had at the first call */
    if (before == 0)
        before = mapped_bytes();
    size_t most = attempt->set->address_space == 0 ? 0 : before + attempt->set->address_space;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0)
        attempt_failed("getrlimit");
    limit.rlim_cur = limited && most != 0 ? most : limit.rlim_max;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        attempt_failed("setrlimit");
}

static void play(struct step *step)
{
    if (!play_is_possible(step))
        return;
    play_step(step);
    check_between_steps();
}

static void play_all(void)
{
    unsigned steps = attempt->mode == MODE_CHOOSE ? choose_temper() : attempt->count;
    threads_begin();
    attempt_limit_address_space(true);
    for (attempt->playing = 0; attempt->playing < steps; attempt->playing++) {
        unsigned number = attempt->playing;
        if (attempt->mode == MODE_CHOOSE) {
            attempt->steps[number] = choose_step(number);
            attempt->count = number + 1;
        }
        play(&attempt->steps[number]);
    }
}

void attempt_play(void)
{
    const struct rlimit no_core = {0, 0};
    alarm(HANG_SECONDS);
    reports_begin();
    set_options("on_error:report,foreign:report");
    set_options(attempt->set->options);
    setrlimit(RLIMIT_CORE, &no_core);
    play_all();
    check_all();
    play_free_rest();
    check_nothing_lost();
    _exit(0);
}
