/* Memory that may not be mapped: see readable.h. */
#include "modes/readable.h"

#include "base/os.h"

bool readable_has(struct readable *memory, uintptr_t address, size_t size)
{
    if (address < memory->from || address >= memory->to || size > memory->to - address)
        return false;
    size_t page = os_page_size();
    for (uintptr_t at = align_down(address, page); at < address + size; at += page) {
        uintptr_t *slot = &memory->pages[at / page % READABLE_PAGES];
        if (*slot == at && at != 0)
            continue;
        if (!os_is_readable(at))
            return false;
        *slot = at;
    }
    return true;
}
