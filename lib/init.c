/* Starting up and ending: see init.h. */
#include "init.h"

#include "arena.h"
#include "background.h"
#include "fork.h"
#include "lock.h"
#include "option.h"
#include "os.h"
#include "out.h"
#include "stats.h"

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
