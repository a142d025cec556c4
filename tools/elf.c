/*
 * Reads ELF headers; elf.h is the contract. Layout: System V ABI, chapter 4, as <elf.h> has it. The
 * fields up to e_machine stand at the same places in files of either class.
 */
#define _GNU_SOURCE 1
#include "elf.h"

#include <byteswap.h>
#include <elf.h>
#include <endian.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    NATIVE_CLASS = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32,
    NATIVE_DATA = BYTE_ORDER == LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB,
};

static const struct {
    uint16_t machine;
    const char *name;
} machines[] = {
    {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},   {EM_AARCH64, "arm64"},
    {EM_RISCV, "riscv"}, {EM_PPC64, "ppc64"},   {EM_S390, "s390"},
};

/* True if one of the program headers names a dynamic linker. */
static bool names_interpreter(int fd, const ElfW(Ehdr) * header)
{
    ElfW(Phdr) segment;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        off_t place = (off_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        if (pread(fd, &segment, sizeof segment, place) != (ssize_t)sizeof segment)
            return false;
        if (segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

bool elf_read(int fd, struct elf_facts *facts)
{
    ElfW(Ehdr) header;
    memset(&header, 0, sizeof header);
    ssize_t length = pread(fd, &header, sizeof header, 0);
    if (length < (ssize_t)sizeof(Elf32_Ehdr) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    facts->class = header.e_ident[EI_CLASS];
    facts->data = header.e_ident[EI_DATA];
    facts->machine =
        facts->data == NATIVE_DATA ? header.e_machine : (uint16_t)bswap_16(header.e_machine);
    facts->has_interpreter = facts->class != NATIVE_CLASS || facts->data != NATIVE_DATA ||
                             names_interpreter(fd, &header);
    return true;
}

bool elf_is_compatible(const struct elf_facts *a, const struct elf_facts *b)
{
    return a->class == b->class && a->data == b->data && a->machine == b->machine;
}

void elf_describe(const struct elf_facts *facts, char *text, size_t size)
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
