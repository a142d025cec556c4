/* Threads with static stacks: see crew.h. */
#include "check.h"

#include "crew.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

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

/* True if a thread sleeps, or is not there any more. */
static bool sleeps(const char *id)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%s/stat", id);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return true;
    if (read(file, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    close(file);
    const char *behind_name = strrchr(text, ')');
    return behind_name == NULL || behind_name[2] == 'S';
}

static bool others_sleep(void)
{
    bool all = true;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks))
        if (task->d_name[0] != '.' && atoi(task->d_name) != gettid())
            all = all && sleeps(task->d_name);
    closedir(tasks);
    return all;
}

void crew_wait_for_others(void)
{
    while (!others_sleep())
        sched_yield();
}

void crew_sleep_for_ever(void)
{
    for (;;)
        pause();
}
