/*
 * The vDSO: the shared object that the kernel maps into each process, with functions that read the
 * clock without a system call.
 */
#ifndef ACRE_LIB_VDSO_H
#define ACRE_LIB_VDSO_H

#include "base/base.h"

/* The function of that name in the vDSO whose ELF header is at `image` (AT_SYSINFO_EHDR). NULL if
 * there is none, or `image` is NULL. Allocates nothing, takes no lock. */
void *vdso_find(const void *image, const char *name);

#endif
