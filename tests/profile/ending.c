/*
 * Threads that end as their process does: again and again a child whose threads are at their ends
 * calls exit. Exits with 7.
 */
#include "check.h"

#include <sys/wait.h>

enum { TIMES = 30, THREADS = 200 };

static void *end(void *unused)
{
    return unused;
}

static void live_as_child(void)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end, NULL) == 0);
        CHECK(i % 3 == 0 ? pthread_detach(thread) == 0 : pthread_join(thread, NULL) == 0);
    }
    exit(0);
}

int main(void)
{
    for (int i = 0; i < TIMES; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            live_as_child();
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    return 7;
}
