/*
 * Finding functions of the vDSO: see vdso.h. The algorithm is that of the kernel's example
 * tools/testing/selftests/vDSO/parse_vdso.c, without symbol versions. Owns no state.
 */
#include "base/vdso.h"

#include <elf.h>
#include <string.h>

/* Where the tables of an image are; NULL where it has none. */
struct tables {
    const char *base; /* where address 0 of the image is mapped */
    const Elf64_Sym *symbols;
    const char *names;
    const uint32_t *hash;     /* DT_HASH: buckets, symbols, ... */
    const uint32_t *gnu_hash; /* DT_GNU_HASH: buckets, first symbol, words of a filter, shift; the
                                 filter; the buckets; a chain for each */
};

/* Symbols of an image that has DT_GNU_HASH alone: the chain of the last bucket ends the table. */
static size_t count_by_gnu_hash(const uint32_t *hash)
{
    const uint32_t *buckets = hash + 4 + hash[2] * (sizeof(size_t) / sizeof(uint32_t));
    const uint32_t *chains = buckets + hash[0];
    size_t last = 0;
    for (uint32_t i = 0; i < hash[0]; i++)
        last = max_size(last, buckets[i]);
    if (last < hash[1])
        return 0;
    while ((chains[last - hash[1]] & 1) == 0)
        last++;
    return last + 1;
}

static size_t count_symbols(const struct tables *tables)
{
    if (tables->hash != NULL)
        return tables->hash[1];
    return tables->gnu_hash != NULL ? count_by_gnu_hash(tables->gnu_hash) : 0;
}

static void read_dynamic(struct tables *tables, const Elf64_Dyn *entry)
{
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *address = tables->base + entry->d_un.d_ptr;
        if (entry->d_tag == DT_SYMTAB)
            tables->symbols = address;
        else if (entry->d_tag == DT_STRTAB)
            tables->names = address;
        else if (entry->d_tag == DT_HASH)
            tables->hash = address;
        else if (entry->d_tag == DT_GNU_HASH)
            tables->gnu_hash = address;
    }
}

/* Fills in the tables of the image at `header`. */
static void read_image(struct tables *tables, const Elf64_Ehdr *header)
{
    const char *start = (const char *)header;
    const Elf64_Phdr *segments = (const void *)(start + header->e_phoff);
    const Elf64_Phdr *dynamic = NULL;
    tables->base = start;
    for (size_t i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD)
            tables->base = start + segments[i].p_offset - segments[i].p_vaddr;
        else if (segments[i].p_type == PT_DYNAMIC)
            dynamic = &segments[i];
    }
    if (dynamic != NULL)
        read_dynamic(tables, (const void *)(tables->base + dynamic->p_vaddr));
}

void *vdso_find(const void *image, const char *name)
{
    struct tables tables = {0};
    if (image != NULL)
        read_image(&tables, image);
    if (tables.symbols == NULL || tables.names == NULL)
        return NULL;
    for (size_t i = 0, count = count_symbols(&tables); i < count; i++) {
        const Elf64_Sym *symbol = &tables.symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(tables.names + symbol->st_name, name) == 0)
            return (void *)(uintptr_t)(tables.base + symbol->st_value);
    }
    return NULL;
}
