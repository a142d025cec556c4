/*
 * Processes that are killed as they fork: again and again one forks as fast as it can until it is
 * killed. Its children end at once, so all of them must have ended soon after. Exits with 7.
 */
#include "check.h"

#include <poll.h>
#include <signal.h>

enum { TIMES = 300, LONGEST_US = 3000, WAIT_MS = 60000 };

static void fork_for_ever(void)
{
    signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
    for (;;)
        if (fork() == 0)
            _exit(0);
}

int main(void)
{
    for (int i = 0; i < TIMES; i++) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        pid_t forks = fork();
        CHECK(forks >= 0);
        if (forks == 0)
            fork_for_ever();
        close(ends[1]);
        usleep((useconds_t)(i * 7919 % LONGEST_US));
        CHECK(kill(forks, SIGKILL) == 0);
        CHECK(waitpid(forks, NULL, 0) == forks);
        /* the pipe ends once no process has its other end */
        struct pollfd end = {.fd = ends[0]};
        CHECK(poll(&end, 1, WAIT_MS) == 1);
        close(ends[0]);
    }
    return 7;
}
