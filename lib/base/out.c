/*
 * Formatting and writing without allocating; out.h is the contract.
 *
 * A format is walked once: literal text is copied, a conversion is parsed into a struct conversion
 * and printed by the function of its kind. Everything ends in put(), which knows where text goes.
 * Owns no state; a struct out belongs to its caller.
 */
#define _GNU_SOURCE 1
#include "base/out.h"

#include <string.h>

#include "base/os.h"

enum {
    DIGITS = 24,    /* characters; a 64-bit number has at most 20 digits, and a prefix */
    SIZE_TEXT = 16, /* characters; "1023.9 KiB" is the longest size */
};

/* What stands between a % and its letter. */
struct conversion {
    bool left;     /* `-`: fill up on the right */
    int width;     /* characters, at least */
    int precision; /* characters of a %s, at most; -1: all */
};

/* A va_list that functions can take from in turn, as a pointer to it may not be portable. */
struct arguments {
    va_list list;
};

static void flush(struct out *out)
{
    os_write(out->fd, out->buffer, out->used);
    out->used = 0;
}

/* Adds length bytes of text. */
static void put(struct out *out, const char *text, size_t length)
{
    out->wanted += length;
    if (out->fd < 0) {
        if (out->size == 0)
            return;
        length = min_size(length, out->size - 1 - out->used);
        memcpy(out->buffer + out->used, text, length);
        out->used += length;
        out->buffer[out->used] = '\0';
        return;
    }
    while (length != 0) {
        if (out->used == out->size)
            flush(out);
        size_t part = min_size(length, out->size - out->used);
        memcpy(out->buffer + out->used, text, part);
        out->used += part;
        text += part;
        length -= part;
    }
}

/* Adds blanks; none if count is not positive. */
static void put_blanks(struct out *out, int count)
{
    for (; count > 0; count--)
        put(out, " ", 1);
}

/* Adds text, filled up to the conversion's width. */
static void put_field(struct out *out, const struct conversion *conversion, const char *text,
                      size_t length)
{
    int missing = length < (size_t)conversion->width ? conversion->width - (int)length : 0;
    put_blanks(out, conversion->left ? 0 : missing);
    put(out, text, length);
    put_blanks(out, conversion->left ? missing : 0);
}

/* Adds a number after a prefix of at most two characters. */
static void put_number(struct out *out, const struct conversion *conversion, const char *prefix,
                       uint64_t number, unsigned base)
{
    char digits[DIGITS];
    size_t first = DIGITS;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    for (size_t i = strlen(prefix); i-- != 0;)
        digits[--first] = prefix[i];
    put_field(out, conversion, digits + first, DIGITS - first);
}

static void put_string(struct out *out, const struct conversion *conversion, const char *text)
{
    if (text == NULL)
        text = "(null)";
    size_t most = conversion->precision < 0 ? SIZE_MAX : (size_t)conversion->precision;
    put_field(out, conversion, text, strnlen(text, most));
}

/* Reads digits, or a `*` that stands for an argument; returns what follows. */
static const char *parse_count(const char *at, int *count, struct arguments *arguments)
{
    *count = 0;
    if (*at == '*') {
        *count = va_arg(arguments->list, int);
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        *count = *count * 10 + (*at - '0');
    return at;
}

/* Reads what stands between a % and its letter; returns the letter's place. */
static const char *parse_conversion(const char *at, struct conversion *conversion,
                                    struct arguments *arguments)
{
    *conversion = (struct conversion){.precision = -1};
    if (*at == '-') {
        conversion->left = true;
        at++;
    }
    at = parse_count(at, &conversion->width, arguments);
    if (*at == '.')
        at = parse_count(at + 1, &conversion->precision, arguments);
    return at;
}

/* Adds one argument as the letter says; returns what follows it. NULL, with nothing done, if the
 * letter is unknown. */
static const char *convert(struct out *out, const char *letter, const struct conversion *conversion,
                           struct arguments *arguments)
{
    int number;
    switch (letter[0]) {
    case 's':
        put_string(out, conversion, va_arg(arguments->list, const char *));
        return letter + 1;
    case 'd':
        number = va_arg(arguments->list, int);
        put_number(out, conversion, number < 0 ? "-" : "",
                   number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
        return letter + 1;
    case 'z':
        if (letter[1] != 'u')
            return NULL;
        put_number(out, conversion, "", va_arg(arguments->list, size_t), 10);
        return letter + 2;
    case 'p':
        put_number(out, conversion, "0x", (uintptr_t)va_arg(arguments->list, void *), 16);
        return letter + 1;
    case '%':
        put(out, "%", 1);
        return letter + 1;
    default:
        return NULL;
    }
}

void out_to_fd(struct out *out, int fd)
{
    out->fd = fd;
    out->used = 0;
    out->size = sizeof out->own;
    out->wanted = 0;
    out->buffer = out->own;
}

void out_to_memory(struct out *out, char *memory, size_t size)
{
    out->fd = -1;
    out->used = 0;
    out->size = size;
    out->wanted = 0;
    out->buffer = memory;
    if (size != 0)
        memory[0] = '\0';
}

void out_format_list(struct out *out, const char *format, va_list list)
{
    struct arguments arguments;
    va_copy(arguments.list, list);
    while (*format != '\0') {
        const char *percent = strchrnul(format, '%');
        put(out, format, (size_t)(percent - format));
        if (*percent == '\0')
            break;
        struct conversion conversion;
        const char *letter = parse_conversion(percent + 1, &conversion, &arguments);
        format = convert(out, letter, &conversion, &arguments);
        if (format == NULL) {
            format = *letter == '\0' ? letter : letter + 1;
            put(out, percent, (size_t)(format - percent));
        }
    }
    va_end(arguments.list);
}

void out_format(struct out *out, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    out_format_list(out, format, list);
    va_end(list);
}

void out_size(struct out *out, size_t bytes, int width)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = bytes == 0 ? 0 : highest_bit(bytes) / 10;
    uint64_t grain = (uint64_t)1 << (10 * unit);
    uint64_t whole = bytes / grain;
    uint64_t tenths = (bytes % grain * 10 + grain / 2) / grain; /* below 2^64: the rest is < 2^60 */
    if (tenths == 10) {
        tenths = 0;
        whole++;
    }
    if (whole == 1024) { /* by rounding up: 1048575 bytes are 1 MiB, not 1024 KiB */
        whole = 1;
        unit++;
    }

    char text[SIZE_TEXT];
    struct out inner;
    out_to_memory(&inner, text, sizeof text);
    if (tenths == 0)
        out_format(&inner, "%zu %s", (size_t)whole, units[unit]);
    else
        out_format(&inner, "%zu.%zu %s", (size_t)whole, (size_t)tenths, units[unit]);
    out_end(&inner);
    out_format(out, "%*s", width, text);
}

size_t out_end(struct out *out)
{
    if (out->fd >= 0)
        flush(out);
    return out->wanted;
}
