/* Starting up and ending: see init.h. */
#include "init.h"

#include "arena.h"
#include "background.h"
#include "fork.h"
#include "lock.h"
#include "option.h"
#include "os.h"
#include "out.h"
#include "report.h"
#include "stats.h"
#include "thread.h"

#include <unistd.h>

/*
 * Where statistics go at exit: a duplicate of standard error, which some programs close before
 * destructors run; -1: none. Written once, by init_start.
 */
static int stats_fd = -1;

void init_start(char *const *environment)
{
    lock_on_fork(arena_forked);
    lock_init();
    if (environment != NULL)
        option_parse_environment(environment);
    if (option_value(OPTION_STATS) != STATS_OFF)
        stats_fd = os_duplicate(STDERR_FILENO);
    fork_install();
    if (!os_in_program_namespace()) {
        /* our libc is not the program's, but the place where threads keep the values of keys is: a
         * key of ours would stand in the place of one of the program's */
        thread_avoid_keys();
        report_warning("loaded by dlmopen: the memory of threads that end is not used again");
    }
    background_start();
}

void init_end(void)
{
    background_stop();
    if (option_value(OPTION_STATS) == STATS_OFF)
        return;
    struct out out;
    out_to_fd(&out, stats_fd >= 0 ? stats_fd : STDERR_FILENO);
    stats_print(&out);
    out_end(&out);
}
