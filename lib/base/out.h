/*
 * Formatting and writing without allocating, without stdio and without locale. A struct out lives
 * on the caller's stack; text collects in its buffer and goes to the file descriptor when that is
 * full and at out_end(), or is cut off where the target is memory.
 */
#ifndef ACRE_LIB_OUT_H
#define ACRE_LIB_OUT_H

#include <stdarg.h>

#include "base/base.h"

struct out {
    int fd;        /* where it goes; -1: stays in memory */
    size_t used;   /* bytes in the buffer */
    size_t size;   /* bytes of the buffer */
    size_t wanted; /* bytes formatted so far, cut-off ones included */
    char *buffer;  /* own, or the caller's memory */
    char own[512];
};

/* Begins output to file descriptor fd. */
void out_to_fd(struct out *out, int fd);

/* Begins output into memory[0..size-1]; always NUL-terminated if size is not 0. */
void out_to_memory(struct out *out, char *memory, size_t size);

/*
 * Adds formatted text. Knows %s %d %zu %p %%, a minimum width (also *), `-` for left, and .N / .*
 * for %s. %p of NULL is 0x0. Anything else is copied as it stands.
 */
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the arguments as a list, which stays as it was for the caller. */
void out_format_list(struct out *out, const char *format, va_list list);

/* Adds a size with a binary unit, at most one decimal, right-aligned in `width`: "512 B", "1.5
 * MiB". */
void out_size(struct out *out, size_t bytes, int width);

/* Writes what is left to the descriptor, or terminates the memory. Returns bytes wanted. */
size_t out_end(struct out *out);

#endif
