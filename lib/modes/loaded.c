/* The images that are loaded: see loaded.h. */
#include "modes/loaded.h"

#include "base/elf.h"
#include "base/os.h"

#include <sys/auxv.h>

/* As in glibc's <dlfcn.h>, for x86-64 and arm64. */
struct found_object {
    unsigned long long flags;
    uintptr_t map_start, map_end;
    void *link_map;
    uintptr_t eh_frame; /* the segment PT_GNU_EH_FRAME; 0: none */
    unsigned long long reserved[7];
};

typedef int find_object(void *address, struct found_object *found);

/* The program's header of that type; NULL if there is none. */
static const ElfW(Phdr) * program_header(uint32_t type)
{
    const ElfW(Phdr) *headers = (const void *)os_auxiliary(AT_PHDR);
    size_t count = headers != NULL ? os_auxiliary(AT_PHNUM) : 0;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == type)
            return &headers[i];
    return NULL;
}

/* What is added to the addresses in the program's headers. */
static uintptr_t program_base(void)
{
    const ElfW(Phdr) *own = program_header(PT_PHDR); /* programs at fixed addresses may lack it */
    return own != NULL ? os_auxiliary(AT_PHDR) - own->p_vaddr : 0;
}

/* Finds only the program, as if it had no libraries. */
static int find_program(void *address, struct found_object *found)
{
    const ElfW(Phdr) *headers = (const void *)os_auxiliary(AT_PHDR), *tables;
    size_t count = headers != NULL ? os_auxiliary(AT_PHNUM) : 0;
    uintptr_t base = program_base(), place = (uintptr_t)address;
    *found = (struct found_object){.map_start = UINTPTR_MAX};
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type != PT_LOAD)
            continue;
        uintptr_t from = base + headers[i].p_vaddr;
        found->map_start = min_size(found->map_start, from);
        found->map_end = max_size(found->map_end, from + headers[i].p_memsz);
    }
    tables = program_header(PT_GNU_EH_FRAME);
    found->eh_frame = tables != NULL ? base + tables->p_vaddr : 0;
    return place >= found->map_start && place < found->map_end ? 0 : -1;
}

/* The function of libc, or find_program. libc is on the linker's list of images from the start, and
 * what is on it in front of libc, too: so no lock is needed up to there. */
static find_object *choose_find(void)
{
    const ElfW(Phdr) *section = program_header(PT_DYNAMIC);
    const ElfW(Dyn) *entry =
        section != NULL ? (const void *)(program_base() + section->p_vaddr) : NULL;
    while (entry != NULL && entry->d_tag != DT_DEBUG)
        entry = entry->d_tag != DT_NULL ? entry + 1 : NULL;
    const struct r_debug *debug = entry != NULL ? (const void *)entry->d_un.d_ptr : NULL;
    const struct link_map *image = debug != NULL ? debug->r_map : NULL;
    for (; image != NULL; image = image->l_next) {
        const ElfW(Sym) *symbol = elf_find_symbol(image->l_addr, image->l_ld, "_dl_find_object");
        if (symbol != NULL && symbol->st_shndx != SHN_UNDEF)
            return (find_object *)(image->l_addr + symbol->st_value);
    }
    return find_program;
}

bool loaded_find(uintptr_t address, struct loaded *image)
{
    static find_object *cached; /* [any] NULL until first asked; all write the same */
    find_object *find = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (UNLIKELY(find == NULL)) {
        find = choose_find();
        __atomic_store_n(&cached, find, __ATOMIC_RELAXED);
    }
    struct found_object found;
    bool known = find((void *)address, &found) == 0;
    *image = known ? (struct loaded){found.map_start, found.map_end, found.eh_frame}
                   : (struct loaded){0, 0, 0};
    return known;
}

void loaded_find_library(struct loaded *image)
{
    uintptr_t headers = os_auxiliary(AT_PHDR);
    if (loaded_find((uintptr_t)loaded_find_library, image) &&
        headers - image->from < image->to - image->from)
        *image = (struct loaded){0, 0, 0};
}
