/*
 * The memory of another process, or of a core, as a view (lib/inspect/view.h), and what else is
 * known of the process.
 *
 * A process is read by process.c, a core by core.c. acre is found by its ELF note, through the
 * headers of mapped files as they lie in the memory, so that no file is opened: it works for
 * processes in containers and for files that are gone.
 */
#ifndef ACRE_TOOLS_MEMORY_H
#define ACRE_TOOLS_MEMORY_H

#include "inspect/view.h"

#include <stdint.h>
#include <sys/types.h>

/* A mapping of the process, or a segment of the core. */
struct memory_range {
    uint64_t start, end;
    uint64_t file_offset; /* where it is in the core, or in the mapped file */
    uint64_t in_core;     /* bytes of it that the core has */
    char *path;           /* the mapped file's, NULL if there is none */
    bool compared;        /* its build-id was, if the core has one ... */
    bool other_build;     /* ... and is another */
};

struct memory {
    struct view view; /* for the functions of view.h; `context` is this structure */
    pid_t pid;        /* 0: a core */
    char *name;       /* "process 123" or the core's file name, for messages */
    char program[64]; /* the program's name */
    int program_pid;
    uint64_t root;     /* its address */
    uint64_t resident; /* bytes of the process; 0: unknown */
    int file;          /* /proc/PID/mem, or the core; -1: not open */
    int pagemap;       /* /proc/PID/pagemap; -1: not open */
    bool by_file;      /* process_vm_readv does not work */
    bool own_pages;    /* of a core: mapped files are not read now */
    struct memory_range *ranges;
    size_t range_count, segment_count; /* of a core: its segments, before its mapped files */
    char *window;                      /* what was read at the last prefetch */
    uint64_t window_start;
    size_t window_used, window_size;
    int mapped_file; /* the mapped file that was opened last; -1: none */
    const char *mapped_path;
};

/*
 * Opens the process or the core that `what` names, digits or a path. Says what is wrong on standard
 * error, and exits with status 1, if there is none, it may not be read, or has no acre in it that
 * this program can read.
 */
void memory_open(struct memory *memory, const char *what);

/* True if the process, or the thread, of that id may be read and has acre in it. */
bool memory_has_acre(pid_t id);

/* For memory that was opened by a thread's id: it is that of `process`, whose first thread may have
 * ended. */
void memory_name_process(struct memory *memory, pid_t process);

/* Gets ready to read a process again, as it is now. False if it has ended, or runs another program.
 */
bool memory_reopen(struct memory *memory);

/* Writes to the process. False, with errno set, if that cannot be; always for a core. */
bool memory_write(struct memory *memory, uint64_t address, const void *from, size_t size);

/* The id that the process has in its own namespace; of a core, the id in it. */
int memory_own_id(const struct memory *memory);

/* The name of the thread that has `id` in its own namespace, allocated; NULL: unknown. */
char *memory_thread_name(struct memory *memory, int id);

/* False, after a message, if the process has ended since. */
bool memory_is_alive(struct memory *memory);

void memory_close(struct memory *memory);

/* ---- for process.c, core.c and maps.c ---- */

/* Adds a range; takes `path` over. */
void memory_add_range(struct memory *memory, struct memory_range range);

/* Replaces control characters in a name, which another user may have chosen. */
void memory_hide_controls(char *name);

/* A note of an ELF file. */
struct memory_note {
    uint32_t type;       /* searched for, ... */
    const char *name;    /* ... with this owner's name */
    uint64_t address;    /* found: the address of its descriptor, ... */
    size_t size;         /* ... the bytes of that, ... */
    char descriptor[64]; /* ... and these bytes */
};

/* Finds a note of the ELF file whose first byte is mapped at `start`. False if there is none. */
bool memory_find_note(struct memory *memory, uint64_t start, struct memory_note *note);

#endif
