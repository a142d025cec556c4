/*
 * What acre-run needs to know of an ELF file: for which machine it is, whether the dynamic linker
 * starts it, and whether it is acre or has a sanitizer.
 */
#ifndef ACRE_TOOLS_ELF_FACTS_H
#define ACRE_TOOLS_ELF_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fields from has_interpreter on are known only if class and data are those of this program;
 * else they are those of a program that can be preloaded. */
struct elf_facts {
    unsigned char class;   /* ELFCLASS32 or ELFCLASS64 */
    unsigned char data;    /* byte order: ELFDATA2LSB or ELFDATA2MSB */
    uint16_t machine;      /* EM_X86_64 and so on */
    bool has_interpreter;  /* names a dynamic linker */
    bool is_of_musl;       /* names that of the C library musl */
    bool is_acre;          /* exports acre_version */
    const char *sanitizer; /* one that it contains or needs, and that replaces malloc:
                              "AddressSanitizer", "a sanitizer"; NULL: none */
};

/* Reads the facts from a file. False if it is no ELF file. */
bool elf_facts_read(int fd, struct elf_facts *facts);

/* True if code of both can run in one process. */
bool elf_facts_are_compatible(const struct elf_facts *a, const struct elf_facts *b);

/* Writes "64-bit x86-64" or the like into text[0..size-1]. */
void elf_facts_describe(const struct elf_facts *facts, char *text, size_t size);

#endif
