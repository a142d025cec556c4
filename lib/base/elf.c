/*
 * Finding symbols: see elf.h. By DT_GNU_HASH, as the dynamic linker does; an image without that has
 * DT_HASH, which says how many symbols there are.
 */
#define _GNU_SOURCE 1
#include "base/elf.h"

#include <string.h>

/* The table that an entry of the dynamic section names; NULL if there is no such entry. glibc adds
 * the base to the entries of the images that it loads, in place. */
static const void *table(uintptr_t base, const ElfW(Dyn) * entry, ElfW(Sxword) tag)
{
    for (; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag)
            return (const void *)((entry->d_un.d_ptr < base ? base : 0) + entry->d_un.d_ptr);
    return NULL;
}

/* The numbers of the first symbol that may have a name, and of one after the last. */
struct range {
    size_t first, end;
};

/* The symbols of the name's bucket. `hash` is: buckets, first symbol, words of a filter, shift; the
 * filter; the buckets; for each symbol its hash, with bit 0 set in a bucket's last one. */
static struct range bucket_of(const uint32_t *hash, const char *name)
{
    uint32_t key = 5381;
    for (; *name != '\0'; name++)
        key = key * 33 + (unsigned char)*name;
    uint32_t bucket_count = hash[0], first_symbol = hash[1], filter_words = hash[2];
    const uint32_t *buckets = hash + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(*hash));
    const uint32_t *hashes = buckets + bucket_count;
    size_t first = bucket_count != 0 ? buckets[key % bucket_count] : 0;
    if (first < first_symbol)
        return (struct range){0, 0};
    size_t last = first;
    while ((hashes[last - first_symbol] & 1) == 0)
        last++;
    return (struct range){first, last + 1};
}

const ElfW(Sym) * elf_find_symbol(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    const ElfW(Sym) *symbols = table(base, dynamic, DT_SYMTAB);
    const char *names = table(base, dynamic, DT_STRTAB);
    const uint32_t *gnu_hash = table(base, dynamic, DT_GNU_HASH);
    const uint32_t *hash = table(base, dynamic, DT_HASH);
    struct range range = {0, 0};
    if (gnu_hash != NULL)
        range = bucket_of(gnu_hash, name);
    else if (hash != NULL)
        range.end = hash[1];
    for (size_t i = range.first; i < range.end; i++)
        if (strcmp(names + symbols[i].st_name, name) == 0)
            return &symbols[i];
    return NULL;
}

void *elf_find_vdso(const void *image, const char *name)
{
    const ElfW(Ehdr) *header = image;
    const ElfW(Phdr) *dynamic = NULL;
    uintptr_t base = (uintptr_t)image; /* where address 0 of the image is mapped */
    for (size_t i = 0; header != NULL && i < header->e_phnum; i++) {
        const ElfW(Phdr) *segment = (const ElfW(Phdr) *)((const char *)image + header->e_phoff) + i;
        if (segment->p_type == PT_LOAD)
            base = (uintptr_t)image + segment->p_offset - segment->p_vaddr;
        else if (segment->p_type == PT_DYNAMIC)
            dynamic = segment;
    }
    if (dynamic == NULL)
        return NULL;
    const ElfW(Sym) *symbol =
        elf_find_symbol(base, (const ElfW(Dyn) *)(base + dynamic->p_vaddr), name);
    return symbol != NULL && symbol->st_shndx != SHN_UNDEF ? (void *)(base + symbol->st_value)
                                                           : NULL;
}
