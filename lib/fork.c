/*
 * Fork: see fork.h. Parent and prepare have nothing to do. In the child the fork generation is
 * counted up; locks and arenas of threads that do not exist there are recognised by their older
 * generation when somebody next comes across them.
 */
#include "fork.h"

#include "lock.h"

#include <pthread.h>

void fork_install(void)
{
    /* where it fails (no memory) the page that is wiped on fork still tells */
    (void)pthread_atfork(NULL, NULL, lock_forked);
}
