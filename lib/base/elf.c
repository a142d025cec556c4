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

/* The parts of DT_GNU_HASH: buckets, first symbol, words of a filter, shift; the filter; the
 * buckets; for each symbol its hash, with bit 0 set in a bucket's last one. */
struct gnu_hash {
    uint32_t bucket_count, first_symbol;
    const uint32_t *buckets, *hashes;
};

static struct gnu_hash parts_of(const uint32_t *hash)
{
    const uint32_t *buckets = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(*hash));
    return (struct gnu_hash){hash[0], hash[1], buckets, buckets + hash[0]};
}

/* The symbols of the bucket that begins with number `first`. */
static struct range bucket_at(const struct gnu_hash *hash, size_t first)
{
    if (first < hash->first_symbol)
        return (struct range){0, 0};
    size_t last = first;
    while ((hash->hashes[last - hash->first_symbol] & 1) == 0)
        last++;
    return (struct range){first, last + 1};
}

/* The symbols of the name's bucket. */
static struct range bucket_of(const struct gnu_hash *hash, const char *name)
{
    uint32_t key = 5381;
    for (; *name != '\0'; name++)
        key = key * 33 + (unsigned char)*name;
    return bucket_at(hash, hash->bucket_count != 0 ? hash->buckets[key % hash->bucket_count] : 0);
}

/* All symbols that the table has: up to the end of the last bucket. */
static struct range all_of(const struct gnu_hash *hash)
{
    size_t last = 0;
    for (uint32_t i = 0; i < hash->bucket_count; i++)
        if (hash->buckets[i] > last)
            last = hash->buckets[i];
    return (struct range){hash->first_symbol, bucket_at(hash, last).end};
}

/* The symbols that may have that name; NULL: all that are defined. */
static struct range range_of(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    const uint32_t *gnu_hash = table(base, dynamic, DT_GNU_HASH);
    const uint32_t *hash = table(base, dynamic, DT_HASH);
    if (gnu_hash == NULL)
        return (struct range){0, hash != NULL ? hash[1] : 0};
    struct gnu_hash parts = parts_of(gnu_hash);
    return name != NULL ? bucket_of(&parts, name) : all_of(&parts);
}

const ElfW(Sym) * elf_find_symbol(uintptr_t base, const ElfW(Dyn) * dynamic, const char *name)
{
    const ElfW(Sym) *symbols = table(base, dynamic, DT_SYMTAB);
    const char *names = table(base, dynamic, DT_STRTAB);
    struct range range = range_of(base, dynamic, name);
    for (size_t i = range.first; i < range.end; i++)
        if (strcmp(names + symbols[i].st_name, name) == 0)
            return &symbols[i];
    return NULL;
}

const ElfW(Sym) * elf_find_function_at(uintptr_t base, const ElfW(Dyn) * dynamic, uintptr_t address,
                                       const char **name)
{
    const ElfW(Sym) *symbols = table(base, dynamic, DT_SYMTAB);
    struct range range = range_of(base, dynamic, NULL);
    for (size_t i = range.first; i < range.end; i++) {
        const ElfW(Sym) *symbol = &symbols[i];
        if ((symbol->st_info & 0xf) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            address - base - symbol->st_value < symbol->st_size) {
            *name = (const char *)table(base, dynamic, DT_STRTAB) + symbol->st_name;
            return symbol;
        }
    }
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
