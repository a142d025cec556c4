/* What memory holds, and what the kernel says of it. */
#ifndef ACRE_TESTS_UNIT_MEMORY_H
#define ACRE_TESTS_UNIT_MEMORY_H

#include "test.h"
#include "base/os.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True if each of the bytes has the value, as memset gives it. */
static inline bool is_filled(const void *memory, size_t size, int value)
{
    const unsigned char *bytes = memory;
    return size == 0 ||
           (bytes[0] == (unsigned char)value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* True if the byte at an address can be read. */
static inline bool is_accessible(const void *address)
{
    int pipes[2];

    ck_assert_int_eq(pipe(pipes), 0);
    bool accessible = syscall(SYS_write, pipes[1], address, (size_t)1) == 1;
    close(pipes[0]);
    close(pipes[1]);
    return accessible;
}

/* True if the page at an address, a multiple of its size, is mapped without access, so that no
 * other mapping can be there. */
static inline bool is_guard(const void *page)
{
    size_t size = os_page_size();

    if (is_accessible(page) || os_reserve_at((void *)(uintptr_t)page, size))
        return false;
    return !is_accessible((const char *)page + size - 1);
}

/* True if the VmFlags line of the mapping that p lies in has the flag, such as " hg". */
static inline bool has_vm_flag(const void *p, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    ck_assert_ptr_nonnull(smaps);
    char line[512];
    bool inside = false, found = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start <= (unsigned long)p && (unsigned long)p < end;
        else if (inside && strncmp(line, "VmFlags:", strlen("VmFlags:")) == 0)
            found = strstr(line, flag) != NULL;
    }
    fclose(smaps);
    return found;
}

/* True if the system knows transparent huge pages: a mapping that asks for them shows it. (/sys,
 * which shows it too, may not be mounted.) */
static inline bool huge_pages_are_supported(void)
{
    size_t size = 3 * os_page_size();
    char *whole = os_reserve(size); /* with neighbours, so that it is a mapping of its own */
    ck_assert_ptr_nonnull(whole);
    char *page = whole + os_page_size();
    ck_assert(os_open(page, os_page_size()));
    bool supported = madvise(page, os_page_size(), MADV_HUGEPAGE) == 0 && has_vm_flag(page, " hg");
    ck_assert(os_unmap(whole, size));
    return supported;
}

#endif
