/* Limits of the system for this process; not under sanitizers, see sanitized.h. */
#ifndef ACRE_TESTS_UNIT_SYSTEM_LIMITS_H
#define ACRE_TESTS_UNIT_SYSTEM_LIMITS_H

#include "test.h"
#include "base/os.h"

#include <stdio.h>
#include <sys/resource.h>

/* Sets the soft limit of a resource, RLIMIT_..., in bytes; returns what it was. */
static inline rlim_t set_limit(int resource, rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(resource, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(resource, &limit), 0);
    return before;
}

/* Leaves the process `room` bytes of address space beyond what it has. */
static inline void leave_address_space(size_t room)
{
    size_t pages;
    FILE *statm = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(statm);
    ck_assert_int_eq(fscanf(statm, "%zu", &pages), 1);
    fclose(statm);
    set_limit(RLIMIT_AS, pages * os_page_size() + room);
}

#endif
