/* The mappings of a process, or the mapped files of a core: what has symbols, and what may have
 * pointers in it. */
#ifndef ACRE_TOOLS_MAPS_H
#define ACRE_TOOLS_MAPS_H

#include "memory.h"

enum { MAPS_BUILD_ID = 64 }; /* bytes, at most */

struct map {
    uint64_t start, end;
    uint64_t offset; /* in the file */
    bool readable, writable, executable;
    char *path; /* as the system gives it; "" if there is none */
};

/* An ELF file that is mapped. */
struct module {
    uint64_t start, end; /* of all of its mappings; nothing else with code lies in between */
    uint64_t first_end;  /* end of its first mapping */
    char *path;
    const char *name; /* of the file, without its directories */
    uint8_t build_id[MAPS_BUILD_ID];
    size_t build_id_size; /* 0: not known */
};

struct maps {
    struct map *all; /* by address */
    size_t count;
    struct module *modules; /* likewise */
    size_t module_count;
};

/* Reads them. Exits with status 1 if that cannot be. */
void maps_read(struct memory *memory, struct maps *maps);

/* The mapping, and the module, that has an address; NULL: none. */
const struct map *maps_find(const struct maps *maps, uint64_t address);
struct module *maps_module(const struct maps *maps, uint64_t address);

/* Where the module of a file has the byte that another mapping of the file has at an address; 0:
 * nowhere. */
uint64_t maps_original(const struct maps *maps, uint64_t address);

void maps_free(struct maps *maps);

#endif
