/*
 * Fork: see fork.h. The parent has nothing to do but note, in a word of the forking thread, which
 * generation it is in. In the child the fork generation is counted up; locks and arenas of threads
 * that do not exist there are recognised by their older generation when somebody next comes across
 * them.
 */
#include "fork.h"

#include "lock.h"

#include <pthread.h>

void fork_install(void)
{
    /* where it fails (no memory) the page that is wiped on fork still tells */
    (void)pthread_atfork(lock_about_to_fork, NULL, lock_forked);
}
