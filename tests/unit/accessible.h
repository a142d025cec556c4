/* What the kernel says of a page, found out without touching it. */
#ifndef ACRE_TESTS_UNIT_ACCESSIBLE_H
#define ACRE_TESTS_UNIT_ACCESSIBLE_H

#include "test.h"
#include "base/os.h"

#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

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

#endif
