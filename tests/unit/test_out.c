/*
 * Text: the limits of the targets, and sizes.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/out.h"

SUITE(out);

TEST(memory_is_cut_off_and_terminated)
{
    struct out out;
    char text[sizeof out.text + 2];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    out_to_memory(&out);
    ck_assert_str_eq(out.text, "");
    out_format(&out, "%d%s", 12, "ab");
    ck_assert_str_eq(out.text, "12ab");
    ck_assert_uint_eq(out.used, 4);
    out_format(&out, "%s", text);
    out_format(&out, "y");
    ck_assert_uint_eq(out.used, sizeof out.text - 1);
    ck_assert_uint_eq(strlen(out.text), out.used);
    ck_assert_int_eq(strncmp(out.text, "12abxx", 6), 0);
    ck_assert_int_eq(out.text[out.used - 1], 'x');
}

/* Text is collected until there is enough for a write, or the end. */
TEST(a_descriptor_gets_everything)
{
    enum { LINES = 500 };
    static char wanted[LINES * 32], found[sizeof wanted];
    int ends[2];
    size_t length = 0;
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    struct out out;
    out_to_fd(&out, ends[1]);
    for (int i = 0; i < LINES; i++) {
        errno = EXDEV;
        out_format(&out, "line %d of many\n", i);
        ck_assert_int_eq(errno, EXDEV);
        ck_assert(i != 0 || read(ends[0], found, 1) == -1);
        length += (size_t)sprintf(wanted + length, "line %d of many\n", i);
    }
    out_end(&out);
    ck_assert_int_eq(read(ends[0], found, sizeof found), (ssize_t)length);
    ck_assert_mem_eq(found, wanted, length);
}

TEST(sizes_have_a_unit)
{
    static const struct {
        size_t bytes;
        const char *text;
    } sizes[] = {
        {0, "0 B"},
        {1, "1 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {KIB, "1 KiB"},
        {KIB + 51, "1 KiB"},
        {KIB + 52, "1.1 KiB"},
        {KIB + 512, "1.5 KiB"},
        {MIB - 1, "1 MiB"},
        {MIB - 52, "1023.9 KiB"},
        {3 * MIB / 2, "1.5 MiB"},
        {64 * MIB, "64 MiB"},
        {GIB - 1, "1 GiB"},
        {(size_t)1 << 40, "1 TiB"},
        {(size_t)5 << 49, "2.5 PiB"},
        {SIZE_MAX, "16 EiB"},
    };
    char wanted[32];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct out out;
        out_to_memory(&out);
        out_size(&out, sizes[i].bytes, 0);
        ck_assert_str_eq(out.text, sizes[i].text);
        out_to_memory(&out);
        out_size(&out, sizes[i].bytes, 12);
        snprintf(wanted, sizeof wanted, "%12s", sizes[i].text);
        ck_assert_str_eq(out.text, wanted);
    }
}
