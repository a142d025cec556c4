/*
 * Guard pages of the option `hardened`: pages without access among accessible ones, of which the
 * system knows the way back.
 *
 * Where the kernel can (MADV_GUARD_INSTALL, Linux 6.13) a guard is a mark of the page, and costs no
 * mapping. Else the page becomes a mapping of its own, which also splits the one that it lies in:
 * these are counted, and there are none beyond half of vm.max_map_count, which is said once. No
 * lock is taken.
 */
#ifndef ACRE_LIB_GUARD_PAGE_H
#define ACRE_LIB_GUARD_PAGE_H

#include "base/base.h"

enum guard_page {
    GUARD_PAGE_NONE,
    GUARD_PAGE_MARKED, /* by the kernel's means */
    GUARD_PAGE_MAPPED, /* a mapping of its own */
};

/* True if a guard is to be set: the option is on, and there may be one more. */
bool guard_page_is_wanted(void);

/* Takes access from an open page, whose contents are lost. NONE if the system refuses; the page is
 * open then. */
enum guard_page guard_page_set(void *page);

/* Opens a page that guard_page_set has returned something else than NONE for. False if the system
 * refuses: nothing is known of the page then. */
bool guard_page_clear(void *page, enum guard_page kind);

/* True if `count` mappings more, which stay, are within the budget; they are counted. */
bool guard_page_take_mappings(size_t count);

#endif
