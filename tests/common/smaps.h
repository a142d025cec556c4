/*
 * /proc/PID/smaps, by mapping. Reading it allocates nothing and writes to no private memory but the
 * stack: a process can look at itself and its children without a change. Included after check.h.
 */
#ifndef ACRE_TESTS_COMMON_SMAPS_H
#define ACRE_TESTS_COMMON_SMAPS_H

#include <sys/mman.h>

/* One mapping. Sizes are in bytes. */
struct smap {
    uintptr_t start, end;
    const char *name;     /* the path, "[stack]" ..., or "": anonymous; valid during the visit */
    bool dumped;          /* by debuggers, readable or not: VmFlags has no "dd" */
    size_t resident;      /* of it, in memory */
    size_t private_dirty; /* of it, written to since it was mapped, and mapped by nobody else */
};

/* Characters: as much of a line as is read; a path may be PATH_MAX long. */
enum { SMAPS_LINE = 4096 + 256 };

/* A file that is read line by line. */
struct smaps_reader {
    int fd;
    size_t used, size;
    char buffer[1 << 16];
};

/* The next line without its newline, in line[]; false at the end. */
static inline bool smaps_line(struct smaps_reader *reader, char line[SMAPS_LINE])
{
    size_t length = 0;
    for (;;) {
        if (reader->used == reader->size) {
            ssize_t got = read(reader->fd, reader->buffer, sizeof(reader->buffer));
            CHECK(got >= 0);
            if (got == 0)
                return false;
            reader->used = 0;
            reader->size = (size_t)got;
        }
        char next = reader->buffer[reader->used++];
        if (next == '\n')
            break;
        if (length < SMAPS_LINE - 1)
            line[length++] = next;
    }
    line[length] = '\0';
    return true;
}

/* Calls visit for each mapping of the process, lowest address first. */
static inline void smaps_for_each(pid_t process, void (*visit)(void *, const struct smap *),
                                  void *context)
{
    enum { SHARED = MAP_SHARED | MAP_ANONYMOUS };
    char path[64], line[SMAPS_LINE], name[SMAPS_LINE] = "";
    struct smap map = {.name = name};
    struct smaps_reader *reader =
        (struct smaps_reader *)mmap(NULL, sizeof(*reader), PROT_READ | PROT_WRITE, SHARED, -1, 0);
    CHECK(reader != MAP_FAILED);
    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)process);
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(reader->fd >= 0);
    while (smaps_line(reader, line)) {
        unsigned long start, end, size;
        int name_at = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &name_at) == 2) {
            if (map.end != 0)
                visit(context, &map);
            map = (struct smap){.start = start, .end = end, .name = name, .dumped = true};
            strcpy(name, line + name_at);
        } else if (sscanf(line, "Rss: %lu kB", &size) == 1) {
            map.resident = size * CHECK_KIB;
        } else if (sscanf(line, "Private_Dirty: %lu kB", &size) == 1) {
            map.private_dirty = size * CHECK_KIB;
        } else if (strncmp(line, "VmFlags:", strlen("VmFlags:")) == 0) {
            map.dumped = strstr(line, " dd") == NULL;
        }
    }
    if (map.end != 0)
        visit(context, &map);
    close(reader->fd);
    munmap(reader, sizeof(*reader));
}

static inline void smaps_add_resident(void *bytes, const struct smap *map)
{
    *(size_t *)bytes += map->resident;
}

/*
 * Resident bytes of this process, exactly: other figures of the kernel are kept for each processor
 * and may be off by some hundred pages.
 */
static inline size_t smaps_resident(void)
{
    size_t bytes = 0;
    smaps_for_each(getpid(), smaps_add_resident, &bytes);
    return bytes;
}

#endif
