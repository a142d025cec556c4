/*
 * Names of code addresses: see symbols.h.
 *
 * libdwfl is told of the modules one by one, with their build ids as they are in the memory, so
 * that it takes no file that has been replaced since. The files are opened as the process sees
 * them, by /proc/PID, so that it works for containers. The nesting of inlined functions is found as
 * elfutils' addr2line does.
 */
#define _GNU_SOURCE 1
#include "symbols.h"

#include "array.h"
#include "jit_map.h"
#include "mapped_file.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MOST_INLINED = 64,     /* functions at an address */
    LONGEST_NAME = 8192,   /* that is demangled; the rules of the demangler recurse */
    PATH_TEXT = 4096 + 64, /* a path and what is put in front of it */
};

/* Of the C++ runtime (Itanium C++ ABI). */
char *__cxa_demangle(const char *name, char *into, size_t *size, int *status);

/* ---- files ---- */

static const struct symbols *current; /* for open_module, which libdwfl calls */

/* Opens the file at a path if it is the one that is mapped, by its build id; -1: it is not. */
static int open_same(const char *path, const struct module *module)
{
    int file = mapped_file_open(path);
    if (file < 0 || module->build_id_size == 0 ||
        mapped_file_has_build_id(file, module->build_id, module->build_id_size))
        return file;
    close(file);
    return -1;
}

/* For libdwfl: opens the file of a module, which *data is. */
static int open_module(Dwfl_Module *of, void **data, const char *name, Dwarf_Addr base,
                       char **file_name, Elf **elf)
{
    const struct module *module = *data;
    int id = (int)current->memory->pid;
    char path[PATH_TEXT];
    int file = -1;
    (void)of;
    (void)name;
    (void)base;
    (void)elf;
    if (id == 0) {
        file = open_same(module->path, module);
    } else {
        snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, id, module->start,
                 module->first_end);
        file = open_same(path, module);
        if (file < 0) {
            snprintf(path, sizeof(path), "/proc/%d/root%.4000s", id, module->path);
            file = open_same(path, module);
        }
    }
    /* libdwfl looks for its debug file beside that name */
    if (file >= 0)
        *file_name = strdup(module->path);
    return file;
}

static void report_modules(struct symbols *symbols)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = open_module,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .section_address = dwfl_offline_section_address,
    };
    elf_version(EV_CURRENT);
    symbols->dwfl = dwfl_begin(&callbacks);
    if (symbols->dwfl == NULL)
        errx(EXIT_FAILURE, "libdwfl: %s", dwfl_errmsg(-1));
    dwfl_report_begin(symbols->dwfl);
    for (size_t i = 0; i < symbols->maps->module_count; i++) {
        struct module *module = &symbols->maps->modules[i];
        Dwfl_Module *made =
            dwfl_report_module(symbols->dwfl, module->name, module->start, module->end);
        void **data;
        if (made == NULL)
            continue;
        (void)dwfl_module_info(made, &data, NULL, NULL, NULL, NULL, NULL, NULL);
        *data = module;
    }
    dwfl_report_end(symbols->dwfl, NULL, NULL);
}

void symbols_open(struct symbols *symbols, struct memory *memory, struct maps *maps)
{
    *symbols = (struct symbols){.memory = memory, .maps = maps};
    (void)texts_add(&symbols->texts, "");
    report_modules(symbols);
}

void symbols_close(struct symbols *symbols)
{
    dwfl_end(symbols->dwfl);
    jit_map_free(symbols->jit);
    texts_free(&symbols->texts);
    free(symbols->all);
    free(symbols->places);
    free(symbols->table);
}

/* ---- names ---- */

static void add_symbol(struct symbols *symbols, struct symbol symbol)
{
    symbols->all = array_grow(symbols->all, symbols->count, sizeof(symbol));
    symbols->all[symbols->count++] = symbol;
}

/* Fills in both names of a function: `linked`, without the version that it may have. */
static void set_name(struct symbols *symbols, struct symbol *symbol, const char *linked)
{
    int status;
    char *plain = NULL;
    char name[LONGEST_NAME];
    size_t length = strcspn(linked, "@");
    if (linked[length] == '@' && length != 0 && length < sizeof(name)) {
        memcpy(name, linked, length);
        name[length] = '\0';
        linked = name;
    }
    if (linked[0] == '_' && linked[1] == 'Z' && strnlen(linked, LONGEST_NAME) < LONGEST_NAME)
        plain = __cxa_demangle(linked, NULL, NULL, &status);
    symbol->linked = texts_add(&symbols->texts, linked);
    symbol->name = plain != NULL ? texts_add(&symbols->texts, plain) : symbol->linked;
    free(plain);
}

/* The name of a function that DWARF describes, as the linker knows it if it does. */
static const char *die_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Attribute *found = dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute);
    if (found == NULL)
        found = dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute);
    const char *name = found != NULL ? dwarf_formstring(found) : NULL;
    if (name == NULL) {
        found = dwarf_attr_integrate(die, DW_AT_name, &attribute);
        name = found != NULL ? dwarf_formstring(found) : NULL;
    }
    return name;
}

/* Where an inlined function was called. */
static void set_call_place(struct symbols *symbols, Dwarf_Die *inlined, Dwarf_Files *files,
                           struct symbol *symbol)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    symbol->file = symbol->line = 0;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &number) == 0) {
        const char *path = dwarf_filesrc(files, number, NULL, NULL);
        symbol->file = path != NULL ? texts_add(&symbols->texts, path) : 0;
    }
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &number) == 0)
        symbol->line = number <= INT32_MAX ? (uint32_t)number : 0;
}

/* Adds the functions that were inlined at an address. *symbol has the source line of the address;
 * it gets the line in the function that they were inlined into. */
static void add_inlined(struct symbols *symbols, Dwfl_Module *module, uint64_t address,
                        struct symbol *symbol)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias), *scopes = NULL, innermost;
    Dwarf_Files *files;
    if (unit == NULL || dwarf_getsrcfiles(unit, &files, NULL) != 0)
        return;
    if (dwarf_getscopes(unit, address - bias, &scopes) <= 0)
        return;
    bool found = dwarf_offdie(dwfl_module_getdwarf(module, &bias), dwarf_dieoffset(&scopes[0]),
                              &innermost) != NULL;
    free(scopes);
    /* all that the innermost scope lies in, where the code is */
    int count = found ? dwarf_getscopes_die(&innermost, &scopes) : 0;
    for (int i = 0, added = 0; i < count && added < MOST_INLINED; i++) {
        struct symbol inlined = *symbol;
        if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
            continue;
        const char *name = die_name(&scopes[i]);
        set_name(symbols, &inlined, name != NULL ? name : "?");
        inlined.inlined = true;
        add_symbol(symbols, inlined);
        set_call_place(symbols, &scopes[i], files, symbol);
        added++;
    }
    if (count > 0)
        free(scopes);
}

/* False if the unit that is nearest below the address does not reach there: of one whose last line
 * has no code libdwfl gives that line for all that follows, such as _start. */
static bool is_in_unit(Dwfl_Module *module, uint64_t address)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    return unit != NULL && dwarf_haspc(unit, address - bias) != 0;
}

/* Adds what is at an address of a module. */
static void add_code(struct symbols *symbols, const struct module *module, uint64_t address)
{
    struct symbol symbol = {.module = texts_add(&symbols->texts, module->name)};
    char text[LONGEST_NAME];
    GElf_Off offset;
    GElf_Sym entry;
    Dwarf_Addr bias = module->start;
    current = symbols;
    Dwfl_Module *found = dwfl_addrmodule(symbols->dwfl, address);
    if (found != NULL) {
        int line;
        Dwfl_Line *at = is_in_unit(found, address) ? dwfl_module_getsrc(found, address) : NULL;
        const char *path = at != NULL ? dwfl_lineinfo(at, NULL, &line, NULL, NULL, NULL) : NULL;
        if (path != NULL) {
            symbol.file = texts_add(&symbols->texts, path);
            symbol.line = line > 0 ? (uint32_t)line : 0;
        }
        add_inlined(symbols, found, address, &symbol);
        const char *name = dwfl_module_addrinfo(found, address, &offset, &entry, NULL, NULL, NULL);
        if (name != NULL && name[0] != '\0') {
            set_name(symbols, &symbol, name);
            add_symbol(symbols, symbol);
            return;
        }
        if (dwfl_module_getelf(found, &bias) == NULL)
            bias = module->start;
    }
    /* as addr2line takes it */
    snprintf(text, sizeof(text), "%.1000s+0x%" PRIx64, module->name, address + 1 - bias);
    symbol.name = texts_add(&symbols->texts, text);
    add_symbol(symbols, symbol);
}

/* Adds what is at an address of no module. */
static void add_other_code(struct symbols *symbols, uint64_t address)
{
    struct symbol symbol = {0};
    char text[32];
    if (symbols->jit == NULL)
        symbols->jit = jit_map_read(symbols->memory);
    const char *name = jit_map_find(symbols->jit, address);
    if (name == NULL) {
        snprintf(text, sizeof(text), "0x%" PRIx64, address + 1);
        symbol.name = texts_add(&symbols->texts, text);
    } else {
        set_name(symbols, &symbol, name);
        symbol.module = texts_add(&symbols->texts, "[jit]");
    }
    add_symbol(symbols, symbol);
}

/* ---- places ---- */

static uint32_t *find_entry(const struct symbols *symbols, uint64_t address)
{
    size_t mask = symbols->table_size - 1;
    size_t at = (address * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
    while (symbols->table[at] != 0 && symbols->places[symbols->table[at] - 1].address != address)
        at = (at + 1) & mask;
    return &symbols->table[at];
}

/* Makes room for one more; the table is at most half full. */
static void make_room(struct symbols *symbols)
{
    if (2 * (symbols->place_count + 1) <= symbols->table_size)
        return;
    symbols->table_size = symbols->table_size != 0 ? 2 * symbols->table_size : 256;
    free(symbols->table);
    symbols->table = calloc(symbols->table_size, sizeof(symbols->table[0]));
    symbols->places =
        reallocarray(symbols->places, symbols->table_size, sizeof(symbols->places[0]));
    if (symbols->table == NULL || symbols->places == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < symbols->place_count; i++)
        *find_entry(symbols, symbols->places[i].address) = (uint32_t)i + 1;
}

uint32_t symbols_place(struct symbols *symbols, uint64_t return_address)
{
    uint64_t address = return_address - 1;
    make_room(symbols);
    uint32_t *entry = find_entry(symbols, address);
    if (*entry != 0)
        return *entry - 1;
    struct symbol_place *place = &symbols->places[symbols->place_count];
    *place = (struct symbol_place){
        .address = address,
        .module = maps_module(symbols->maps, address),
        .first = (uint32_t)symbols->count,
    };
    uint64_t original = place->module != NULL ? address : maps_original(symbols->maps, address);
    if (original != 0)
        add_code(symbols, maps_module(symbols->maps, original), original);
    else
        add_other_code(symbols, address);
    place->count = (uint32_t)symbols->count - place->first;
    *entry = (uint32_t)++symbols->place_count;
    return *entry - 1;
}
