/* Threads with static stacks: see crew.h. */
#include "check.h"

#include "crew.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    STACKS = 16,
    STACK_SIZE = 256 << 10, /* bytes; sanitizers and debug builds included */
};

static char stacks[STACKS][STACK_SIZE] __attribute__((aligned(4096)));
static size_t next;           /* stack */
static size_t taken = STACKS; /* the survivor's stack; STACKS: none of these */

pthread_t crew_start(void *(*start)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (next == taken)
        next++;
    CHECK(next < STACKS);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stacks[next++], STACK_SIZE) == 0);
    CHECK(pthread_create(&thread, &attributes, start, argument) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

void crew_survived(void)
{
    size_t offset = (size_t)((char *)__builtin_frame_address(0) - stacks[0]);
    taken = offset < sizeof(stacks) ? offset / STACK_SIZE : STACKS;
    next = 0;
}

size_t crew_threads(void)
{
    struct stat tasks;
    CHECK(stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 2);
    return tasks.st_nlink - 2; /* links from above and from itself */
}

/*
 * True if a thread sleeps at its place, or is not there any more. What the system says of a
 * thread's call it says of one that is off the processor there; of any other it says "running".
 *
 * A place is a futex that is waited for while it is 0 or 1: the two of the library's own thread,
 * and semaphores. A lock that is waited for is neither: it holds an address in the library, 2 in
 * libc.
 */
static bool is_at_its_place(const char *id)
{
    char path[64], text[256] = "";
    long call;
    unsigned long expected; /* of 32 bits */
    snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", id);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        /* a thread that ends has no memory, and its files are root's */
        CHECK(errno == ENOENT || errno == EACCES);
        return true;
    }
    ssize_t length = read(file, text, sizeof(text) - 1);
    CHECK(length > 0 || errno == ESRCH);
    close(file);
    if (length < 0)
        return true;
    /* the call's number and its arguments: word, operation, expected value */
    return sscanf(text, "%ld %*x %*x %lx", &call, &expected) == 2 && call == SYS_futex &&
           (uint32_t)expected <= 1;
}

static bool others_are_at_their_places(void)
{
    bool all = true;
    CHECK(access("/proc/self/syscall", R_OK) == 0); /* else none of them would be there */
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks))
        if (task->d_name[0] != '.' && atoi(task->d_name) != gettid())
            all = all && is_at_its_place(task->d_name);
    closedir(tasks);
    return all;
}

void crew_wait_for_others(void)
{
    while (!others_are_at_their_places())
        sched_yield();
}
