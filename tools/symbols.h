/*
 * Names of code addresses: functions, with what was inlined into them, source lines and modules.
 * From the symbol tables and DWARF data of the mapped files, by libdwfl, and from the list that a
 * just-in-time compiler has written to /tmp/perf-PID.map. Nothing is attached to or stopped.
 */
#ifndef ACRE_TOOLS_SYMBOLS_H
#define ACRE_TOOLS_SYMBOLS_H

#include "maps.h"
#include "texts.h"

/* A function at an address; texts by number. */
struct symbol {
    uint32_t name;   /* demangled; never empty: without a symbol "module+0x123" or the address */
    uint32_t linked; /* as the linker knows it; 0: unknown */
    uint32_t module; /* 0: none */
    uint32_t file;   /* 0: unknown */
    uint32_t line;   /* likewise */
    bool inlined;    /* into the next one */
};

/* symbols[first .. first+count-1] are at an address, the innermost first; at least one. */
struct symbol_place {
    uint64_t address; /* of the call: below the return address */
    const struct module *module;
    uint32_t first, count;
};

struct symbols {
    struct memory *memory;
    struct maps *maps;
    struct texts texts;
    struct symbol *all;
    size_t count;
    struct symbol_place *places;
    size_t place_count;
    uint32_t *table; /* of places, by hash of the address: number + 1; 0: empty */
    size_t table_size;
    struct Dwfl *dwfl;
    struct jit_map *jit; /* NULL: not looked for yet */
};

void symbols_open(struct symbols *symbols, struct memory *memory, struct maps *maps);

/* The number of the place of a return address. */
uint32_t symbols_place(struct symbols *symbols, uint64_t return_address);

static inline const char *symbols_text(const struct symbols *symbols, uint32_t number)
{
    return symbols->texts.all[number];
}

void symbols_close(struct symbols *symbols);

#endif
