/*
 * Text: the limits of the targets, and sizes.
 */
#define _GNU_SOURCE 1
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

TEST(a_descriptor_gets_everything)
{
    enum { LINES = 500 };
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    struct out out;
    char line[32];
    errno = EXDEV;
    out_to_fd(&out, ends[1]);
    for (int i = 0; i < LINES; i++)
        out_format(&out, "line %d of many\n", i);
    out_end(&out);
    ck_assert_int_eq(errno, EXDEV);
    close(ends[1]);

    FILE *stream = fdopen(ends[0], "r");
    char found[32];
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "line %d of many\n", i);
        ck_assert_ptr_nonnull(fgets(found, sizeof found, stream));
        ck_assert_str_eq(found, line);
    }
    ck_assert_int_eq(fgetc(stream), EOF);
    fclose(stream);
}

TEST(text_collects_until_the_end)
{
    int ends[2];
    char text[8];
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    struct out out;
    out_to_fd(&out, ends[1]);
    out_format(&out, "ab");
    ck_assert_int_eq(read(ends[0], text, sizeof text), -1);
    out_end(&out);
    ck_assert_int_eq(read(ends[0], text, sizeof text), 2);
    close(ends[0]);
    close(ends[1]);
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
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
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
