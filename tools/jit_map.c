/* Names of code made just in time: see jit_map.h. */
#define _GNU_SOURCE 1
#include "jit_map.h"

#include "array.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_CODES = 1 << 20, /* lines that are read */
    PATH_TEXT = 64,
};

/* Opens the list. It must be a regular file of the process's user or of root: others may write to
 * /tmp, too. */
static FILE *open_list(const struct memory *memory)
{
    char path[PATH_TEXT];
    struct stat status, process;
    uid_t owner = geteuid();
    if (memory->pid != 0) {
        snprintf(path, sizeof(path), "/proc/%d", (int)memory->pid);
        if (stat(path, &process) == 0)
            owner = process.st_uid;
        snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map", (int)memory->pid,
                 memory_own_id(memory));
    } else {
        snprintf(path, sizeof(path), "/tmp/perf-%d.map", memory_own_id(memory));
    }
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
    if (file < 0)
        return NULL;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) ||
        (status.st_uid != owner && status.st_uid != 0)) {
        close(file);
        return NULL;
    }
    return fdopen(file, "r");
}

/* By address; code that has taken the place of other code comes after it. */
static int compare_codes(const void *left, const void *right)
{
    const struct jit_code *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static void add_code(struct jit_map *map, struct jit_code code)
{
    map->all = array_grow(map->all, map->count, sizeof(code));
    code.number = map->count;
    map->all[map->count++] = code;
}

struct jit_map *jit_map_read(const struct memory *memory)
{
    struct jit_map *map = calloc(1, sizeof(*map));
    FILE *file = open_list(memory);
    char line[4096];
    if (map == NULL)
        err(EXIT_FAILURE, NULL);
    while (file != NULL && map->count < MOST_CODES && fgets(line, sizeof(line), file) != NULL) {
        struct jit_code code = {0};
        uint64_t size;
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNx64 " %" SCNx64 " %n", &code.start, &size, &at) != 2 || at == 0 ||
            size == 0 || line[at] == '\0')
            continue;
        code.end = code.start + size;
        code.name = strdup(line + at);
        if (code.name == NULL)
            err(EXIT_FAILURE, NULL);
        add_code(map, code);
    }
    if (file != NULL)
        fclose(file);
    if (map->count != 0)
        qsort(map->all, map->count, sizeof(map->all[0]), compare_codes);
    return map;
}

const char *jit_map_find(const struct jit_map *map, uint64_t address)
{
    if (map->count == 0)
        return NULL;
    const struct jit_code *code =
        &map->all[array_find(map->all, map->count, sizeof(map->all[0]), address)];
    return address - code->start < code->end - code->start ? code->name : NULL;
}

void jit_map_free(struct jit_map *map)
{
    for (size_t i = 0; map != NULL && i < map->count; i++)
        free(map->all[i].name);
    if (map != NULL)
        free(map->all);
    free(map);
}
