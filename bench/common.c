/* What the bench programs share; see common.h. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void die(const char *what)
{
    dprintf(STDERR_FILENO, "bench: %s\n", what);
    _exit(1);
}

void *table_make(size_t bytes)
{
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (table == MAP_FAILED)
        die("no memory for the program's own table");
    return table;
}

void table_free(void *table, size_t bytes)
{
    munmap(table, bytes);
}

/* What one thread of run_threads is to do. */
struct thread_task {
    void (*body)(void *argument, unsigned number);
    void *argument;
    unsigned number;
};

static void *run_task(void *argument)
{
    struct thread_task *task = argument;
    task->body(task->argument, task->number);
    return NULL;
}

void run_threads(unsigned count, void (*body)(void *argument, unsigned number), void *argument)
{
    pthread_t threads[THREADS_MAX];
    struct thread_task tasks[THREADS_MAX];

    if (count == 1) {
        body(argument, 0);
        return;
    }
    if (count > THREADS_MAX)
        die("too many threads");
    for (unsigned i = 0; i < count; i++) {
        tasks[i] = (struct thread_task){body, argument, i};
        if (pthread_create(&threads[i], NULL, run_task, &tasks[i]))
            die("cannot create a thread");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

void report(const char *name, double value, const char *unit)
{
    dprintf(STDOUT_FILENO, "%s %.10g %s\n", name, value, unit);
}

/* The figure in KiB after `key` in a file of lines "Key:  123 kB"; 0 if there is none. */
static size_t proc_figure(const char *path, const char *key)
{
    char text[8192];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof(text) - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *line = strstr(text, key);
    return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

size_t resident_now(void)
{
    /* The roll-up walks the page tables; the counters in "status" lag behind by some pages for each
     * thread, which is much where there are a thousand threads. */
    size_t kib = proc_figure("/proc/self/smaps_rollup", "\nRss:");
    return (kib ? kib : proc_figure("/proc/self/status", "\nVmRSS:")) * KIB;
}

size_t resident_peak(void)
{
    return proc_figure("/proc/self/status", "\nVmHWM:") * KIB;
}

uint64_t parse_count(const char *text)
{
    char *end;
    errno = 0;
    uint64_t count = strtoull(text, &end, 10);
    if (errno || *end || count == 0 || *text == '-')
        die("a number of at least 1 is wanted");
    return count;
}
