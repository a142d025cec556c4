/* Text: see out.h. */
#include "base/out.h"

#include "base/os.h"

void out_to_fd(struct out *out, int fd)
{
    out->fd = fd;
    out->stream = NULL;
    out->failed = false;
    out->used = 0;
    out->text[0] = '\0';
}

void out_to_stream(struct out *out, FILE *stream)
{
    out_to_memory(out);
    out->stream = stream;
}

void out_to_memory(struct out *out)
{
    out_to_fd(out, -1);
}

/* Writes the first `length` bytes; the buffer is empty then. */
static void flush(struct out *out, size_t length)
{
    if (out->stream != NULL)
        fwrite(out->text, 1, length, out->stream);
    else if (!os_write(out->fd, out->text, length))
        out->failed = true;
    out->used = 0;
}

static bool is_to_be_written(const struct out *out)
{
    return out->fd >= 0 || out->stream != NULL;
}

/* Formats into what is left of the buffer. False if that is too short. */
static bool format_rest(struct out *out, const char *format, va_list list)
{
    size_t room = sizeof(out->text) - out->used;
    size_t length = (size_t)vsnprintf(out->text + out->used, room, format, list);
    out->used += min_size(length, room - 1);
    return length < room;
}

void out_format_list(struct out *out, const char *format, va_list list)
{
    size_t before = out->used;
    va_list again;
    va_copy(again, list);
    if (!format_rest(out, format, list) && is_to_be_written(out)) {
        flush(out, before);
        (void)format_rest(out, format, again);
    }
    va_end(again);
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

    char text[sizeof("1023.9 MiB")]; /* not a struct out: threads may have little stack */
    if (tenths != 0)
        snprintf(text, sizeof(text), "%u.%u %s", (unsigned)whole, (unsigned)tenths, units[unit]);
    else
        snprintf(text, sizeof(text), "%u %s", (unsigned)whole, units[unit]);
    out_format(out, "%*s", width, text);
}

bool out_end(struct out *out)
{
    if (is_to_be_written(out))
        flush(out, out->used);
    return !out->failed;
}
