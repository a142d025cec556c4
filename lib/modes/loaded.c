/* The images that are loaded: see loaded.h. */
#include "modes/loaded.h"

#include "base/elf.h"
#include "base/os.h"

#include <string.h>
#include <sys/auxv.h>

/* As in glibc's <dlfcn.h>, for machines without DLFO_STRUCT_HAS_EH_DBASE: all 64-bit ones here. */
struct found_object {
    unsigned long long flags;
    uintptr_t map_start, map_end;
    const struct link_map *link_map;
    uintptr_t eh_frame; /* the segment PT_GNU_EH_FRAME; 0: none */
    unsigned long long reserved[7];
};

typedef int find_object(void *address, struct found_object *found);

enum { IMAGES_MOST = 10000 }; /* on the list, which may lead in a circle while it changes */

/* The program's own headers; *count is their number. */
static const ElfW(Phdr) * program_headers(size_t *count)
{
    const ElfW(Phdr) *headers = (const void *)os_auxiliary(AT_PHDR);
    *count = headers != NULL ? os_auxiliary(AT_PHNUM) : 0;
    return headers;
}

/* The first header of that type; NULL if there is none. */
static const ElfW(Phdr) * header_of(const ElfW(Phdr) * headers, size_t count, uint32_t type)
{
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == type)
            return &headers[i];
    return NULL;
}

/* Static programs have no header that says where the headers are: they follow the ELF header, with
 * which the first segment starts. */
uintptr_t loaded_program_base(void)
{
    size_t count;
    const ElfW(Phdr) *headers = program_headers(&count);
    const ElfW(Phdr) *own = header_of(headers, count, PT_PHDR);
    const ElfW(Phdr) *first = header_of(headers, count, PT_LOAD);
    if (own != NULL)
        return (uintptr_t)headers - own->p_vaddr;
    return first != NULL ? (uintptr_t)headers - sizeof(ElfW(Ehdr)) - first->p_vaddr : 0;
}

/* The linker's list of images; NULL in a static program. */
static const struct link_map *list_of_images(void)
{
    size_t count;
    const ElfW(Phdr) *headers = program_headers(&count);
    const ElfW(Phdr) *section = header_of(headers, count, PT_DYNAMIC);
    if (section == NULL)
        return NULL;
    const ElfW(Dyn) *entry = (const void *)(loaded_program_base() + section->p_vaddr);
    while (entry->d_tag != DT_DEBUG && entry->d_tag != DT_NULL)
        entry++;
    const struct r_debug *debug = entry->d_tag == DT_DEBUG ? (const void *)entry->d_un.d_ptr : NULL;
    return debug != NULL ? debug->r_map : NULL;
}

/* True if one of the segments has the address; then fills in *image, but for `map`. `base` is added
 * to the addresses in the headers. */
static bool covers(uintptr_t base, const ElfW(Phdr) * headers, size_t count, uintptr_t address,
                   struct loaded *image)
{
    const ElfW(Phdr) *tables = header_of(headers, count, PT_GNU_EH_FRAME);
    for (size_t i = 0; i < count; i++) {
        uintptr_t from = base + headers[i].p_vaddr;
        if (headers[i].p_type == PT_LOAD && address - from < headers[i].p_memsz) {
            *image = (struct loaded){from, from + headers[i].p_memsz,
                                     tables != NULL ? base + tables->p_vaddr : 0, NULL};
            return true;
        }
    }
    return false;
}

/* True if the image whose ELF header is at `base` has the address. */
static bool image_covers(struct readable *memory, uintptr_t base, uintptr_t address,
                         struct loaded *image)
{
    const ElfW(Ehdr) *header = (const void *)base;
    if (base % os_page_size() != 0 || !readable_has(memory, base, sizeof *header) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        !readable_has(memory, base + header->e_phoff, header->e_phnum * sizeof(ElfW(Phdr))))
        return false;
    return covers(base, (const void *)(base + header->e_phoff), header->e_phnum, address, image);
}

bool loaded_find_on_list(struct readable *memory, uintptr_t address, struct loaded *image)
{
    size_t count;
    const ElfW(Phdr) *headers = program_headers(&count);
    const struct link_map *next = list_of_images();
    if (covers(loaded_program_base(), headers, count, address, image)) {
        image->map = next; /* the program is the first one on the list */
        return true;
    }
    for (size_t i = 0; next != NULL && i < IMAGES_MOST; i++) {
        if (!readable_has(memory, (uintptr_t)next, sizeof *next))
            break;
        if (image_covers(memory, next->l_addr, address, image)) {
            image->map = next;
            return true;
        }
        next = next->l_next;
    }
    *image = (struct loaded){0, 0, 0, NULL};
    return false;
}

static int find_nothing(void *address, struct found_object *found)
{
    (void)address;
    (void)found;
    return -1;
}

/* The function of libc, or find_nothing. libc and the images that precede it on the list are there
 * from the start and stay, so they are read without asking. */
static find_object *choose_find(void)
{
    for (const struct link_map *image = list_of_images(); image != NULL; image = image->l_next) {
        const ElfW(Sym) *symbol = elf_find_symbol(image->l_addr, image->l_ld, "_dl_find_object");
        if (symbol != NULL && symbol->st_shndx != SHN_UNDEF)
            return (find_object *)(image->l_addr + symbol->st_value);
    }
    return find_nothing;
}

bool loaded_find(struct readable *memory, uintptr_t address, struct loaded *image)
{
    static find_object *cached; /* [any] NULL until first asked; all write the same */
    find_object *find = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (UNLIKELY(find == NULL)) {
        find = choose_find();
        __atomic_store_n(&cached, find, __ATOMIC_RELAXED);
    }
    struct found_object found;
    if (find == find_nothing)
        return loaded_find_on_list(memory, address, image);
    bool known = find((void *)address, &found) == 0;
    *image = known ? (struct loaded){found.map_start, found.map_end, found.eh_frame, found.link_map}
                   : (struct loaded){0, 0, 0, NULL};
    return known;
}

void loaded_find_library(struct readable *memory, struct loaded *image)
{
    size_t count;
    struct loaded program;
    const ElfW(Phdr) *headers = program_headers(&count);
    uintptr_t own = (uintptr_t)loaded_find_library;
    if (covers(loaded_program_base(), headers, count, own, &program) ||
        !loaded_find(memory, own, image))
        *image = (struct loaded){0, 0, 0, NULL};
}
