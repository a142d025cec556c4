/*
 * What a start costs: the variables that each process writes to when it starts, and for its first
 * block, lie in pages of the library's data that the dynamic linker writes to anyway. Of the others
 * that begin with zeros, large tables for the most part, none has changed by then.
 */
#include "check.h"

#include <link.h>

struct range {
    const char *start, *end;
};

/* The pages of the library that are in no file, if this object is the library. */
static int find_pages(struct dl_phdr_info *object, size_t size, void *found)
{
    struct range *range = found;
    bool is_acre = strstr(object->dlpi_name, "libacre") != NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; is_acre && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_memsz != header->p_filesz) {
            uintptr_t start = object->dlpi_addr + header->p_vaddr;
            range->start = (const char *)((start + header->p_filesz + page - 1) / page * page);
            range->end = (const char *)(start + header->p_memsz);
        }
    }
    (void)size;
    return is_acre;
}

int main(void)
{
    struct range pages = {0};
    check_begin();
    free(hide(malloc(100)));
    CHECK(dl_iterate_phdr(find_pages, &pages) == 1 && pages.end - pages.start > 100000);
    for (const char *byte = pages.start; byte < pages.end; byte++)
        CHECK(*byte == 0);
    return 0;
}
