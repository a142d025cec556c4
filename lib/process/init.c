/* Starting up and ending: see init.h. */
#include "process/init.h"

#include "arena/arena.h"
#include "arena/background.h"
#include "base/fork.h"
#include "base/limit.h"
#include "base/option.h"
#include "base/os.h"
#include "base/report.h"
#include "inspect/root.h"
#include "modes/guard.h"
#include "modes/hardened.h"
#include "modes/profile.h"
#include "modes/trace.h"
#include "paths/free.h"
#include "paths/mismatch.h"
#include "process/stats_file.h"
#include "arena/thread.h"

#include <pthread.h>

void init_start(char *const *environment)
{
    fork_begin(arena_forked);
    root_start();
    report_start();
    option_read_files(environment);
    option_parse_environment(environment);
    stats_file_start();
    trace_start();
    guard_start();
    hardened_start(free_report_damage);
    mismatch_start();
    limit_tick(os_now_ms());
    profile_tick();
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
    stats_file_end();
}
