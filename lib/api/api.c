/*
 * Functions that the program replaces: see api.h. None of them is defined in this file: the
 * compiler would take that definition for the chosen one.
 */
#define _GNU_SOURCE 1

#include "api/api.h"

#include "base/elf.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
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

START_DATA struct api_own api_own;

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

/*
 * True if the address that was chosen for `name` is a jump that leads to this library: a program at
 * a fixed address that uses the address of a library's function, a symbol that it does not define,
 * has a jump to that, and the dynamic linker gives all libraries the address of the jump for that
 * of the function. (dladdr would tell, too, but looks at all symbols: a millisecond in node.)
 */
static bool leads_here(const char *name)
{
    const struct link_map *program = fixed_program_before();
    /* the dynamic linker has added the base to the section's addresses, and that is 0 */
    const ElfW(Sym) *symbol = program != NULL ? elf_find_symbol(0, program->l_ld, name) : NULL;
    return symbol != NULL && symbol->st_shndx == SHN_UNDEF;
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
    return !IS_REPLACED(malloc, own_malloc) && !IS_REPLACED(free, own_free) &&
           !IS_REPLACED(realloc, own_realloc) && !IS_REPLACED(aligned_alloc, own_aligned_alloc);
}

void api_find_family(void)
{
    bool own = api_family_is_own();
    api_own.family = own && !mismatch_is_on();
    api_own.family_checked = own && mismatch_is_on();
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
