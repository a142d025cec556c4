/* The mappings of a process or a core: see maps.h. */
#define _GNU_SOURCE 1
#include "maps.h"

#include "array.h"

#include <elf.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_MAPS = 1 << 20, /* the system's limit may be raised to this */
};

/* ---- mappings ---- */

static void add_map(struct maps *maps, struct map map)
{
    if (maps->count >= MOST_MAPS)
        errx(EXIT_FAILURE, "there are too many mappings");
    if (map.path == NULL)
        err(EXIT_FAILURE, NULL);
    maps->all = array_grow(maps->all, maps->count, sizeof(map));
    maps->all[maps->count++] = map;
}

static void read_process(struct memory *memory, struct maps *maps)
{
    char path[64], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)memory->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        err(EXIT_FAILURE, "%s", path);
    while (getline(&line, &room, file) > 0) {
        struct map map = {0};
        char may[5];
        int at = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &map.start, &map.end,
                   may, &map.offset, &at) != 4)
            continue;
        map.readable = may[0] == 'r';
        map.writable = may[1] == 'w';
        map.executable = may[2] == 'x';
        line[strcspn(line, "\n")] = '\0';
        map.path = strdup(at != 0 ? line + at : "");
        add_map(maps, map);
    }
    free(line);
    fclose(file);
}

/* A core tells files and addresses alone. */
static void read_core(struct memory *memory, struct maps *maps)
{
    for (size_t i = memory->segment_count; i < memory->range_count; i++) {
        const struct memory_range *range = &memory->ranges[i];
        add_map(maps, (struct map){
                          .start = range->start,
                          .end = range->end,
                          .offset = range->file_offset,
                          .readable = true,
                          .executable = true,
                          .path = strdup(range->path),
                      });
    }
}

const struct map *maps_find(const struct maps *maps, uint64_t address)
{
    if (maps->count == 0)
        return NULL;
    const struct map *map =
        &maps->all[array_find(maps->all, maps->count, sizeof(maps->all[0]), address)];
    return address >= map->start && address < map->end ? map : NULL;
}

/* ---- modules ---- */

/* Reads the build id from the memory. False if no ELF file is there, or it cannot be seen. */
static bool read_build_id(struct memory *memory, struct module *module)
{
    struct memory_note note = {.type = NT_GNU_BUILD_ID, .name = ELF_NOTE_GNU};
    unsigned char ident[EI_NIDENT];
    _Static_assert(sizeof(note.descriptor) <= MAPS_BUILD_ID, "there is room for it");
    if (!memory->view.read_now(&memory->view, module->start, ident, sizeof(ident)) ||
        memcmp(ident, ELFMAG, SELFMAG) != 0 || ident[EI_CLASS] != ELFCLASS64)
        return false;
    if (memory_find_note(memory, module->start, &note)) {
        memcpy(module->build_id, note.descriptor, note.size);
        module->build_id_size = note.size;
    }
    return true;
}

/* Joins the mappings of each file, of which the first one has the file's first byte, as long as
 * their offsets rise. Between them may be mappings without a file: unused space and zero pages. */
static void find_modules(struct memory *memory, struct maps *maps)
{
    maps->modules = calloc(maps->count + 1, sizeof(maps->modules[0]));
    if (maps->modules == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < maps->count; i++) {
        const struct map *first = &maps->all[i], *last = first;
        bool executable = first->executable;
        if (first->path[0] != '/' || first->offset != 0)
            continue;
        for (size_t k = i + 1; k < maps->count; k++) {
            const struct map *next = &maps->all[k];
            if (next->path[0] == '\0')
                continue;
            if (strcmp(next->path, first->path) != 0)
                break;
            /* The file, or a part of it, may be mapped a second time: by V8, beside what it makes
             * just in time. */
            if (next->offset < last->offset ||
                (next->offset == 0 && !last->executable && executable))
                break;
            executable = executable || next->executable;
            last = next;
            i = k;
        }
        struct module *module = &maps->modules[maps->module_count];
        *module = (struct module){
            .start = first->start, .end = last->end, .first_end = first->end, .path = first->path};
        module->name = strrchr(module->path, '/') + 1;
        if (executable && (read_build_id(memory, module) || memory->pid == 0))
            maps->module_count++;
    }
}

struct module *maps_module(const struct maps *maps, uint64_t address)
{
    if (maps->module_count == 0)
        return NULL;
    struct module *module = &maps->modules[array_find(maps->modules, maps->module_count,
                                                      sizeof(maps->modules[0]), address)];
    return address >= module->start && address < module->end ? module : NULL;
}

uint64_t maps_original(const struct maps *maps, uint64_t address)
{
    const struct map *again = maps_find(maps, address);
    if (again == NULL || again->path[0] != '/')
        return 0;
    uint64_t offset = address - again->start + again->offset;
    for (size_t i = 0; i < maps->count; i++) {
        const struct map *map = &maps->all[i];
        if (map->executable && offset >= map->offset &&
            offset - map->offset < map->end - map->start && strcmp(map->path, again->path) == 0 &&
            maps_module(maps, map->start) != NULL)
            return offset - map->offset + map->start;
    }
    return 0;
}

void maps_read(struct memory *memory, struct maps *maps)
{
    *maps = (struct maps){0};
    if (memory->pid != 0)
        read_process(memory, maps);
    else
        read_core(memory, maps);
    find_modules(memory, maps);
}

void maps_free(struct maps *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        free(maps->all[i].path);
    free(maps->all);
    free(maps->modules);
}
