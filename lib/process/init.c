/* Starting up and ending: see init.h. */
#include "process/init.h"

#include "arena/arena.h"
#include "arena/background.h"
#include "base/fork.h"
#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "inspect/root.h"
#include "process/stats.h"
#include "arena/thread.h"

#include <pthread.h>
#include <unistd.h>

/*
 * Where statistics go at exit: a duplicate of standard error (-1: none could be had), which some
 * programs close before destructors run, and what it was of at the start. A program that closes all
 * its descriptors closes the duplicate, too, and may get its number for a file of its own; then
 * stats_file tells. Written once, by init_start.
 */
static int stats_fd = -1;
static struct os_file stats_file;

void init_start(char *const *environment)
{
    fork_begin(arena_forked);
    root_start();
    report_start();
    if (environment != NULL)
        option_parse_environment(environment);
    if (option_value(OPTION_STATS) != STATS_OFF) {
        stats_fd = os_duplicate(STDERR_FILENO);
        stats_file = os_file_of(STDERR_FILENO);
    }
    /* it may fail (no memory): then the first lock notices a fork (fork.h) */
    (void)pthread_atfork(NULL, NULL, fork_child);
    if (!os_in_program_namespace()) {
        /* this libc is not the program's, but both keep the values of keys in the same place of a
         * thread: a key made here would take the place of one of the program's */
        thread_avoid_keys();
        report_warning("loaded by dlmopen: the memory of threads that end is not used again");
    }
    background_start();
}

void init_end(void)
{
    if (option_value(OPTION_STATS) == STATS_OFF)
        return;
    int fd = os_is_of(stats_fd, stats_file) ? stats_fd : STDERR_FILENO;
    struct out out;
    out_to_fd(&out, fd);
    if (os_is_of(fd, stats_file))
        (void)stats_print(&out, ACRE_STATS_TEXT);
}
