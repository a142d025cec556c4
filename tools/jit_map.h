/* Names that a just-in-time compiler gives its code, in /tmp/perf-PID.map. */
#ifndef ACRE_TOOLS_JIT_MAP_H
#define ACRE_TOOLS_JIT_MAP_H

#include "memory.h"

struct jit_code {
    uint64_t start, end;
    size_t number; /* in the list */
    char *name;
};

struct jit_map {
    struct jit_code *all; /* by address */
    size_t count;
};

/* Reads the list that the process, or that of a core, has written, if there is one. */
struct jit_map *jit_map_read(const struct memory *memory);

/* The name of the code at an address; NULL: none. */
const char *jit_map_find(const struct jit_map *map, uint64_t address);

void jit_map_free(struct jit_map *map);

#endif
