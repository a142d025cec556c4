/*
 * Reads ELF files; elf_facts.h is the contract. The layout is that of the System V ABI, chapters 4
 * and 5, as in <elf.h>; the hash tables, which tell the number of symbols, are read as glibc's
 * dl-lookup.c does. The fields up to e_machine stand at the same places in files of either class.
 *
 * A file is mapped and may contain anything: each part is copied out of it by functions that fail
 * if it does not lie inside.
 */
#define _GNU_SOURCE 1
#include "elf_facts.h"

#include <byteswap.h>
#include <elf.h>
#include <endian.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    NATIVE_CLASS = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32,
    NATIVE_DATA = BYTE_ORDER == LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB,
    NAME_TEXT = 64, /* characters; the longest name that is looked for is far shorter */
};

/* A file, and the places in it of the tables that its dynamic section names; 0: none. */
struct image {
    const unsigned char *bytes;
    size_t size;
    ElfW(Ehdr) header;
    uint64_t strings, symbols, hash, gnu_hash;
};

static const struct {
    uint16_t machine;
    const char *name;
} machines[] = {
    {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},   {EM_AARCH64, "arm64"},
    {EM_RISCV, "riscv"}, {EM_PPC64, "ppc64"},   {EM_S390, "s390"},
};

/*
 * The sanitizers that replace malloc. A program needs the library libWORD.so (gcc) or
 * libclang_rt.WORD (clang -shared-libasan), or it has the runtime in it. That exports __WORD_init
 * (clang), or, since libc refers to it, malloc, and asks whether there is a symbolizer
 * (gcc -static-libasan): then it is not known which one it is.
 */
static const struct {
    const char *word, *name;
} sanitizers[] = {
    {"asan", "AddressSanitizer"}, {"hwasan", "HWAddressSanitizer"}, {"lsan", "LeakSanitizer"},
    {"msan", "MemorySanitizer"},  {"tsan", "ThreadSanitizer"},
};
enum { SANITIZERS = sizeof sanitizers / sizeof sanitizers[0] };

/* Copies bytes at an offset of the file. False if they are not all in it. */
static bool copy_at(const struct image *image, uint64_t offset, void *to, size_t size)
{
    if (offset > image->size || size > image->size - offset)
        return false;
    memcpy(to, image->bytes + offset, size);
    return true;
}

/* Copies program header `number`. False after the last one. */
static bool copy_segment(const struct image *image, unsigned number, ElfW(Phdr) * segment)
{
    const ElfW(Ehdr) *header = &image->header;
    return number < header->e_phnum &&
           copy_at(image, header->e_phoff + (uint64_t)number * header->e_phentsize, segment,
                   sizeof *segment);
}

/* The offset in the file of what is loaded at an address; the file's size if nothing is. */
static uint64_t place_of(const struct image *image, uint64_t address)
{
    ElfW(Phdr) segment;
    for (unsigned i = 0; copy_segment(image, i, &segment); i++) {
        uint64_t inside = address - segment.p_vaddr;
        if (segment.p_type == PT_LOAD && inside < segment.p_filesz)
            return segment.p_offset + inside;
    }
    return image->size;
}

/* True if the text at `string` of the string table begins with `text`. */
static bool begins(const struct image *image, uint64_t string, const char *text)
{
    char found[NAME_TEXT];
    size_t length = strlen(text);
    return length <= sizeof found && copy_at(image, image->strings + string, found, length) &&
           memcmp(found, text, length) == 0;
}

/* True if the text at `string` is `text`. */
static bool equals(const struct image *image, uint64_t string, const char *text)
{
    char end;
    return begins(image, string, text) &&
           copy_at(image, image->strings + string + strlen(text), &end, 1) && end == '\0';
}

/* Copies entry `number` of the dynamic section. False after the last one, or if there is none. */
static bool copy_dynamic(const struct image *image, size_t number, ElfW(Dyn) * entry)
{
    ElfW(Phdr) segment;
    for (unsigned i = 0; copy_segment(image, i, &segment); i++)
        if (segment.p_type == PT_DYNAMIC)
            return number < segment.p_filesz / sizeof *entry &&
                   copy_at(image, segment.p_offset + number * sizeof *entry, entry,
                           sizeof *entry) &&
                   entry->d_tag != DT_NULL;
    return false;
}

static void find_tables(struct image *image)
{
    ElfW(Dyn) entry;
    for (size_t i = 0; copy_dynamic(image, i, &entry); i++) {
        switch (entry.d_tag) {
        case DT_STRTAB:
            image->strings = place_of(image, entry.d_un.d_ptr);
            break;
        case DT_SYMTAB:
            image->symbols = place_of(image, entry.d_un.d_ptr);
            break;
        case DT_HASH:
            image->hash = place_of(image, entry.d_un.d_ptr);
            break;
        case DT_GNU_HASH:
            image->gnu_hash = place_of(image, entry.d_un.d_ptr);
            break;
        }
    }
}

/* The number of dynamic symbols by DT_GNU_HASH: that of the last one of the highest chain. */
static uint32_t count_by_gnu_hash(const struct image *image)
{
    uint32_t head[4]; /* buckets, first symbol, words of the filter, its shift */
    if (!copy_at(image, image->gnu_hash, head, sizeof head))
        return 0;
    uint64_t buckets = image->gnu_hash + sizeof head + head[2] * (uint64_t)sizeof(ElfW(Addr));
    uint64_t chains = buckets + head[0] * (uint64_t)sizeof(uint32_t);
    uint32_t last = 0, entry;
    for (uint32_t i = 0; i < head[0]; i++) {
        if (!copy_at(image, buckets + i * (uint64_t)sizeof entry, &entry, sizeof entry))
            return 0;
        last = entry > last ? entry : last;
    }
    if (last < head[1])
        return 0;
    do { /* bit 0 ends a chain */
        if (!copy_at(image, chains + (last - head[1]) * (uint64_t)sizeof entry, &entry,
                     sizeof entry))
            return 0;
        last++;
    } while ((entry & 1) == 0);
    return last;
}

static uint32_t count_symbols(const struct image *image)
{
    uint32_t head[2]; /* buckets, symbols */
    if (image->hash != 0 && copy_at(image, image->hash, head, sizeof head))
        return head[1];
    return image->gnu_hash != 0 ? count_by_gnu_hash(image) : 0;
}

/* The name of the sanitizer that has a function of this name; NULL: none. */
static const char *sanitizer_of(const struct image *image, uint64_t string)
{
    char wanted[NAME_TEXT];
    if (!begins(image, string, "__"))
        return NULL;
    for (size_t i = 0; i < SANITIZERS; i++) {
        snprintf(wanted, sizeof wanted, "__%s_init", sanitizers[i].word);
        if (equals(image, string, wanted))
            return sanitizers[i].name;
    }
    return NULL;
}

/* Notes what follows from the dynamic symbols. */
static void read_symbols(const struct image *image, struct elf_facts *facts)
{
    ElfW(Sym) symbol;
    bool has_malloc = false, has_symbolizer = false;
    uint32_t count = count_symbols(image);
    for (uint32_t i = 0; i < count; i++) {
        if (!copy_at(image, image->symbols + i * (uint64_t)sizeof symbol, &symbol, sizeof symbol))
            break;
        if (equals(image, symbol.st_name, "__sanitizer_symbolize_code"))
            has_symbolizer = true;
        if (symbol.st_shndx == SHN_UNDEF)
            continue;
        if (equals(image, symbol.st_name, "malloc"))
            has_malloc = true;
        if (equals(image, symbol.st_name, "acre_version"))
            facts->is_acre = true;
        if (facts->sanitizer == NULL)
            facts->sanitizer = sanitizer_of(image, symbol.st_name);
    }
    if (facts->sanitizer == NULL && has_malloc && has_symbolizer)
        facts->sanitizer = "a sanitizer";
}

/* Notes what follows from the libraries that the file needs. */
static void read_needed(const struct image *image, struct elf_facts *facts)
{
    char gcc[NAME_TEXT], clang[NAME_TEXT];
    ElfW(Dyn) entry;
    for (size_t i = 0; copy_dynamic(image, i, &entry); i++) {
        for (size_t k = 0; k < SANITIZERS && entry.d_tag == DT_NEEDED; k++) {
            snprintf(gcc, sizeof gcc, "lib%s.so", sanitizers[k].word);
            snprintf(clang, sizeof clang, "libclang_rt.%s", sanitizers[k].word);
            if (begins(image, entry.d_un.d_val, gcc) || begins(image, entry.d_un.d_val, clang))
                facts->sanitizer = sanitizers[k].name;
        }
    }
}

/* Notes the dynamic linker; that of musl is /lib/ld-musl-x86_64.so.1 or the like. */
static void read_interpreter(const struct image *image, struct elf_facts *facts)
{
    static const char musl[] = "/ld-musl-";
    ElfW(Phdr) segment;
    facts->has_interpreter = false;
    for (unsigned i = 0; copy_segment(image, i, &segment); i++) {
        if (segment.p_type != PT_INTERP)
            continue;
        facts->has_interpreter = true;
        if (segment.p_offset <= image->size && segment.p_filesz <= image->size - segment.p_offset)
            facts->is_of_musl = memmem(image->bytes + segment.p_offset, segment.p_filesz, musl,
                                       sizeof musl - 1) != NULL;
    }
}

/* Reads the facts from a file in memory. */
static bool read_image(struct image *image, struct elf_facts *facts)
{
    ElfW(Ehdr) *header = &image->header;
    if (!copy_at(image, 0, header, sizeof(Elf32_Ehdr)) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    *facts = (struct elf_facts){
        .class = header->e_ident[EI_CLASS],
        .data = header->e_ident[EI_DATA],
        .has_interpreter = true,
        .is_acre = true,
    };
    facts->machine =
        facts->data == NATIVE_DATA ? header->e_machine : (uint16_t)bswap_16(header->e_machine);
    if (facts->class != NATIVE_CLASS || facts->data != NATIVE_DATA)
        return true;
    if (!copy_at(image, 0, header, sizeof *header))
        return false;
    facts->is_acre = false;
    read_interpreter(image, facts);
    find_tables(image);
    read_symbols(image, facts);
    read_needed(image, facts);
    return true;
}

bool elf_facts_read(int fd, struct elf_facts *facts)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0)
        return false;
    struct image image = {.size = (size_t)status.st_size};
    void *bytes = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    image.bytes = bytes;
    bool is_elf = read_image(&image, facts);
    munmap(bytes, image.size);
    return is_elf;
}

bool elf_facts_are_compatible(const struct elf_facts *a, const struct elf_facts *b)
{
    return a->class == b->class && a->data == b->data && a->machine == b->machine;
}

void elf_facts_describe(const struct elf_facts *facts, char *text, size_t size)
{
    const char *bits = facts->class == ELFCLASS64 ? "64-bit" : "32-bit";
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        if (machines[i].machine == facts->machine) {
            snprintf(text, size, "%s %s", bits, machines[i].name);
            return;
        }
    }
    snprintf(text, size, "%s machine %u", bits, facts->machine);
}
