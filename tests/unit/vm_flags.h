/* What /proc/self/smaps says of a mapping. */
#ifndef ACRE_TESTS_UNIT_VM_FLAGS_H
#define ACRE_TESTS_UNIT_VM_FLAGS_H

#include "test.h"
#include "base/os.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
