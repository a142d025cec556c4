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
    INTERPRETER_TEXT = 4096, /* characters of a path */
};

static const struct {
    uint16_t machine;
    const char *name;
} machines[] = {
    {EM_386, "i386"},    {EM_X86_64, "x86-64"}, {EM_ARM, "arm"},   {EM_AARCH64, "arm64"},
    {EM_RISCV, "riscv"}, {EM_PPC64, "ppc64"},   {EM_S390, "s390"},
};

/* Copies the name of the dynamic linker, as far as it fits, to path. False if the program headers
 * name none. */
static bool read_interpreter(int fd, const ElfW(Ehdr) * header, char path[INTERPRETER_TEXT])
{
    ElfW(Phdr) segment;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        off_t place = (off_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        if (pread(fd, &segment, sizeof segment, place) != (ssize_t)sizeof segment)
            return false;
        if (segment.p_type == PT_INTERP) {
            ssize_t length = pread(fd, path, INTERPRETER_TEXT - 1, (off_t)segment.p_offset);
            path[length > 0 ? length : 0] = '\0';
            return true;
        }
    }
    return false;
}

/* True if a dynamic linker is that of musl: /lib/ld-musl-x86_64.so.1 and the like. */
static bool is_of_musl(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash != NULL ? slash + 1 : path, "ld-musl-", 8) == 0;
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
    facts->has_interpreter = true;
    facts->is_of_musl = false;
    if (facts->class == NATIVE_CLASS && facts->data == NATIVE_DATA) {
        char interpreter[INTERPRETER_TEXT] = "";
        facts->has_interpreter = read_interpreter(fd, &header, interpreter);
        facts->is_of_musl = is_of_musl(interpreter);
    }
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
