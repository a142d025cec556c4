/*
 * Functions that the program replaces: see api.h. This file defines none of them, or the compiler
 * would take its own definition for the one that was chosen.
 */
#define _GNU_SOURCE 1

#include "api/api.h"

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

struct api_own api_own;

/*
 * True if names are looked up here before they are in libc. Seen by two functions that libc has and
 * hardly any program: an allocator that has both has all the others.
 */
static bool comes_before_libc(void)
{
    return __libc_pvalloc == own_pvalloc || malloc_info == own_malloc_info;
}

#ifdef PIC
/*
 * True if the address is a jump to the function of that name. A program at a fixed address (no PIE)
 * that uses the address of a library's function has one, and all others are given its address in
 * the place of the function's.
 */
static bool is_jump(const void *address)
{
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    return dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol != NULL &&
           symbol->st_shndx == SHN_UNDEF;
}

/* True if names are looked up in nothing but the program before they are here. */
static bool comes_first(void)
{
    Dl_info info;
    struct link_map *object;
    if (dladdr1(&api_own, &info, (void **)&object, RTLD_DL_LINKMAP) == 0)
        return false;
    object = object->l_prev;
    if (object != NULL && object->l_addr == getauxval(AT_SYSINFO_EHDR))
        object = object->l_prev; /* the vDSO, in which no names are looked up */
    return object != NULL && object->l_prev == NULL;
}

/* True if the address that was chosen leads to this library all the same. */
static bool leads_here(const void *chosen)
{
    return comes_first() && is_jump(chosen);
}
#else
static bool leads_here(const void *chosen)
{
    (void)chosen;
    return false;
}
#endif

bool api_is_replaced(const void *chosen, const void *own)
{
    return chosen != own && comes_before_libc() && !leads_here(chosen);
}

bool api_family_is_own(void)
{
    return !api_is_replaced(malloc, own_malloc) && !api_is_replaced(free, own_free) &&
           !api_is_replaced(realloc, own_realloc) &&
           !api_is_replaced(aligned_alloc, own_aligned_alloc);
}

__attribute__((constructor)) static void find_replaced(void)
{
    api_own.family = api_family_is_own();
}

void api_free(void *p, const char *function)
{
    if (free != own_free)
        free(p);
    else
        free_block_named(p, function);
}

void *api_realloc(void *p, size_t size, const char *function)
{
    return realloc != own_realloc ? realloc(p, size) : alloc_resize(p, size, function);
}
