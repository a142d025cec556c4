/* Mapped files: see mapped_file.h. */
#define _GNU_SOURCE 1
#include "mapped_file.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mapped_file_open(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file >= 0 && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(file);
        file = -1;
    }
    return file;
}

bool mapped_file_has_build_id(int file, const void *id, size_t size)
{
    const void *found = NULL;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ, NULL);
    ssize_t found_size = elf != NULL ? dwelf_elf_gnu_build_id(elf, &found) : -1;
    bool same = found != NULL && found_size == (ssize_t)size && memcmp(found, id, size) == 0;
    elf_end(elf);
    return same;
}
