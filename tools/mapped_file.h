/* A file that a process has mapped, opened by its path, where another file may be by now. */
#ifndef ACRE_TOOLS_MAPPED_FILE_H
#define ACRE_TOOLS_MAPPED_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Opens a regular file for reading; -1: there is none. Does not wait for a device or a FIFO. */
int mapped_file_open(const char *path);

/* True if the file is an ELF file with the build-id id[0..size-1]. */
bool mapped_file_has_build_id(int file, const void *id, size_t size);

#endif
