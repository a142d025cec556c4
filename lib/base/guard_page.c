/* Guard pages: see guard_page.h. Owns the count of mappings. */
#include "base/guard_page.h"

#include "base/option.h"
#include "base/os.h"
#include "base/report.h"

#include <stdlib.h>

enum {
    MAPPINGS_OF_GUARD = 2, /* its own, and one more where it splits another */
    MAPPINGS_MOST = 65530, /* of a process, if the system does not say */
    BUDGET_PART = 2,       /* half of them may be taken for guards */
    NUMBER_TEXT = 32,      /* bytes of a number in a file */
};

/* [any] */
static struct {
    CACHE_ALIGNED uint64_t mappings; /* that guards have taken */
    uint64_t budget;                 /* 0 until it was read */
    bool is_told;                    /* that it is used up */
    bool marks_fail;                 /* the kernel refused the last mark */
} guards;

static uint64_t budget(void)
{
    uint64_t most = __atomic_load_n(&guards.budget, __ATOMIC_RELAXED);
    char text[NUMBER_TEXT];
    if (most == 0) {
        long length = os_read_file("/proc/sys/vm/max_map_count", OS_ANY, text, sizeof(text));
        uint64_t number = length > 0 ? strtoul(text, NULL, 10) : 0;
        most = (number != 0 ? number : MAPPINGS_MOST) / BUDGET_PART;
        __atomic_store_n(&guards.budget, most, __ATOMIC_RELAXED);
    }
    return most;
}

/* True if `count` mappings more are within the budget; says once that there are no more. */
static bool has_room(size_t count)
{
    if (__atomic_load_n(&guards.mappings, __ATOMIC_RELAXED) + count <= budget())
        return true;
    if (!__atomic_exchange_n(&guards.is_told, true, __ATOMIC_RELAXED))
        report_warning("hardened: guard pages take half of vm.max_map_count; there are no more");
    return false;
}

bool guard_page_take_mappings(size_t count)
{
    if (option_value(OPTION_HARDENED) == 0 || !has_room(count))
        return false;
    __atomic_fetch_add(&guards.mappings, count, __ATOMIC_RELAXED);
    return true;
}

bool guard_page_is_wanted(void)
{
    return option_value(OPTION_HARDENED) != 0 &&
           (!__atomic_load_n(&guards.marks_fail, __ATOMIC_RELAXED) || has_room(MAPPINGS_OF_GUARD));
}

enum guard_page guard_page_set(void *page)
{
    bool marked = os_mark_guard(page);
    __atomic_store_n(&guards.marks_fail, !marked, __ATOMIC_RELAXED);
    if (marked)
        return GUARD_PAGE_MARKED;
    if (!guard_page_take_mappings(MAPPINGS_OF_GUARD))
        return GUARD_PAGE_NONE;
    /* opened again where it was refused: a part of it may have been done */
    if (os_allow(page, os_page_size(), false) || !guard_page_clear(page, GUARD_PAGE_MAPPED))
        return GUARD_PAGE_MAPPED;
    return GUARD_PAGE_NONE;
}

bool guard_page_clear(void *page, enum guard_page kind)
{
    bool unmarked = os_unmark_guard(page);
    if (kind == GUARD_PAGE_MARKED)
        return unmarked;
    if (!os_open(page, os_page_size()))
        return false;
    __atomic_fetch_sub(&guards.mappings, MAPPINGS_OF_GUARD, __ATOMIC_RELAXED);
    return true;
}
