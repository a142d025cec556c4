/*
 * Functions that the program replaces: see api.h. None of them is defined in this file: the
 * compiler would take that definition for the chosen one.
 */
#define _GNU_SOURCE 1

#include "api/api.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* Weak: a program that is linked with the archive may define the whole family. */
#define OWN __attribute__((visibility("hidden"), weak))

extern OWN void *own_malloc(size_t size);
extern OWN void own_free(void *p);
extern OWN void *own_realloc(void *p, size_t size);
extern OWN void *own_aligned_alloc(size_t alignment, size_t size);
extern OWN void *own_pvalloc(size_t size);
extern OWN int own_malloc_info(int options, FILE *stream);

extern __attribute__((weak)) void *__libc_pvalloc(size_t size);
extern __attribute__((weak)) int malloc_info(int options, FILE *stream);

struct api_own api_own;

/*
 * True if the dynamic linker looks names up in this library before libc. Tested by two functions
 * that libc has and hardly any program defines: an allocator that defines both defines them all.
 */
static bool comes_before_libc(void)
{
    return CHOSEN(__libc_pvalloc) == own_pvalloc || CHOSEN(malloc_info) == own_malloc_info;
}

#ifdef PIC

/*
 * The program, if the dynamic linker looks names up in this library directly after it, and if it is
 * at a fixed address (no PIE); else NULL.
 */
static const struct link_map *fixed_program_before(void)
{
    Dl_info info;
    struct link_map *object;
    if (dladdr1(&api_own, &info, (void **)&object, RTLD_DL_LINKMAP) == 0)
        return NULL;
    object = object->l_prev;
    if (object != NULL && object->l_addr == getauxval(AT_SYSINFO_EHDR))
        object = object->l_prev; /* the vDSO, in which no names are looked up */
    return object != NULL && object->l_prev == NULL && object->l_addr == 0 ? object : NULL;
}

static const void *dynamic_table(const struct link_map *program, ElfW(Sxword) tag)
{
    for (const ElfW(Dyn) *entry = program->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag)
            return (const void *)entry->d_un.d_ptr;
    return NULL;
}

/*
 * True if the program at a fixed address has a symbol `name` that it does not define. If it uses
 * the address of a library's function, it has a jump to that, and the dynamic linker gives all
 * libraries the address of the jump for that of the function. Looks the name up as the dynamic
 * linker does: dladdr looks at all symbols, which takes a millisecond in node.
 */
static bool is_jump(const struct link_map *program, const char *name)
{
    const uint32_t *table = dynamic_table(program, DT_GNU_HASH);
    const ElfW(Sym) *symbols = dynamic_table(program, DT_SYMTAB);
    const char *strings = dynamic_table(program, DT_STRTAB);
    if (table == NULL || symbols == NULL || strings == NULL)
        return false;
    uint32_t hash = 5381;
    for (const char *c = name; *c != '\0'; c++)
        hash = hash * 33 + (unsigned char)*c;
    uint32_t bucket_count = table[0], first_symbol = table[1], filter_words = table[2];
    if (bucket_count == 0)
        return false; /* no symbol can be found by its name */
    const uint32_t *buckets = table + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(*table));
    const uint32_t *hashes = buckets + bucket_count; /* bit 0: the bucket's last one */
    uint32_t symbol = buckets[hash % bucket_count];
    if (symbol < first_symbol)
        return false;
    for (;; symbol++) {
        uint32_t found = hashes[symbol - first_symbol];
        if ((found | 1) == (hash | 1) && strcmp(strings + symbols[symbol].st_name, name) == 0)
            return symbols[symbol].st_shndx == SHN_UNDEF;
        if ((found & 1) != 0)
            return false;
    }
}

/* True if the address that was chosen for `name` is a jump that leads to this library. */
static bool leads_here(const char *name)
{
    const struct link_map *program = fixed_program_before();
    return program != NULL && is_jump(program, name);
}
#else
static bool leads_here(const char *name)
{
    (void)name;
    return false;
}
#endif

bool api_is_replaced(const void *chosen, const void *own, const char *name)
{
    return chosen != own && comes_before_libc() && !leads_here(name);
}

bool api_family_is_own(void)
{
    return !api_is_replaced(CHOSEN(malloc), own_malloc, "malloc") &&
           !api_is_replaced(CHOSEN(free), own_free, "free") &&
           !api_is_replaced(CHOSEN(realloc), own_realloc, "realloc") &&
           !api_is_replaced(CHOSEN(aligned_alloc), own_aligned_alloc, "aligned_alloc");
}

__attribute__((constructor)) static void find_replaced(void)
{
    api_own.family = api_family_is_own();
}

void api_free(void *p, const char *function)
{
    if (CHOSEN(free) != own_free)
        CHOSEN(free)(p);
    else
        free_block_named(p, function);
}

void *api_realloc(void *p, size_t size, const char *function)
{
    return CHOSEN(realloc) != own_realloc ? CHOSEN(realloc)(p, size)
                                          : alloc_resize(p, size, function);
}
