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

/* Calls visit for each mapping of the process, lowest address first. */
static inline void smaps_for_each(pid_t process, void (*visit)(void *, const struct smap *),
                                  void *context)
{
    enum { TEXT = 1 << 24 }; /* characters of the file, at most; the pages are shared */
    char path[64];
    struct smap map = {.end = 0};
    char *text =
        (char *)mmap(NULL, TEXT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(text != MAP_FAILED);
    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)process);
    CHECK(read_file(path, text, TEXT) < TEXT - 1);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        unsigned long start, last, size;
        int name_at = 0;
        *end = '\0';
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &last, &name_at) == 2) {
            if (map.end != 0)
                visit(context, &map);
            map =
                (struct smap){.start = start, .end = last, .name = line + name_at, .dumped = true};
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
    munmap(text, TEXT);
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
