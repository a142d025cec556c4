/* Names of addresses: see symbol.h. */
#include "modes/symbol.h"

#include "base/elf.h"
#include "base/os.h"
#include "modes/loaded.h"

#include <string.h>
#include <sys/auxv.h>

/* The text, or its last part if it is too long; NULL if not all of it can be read. */
static const char *readable_text(struct readable *memory, const char *text)
{
    size_t length = 0, page = os_page_size();
    const char *end = NULL;
    while (end == NULL) {
        uintptr_t at = (uintptr_t)text + length;
        size_t part = page - at % page;
        if (!readable_has(memory, at, 1))
            return NULL;
        end = memchr(text + length, '\0', part);
        length += end != NULL ? (size_t)(end - text) - length : part;
    }
    return end - min_size(length, SYMBOL_TEXT_MOST);
}

void symbol_find(struct readable *memory, uintptr_t address, struct symbol *symbol)
{
    struct loaded image;
    const char *path = "", *name = NULL;
    *symbol = (struct symbol){.image = NULL};
    if (!loaded_find(memory, address, &image))
        return;
    uintptr_t base = loaded_program_base();
    const struct link_map *map = image.map;
    if (map != NULL) {
        if (!readable_has(memory, (uintptr_t)map, sizeof *map))
            return;
        path = readable_text(memory, map->l_name);
        base = map->l_addr;
    }
    if (path == NULL || path[0] == '\0') /* the program's record has no path */
        path = readable_text(memory, (const char *)os_auxiliary(AT_EXECFN));
    symbol->image = path;
    symbol->offset = address - base;
    if (map == NULL || (uintptr_t)map->l_ld - image.from >= image.to - image.from)
        return;
    const ElfW(Sym) *found = elf_find_function_at(base, map->l_ld, address, &name);
    if (found != NULL) {
        symbol->function = readable_text(memory, name);
        symbol->function_offset = symbol->offset - found->st_value;
    }
}
