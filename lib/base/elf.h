/*
 * Finding symbols of a loaded ELF image by their names or addresses, without the dynamic linker:
 * allocates nothing, takes no lock. Owns no state.
 */
#ifndef ACRE_LIB_ELF_H
#define ACRE_LIB_ELF_H

#include "base/base.h"

#include <link.h>

/* The symbol of that name in the image's dynamic symbol table, defined there or not, or NULL.
 * `base` is added to each address in the dynamic section that is below it. */
const ElfW(Sym) * elf_find_symbol(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);

/* The defined function of the image, loaded and as above, that has something at `address`, in its
 * dynamic symbol table; NULL if there is none. *name is what it is called. */
const ElfW(Sym) * elf_find_function_at(uintptr_t base, const ElfW(Dyn) * dynamic, uintptr_t address,
                                       const char **name);

/* The function of that name in the vDSO whose ELF header is at `image` (AT_SYSINFO_EHDR): the
 * kernel's code that reads the clock without a system call. NULL if there is none, or `image` is
 * NULL. */
void *elf_find_vdso(const void *image, const char *name);

#endif
