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
    DIGITS = 24,    /* characters; a 64-bit number has at most 20 digits */
    SIZE_TEXT = 16, /* characters; "1023.9 KiB" is the longest size */
};

/* The type of a number that a conversion takes. */
enum length { LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG, LENGTH_SIZE };

/* What stands between a % and its letter. */
struct conversion {
    bool left;          /* `-`: fill up on the right */
    bool zero;          /* `0`: fill numbers up with zeros after the sign */
    int width;          /* characters, at least */
    int precision;      /* characters of a %s, at most; -1: all */
    enum length length; /* of a number */
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

/* Adds `fill` count times; nothing if count is not positive. */
static void put_fill(struct out *out, char fill, int count)
{
    for (; count > 0; count--)
        put(out, &fill, 1);
}

/* Adds prefix and text, filled up to the conversion's width. */
static void put_field(struct out *out, const struct conversion *conversion, const char *prefix,
                      const char *text, size_t length)
{
    size_t whole = strlen(prefix) + length;
    int missing = whole < (size_t)conversion->width ? conversion->width - (int)whole : 0;
    bool zero = conversion->zero && !conversion->left;
    if (!conversion->left && !zero)
        put_fill(out, ' ', missing);
    put(out, prefix, strlen(prefix));
    if (zero)
        put_fill(out, '0', missing);
    put(out, text, length);
    if (conversion->left)
        put_fill(out, ' ', missing);
}

static void put_number(struct out *out, const struct conversion *conversion, const char *prefix,
                       uint64_t number, unsigned base)
{
    char digits[DIGITS];
    size_t first = DIGITS;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    put_field(out, conversion, prefix, digits + first, DIGITS - first);
}

static void put_string(struct out *out, struct conversion conversion, const char *text)
{
    if (text == NULL)
        text = "(null)";
    size_t length =
        conversion.precision < 0 ? strlen(text) : strnlen(text, (size_t)conversion.precision);
    conversion.zero = false; /* for numbers only */
    put_field(out, &conversion, "", text, length);
}

static uint64_t take_unsigned(enum length length, struct arguments *arguments)
{
    switch (length) {
    case LENGTH_LONG:
        return va_arg(arguments->list, unsigned long);
    case LENGTH_LONG_LONG:
        return va_arg(arguments->list, unsigned long long);
    case LENGTH_SIZE:
        return va_arg(arguments->list, size_t);
    case LENGTH_INT:
        break;
    }
    return va_arg(arguments->list, unsigned);
}

static int64_t take_signed(enum length length, struct arguments *arguments)
{
    switch (length) {
    case LENGTH_LONG:
        return va_arg(arguments->list, long);
    case LENGTH_LONG_LONG:
        return va_arg(arguments->list, long long);
    case LENGTH_SIZE:
        return va_arg(arguments->list, ptrdiff_t);
    case LENGTH_INT:
        break;
    }
    return va_arg(arguments->list, int);
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
    for (; *at == '-' || *at == '0'; at++) {
        conversion->left |= *at == '-';
        conversion->zero |= *at == '0';
    }
    at = parse_count(at, &conversion->width, arguments);
    if (conversion->width < 0) { /* as printf has it: a negative `*` means `-` */
        conversion->left = true;
        conversion->width = -conversion->width;
    }
    if (*at == '.')
        at = parse_count(at + 1, &conversion->precision, arguments);
    if (*at == 'z') {
        conversion->length = LENGTH_SIZE;
        at++;
    } else if (at[0] == 'l' && at[1] == 'l') {
        conversion->length = LENGTH_LONG_LONG;
        at += 2;
    } else if (*at == 'l') {
        conversion->length = LENGTH_LONG;
        at++;
    }
    return at;
}

/* Adds one argument as the letter says. False, with nothing done, if the letter is unknown. */
static bool convert(struct out *out, char letter, const struct conversion *conversion,
                    struct arguments *arguments)
{
    int64_t number;
    char character;
    switch (letter) {
    case 's':
        put_string(out, *conversion, va_arg(arguments->list, const char *));
        return true;
    case 'c':
        character = (char)va_arg(arguments->list, int);
        put_field(out, conversion, "", &character, 1);
        return true;
    case 'd':
    case 'i':
        number = take_signed(conversion->length, arguments);
        put_number(out, conversion, number < 0 ? "-" : "",
                   number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
        return true;
    case 'u':
        put_number(out, conversion, "", take_unsigned(conversion->length, arguments), 10);
        return true;
    case 'x':
        put_number(out, conversion, "", take_unsigned(conversion->length, arguments), 16);
        return true;
    case 'p':
        put_number(out, conversion, "0x", (uintptr_t)va_arg(arguments->list, void *), 16);
        return true;
    case '%':
        put(out, "%", 1);
        return true;
    default:
        return false;
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
        format = *letter == '\0' ? letter : letter + 1;
        if (!convert(out, *letter, &conversion, &arguments))
            put(out, percent, (size_t)(format - percent));
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
