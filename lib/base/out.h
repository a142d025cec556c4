/*
 * Text that is collected on the caller's stack, and goes to a file descriptor or a stream when the
 * buffer is full and at out_end, or stays in memory and is cut off. Allocates nothing, as vsnprintf
 * does not for these formats.
 */
#ifndef ACRE_LIB_OUT_H
#define ACRE_LIB_OUT_H

#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

struct out {
    int fd;         /* where it goes, unless to the stream; -1: stays in `text` */
    FILE *stream;   /* NULL: none */
    bool failed;    /* the descriptor did not take all of it */
    size_t used;    /* bytes of the text, without its NUL */
    char text[512]; /* what has not been written yet */
};

/* Begins output to file descriptor fd. */
void out_to_fd(struct out *out, int fd);

/* Begins output to a stream, which may allocate. */
void out_to_stream(struct out *out, FILE *stream);

/* Begins output that stays in out->text. */
void out_to_memory(struct out *out);

/* Adds formatted text, as printf; at most 511 characters in one call. */
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_format_list(struct out *out, const char *format, va_list list);

/* Adds a size with a binary unit, at most one decimal, right-aligned in `width`: "512 B", "1.5
 * MiB". */
void out_size(struct out *out, size_t bytes, int width);

/* Writes what is left. False if the descriptor did not take all of the text. */
bool out_end(struct out *out);

#endif
