/* The threads that are traced, and what is known of each. */
#ifndef ACRE_TOOLS_TRACEES_H
#define ACRE_TOOLS_TRACEES_H

#include "leaks.h"

#include <sys/types.h>

struct tracee {
    pid_t id, process;
    bool reported;  /* the thread that made it has stopped to report it: it may run */
    bool waits;     /* it is stopped until it is reported */
    bool shares;    /* its process shares the memory of the process that made it (vfork) */
    bool ended;     /* it has stopped at its end */
    bool held;      /* it waits there until the other threads of the process have ended */
    bool has_roots; /* `roots` are set: it ended inside a function, whose registers count */
    struct leaks_thread roots;
};

struct tracees {
    struct tracee *all;
    size_t count;
};

/* The tracee of that id, which is added if it is not known. */
struct tracee *tracees_get(struct tracees *tracees, pid_t id);

void tracees_remove(struct tracees *tracees, pid_t id);

/* Removes the threads of a process but this one. */
void tracees_keep_one(struct tracees *tracees, pid_t process, pid_t id);

/* False if the parent of the process of thread `id` is not traced, or not any more. */
bool tracees_has_maker(const struct tracees *tracees, pid_t id);

/* True if each thread of a process has stopped at its end. */
bool tracees_all_ended(const struct tracees *tracees, pid_t process);

/* What the threads of a process had at their ends; allocated. */
struct leaks_thread *tracees_roots(const struct tracees *tracees, pid_t process, size_t *count);

/* Reads the registers of a tracee that is stopped at its end: the number of the system call that it
 * was in, and what leads to blocks. -1: they cannot be read. */
long tracee_read_registers(pid_t id, struct leaks_thread *roots);

#endif
