/*
 * Formatting: against printf where both know a conversion, and the limits of the targets.
 */
#define _GNU_SOURCE 1
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/out.h"

SUITE(out);

/* Checks that out_format gives what printf gives. */
static void check_like_printf(const char *format, ...)
{
    char wanted[256], found[256];
    struct out out;
    va_list list;
    va_start(list, format);
    out_to_memory(&out, found, sizeof found);
    out_format_list(&out, format, list);
    size_t length = out_end(&out);
    int wanted_length = vsnprintf(wanted, sizeof wanted, format, list);
    va_end(list);
    ck_assert_str_eq(found, wanted);
    ck_assert_uint_eq(length, (size_t)wanted_length);
}

TEST(numbers_are_as_printf_has_them)
{
    static const long long numbers[] = {0,       1,       -1,      9,         10,
                                        1234567, INT_MAX, INT_MIN, LLONG_MAX, LLONG_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        long long n = numbers[i];
        check_like_printf("%d|%8d|%-8d|%*d|%-*d|", (int)n, (int)n, (int)n, 7, (int)n, 7, (int)n);
        check_like_printf("%zu|%20zu|%-20zu|", (size_t)n, (size_t)n, (size_t)n);
    }
}

TEST(strings_are_as_printf_has_them)
{
    check_like_printf("plain, 100%% %s", "text");
    check_like_printf("%s|%10s|%-10s|%2s|", "", "abc", "abc", "abc");
    check_like_printf("%.2s|%.0s|%.9s|%10.2s|%-10.2s|", "abc", "abc", "abc", "abc", "abc");
    check_like_printf("%.*s|%-*.*s|%*s|%.*s", 1, "abc", 6, 2, "abc", 5, "abc", -1, "abc");
    check_like_printf("%p %20p|%-20p|", (void *)0x7f001234, (void *)16, (void *)16);
}

TEST(a_precision_keeps_reads_within_the_text)
{
    char unterminated[2] = {'a', 'b'}; /* the sanitizers see a read beyond it */
    char text[8];
    struct out out;
    out_to_memory(&out, text, sizeof text);
    out_format(&out, "%.*s", 2, unterminated);
    out_end(&out);
    ck_assert_str_eq(text, "ab");
}

TEST(null_has_a_form)
{
    char text[32];
    struct out out;
    const char *volatile nothing = NULL;
    out_to_memory(&out, text, sizeof text);
    out_format(&out, "%p %s", NULL, nothing);
    out_end(&out);
    ck_assert_str_eq(text, "0x0 (null)");
}

TEST(unknown_conversions_are_copied)
{
    static const char *const formats[] = {"%q %s", "%-5q%s", "%zk|%s", "%5! %s", "%s 100%"};
    static const char *const wanted[] = {"%q x", "%-5qx", "%zk|x", "%5! x", "x 100%"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char text[32];
        struct out out;
        out_to_memory(&out, text, sizeof text);
        out_format(&out, formats[i], "x");
        out_end(&out);
        ck_assert_str_eq(text, wanted[i]);
    }
}

TEST(memory_is_cut_off_and_terminated)
{
    char text[8];
    for (size_t size = 1; size <= 6; size++) {
        struct out out;
        memset(text, '#', sizeof text);
        out_to_memory(&out, text, size);
        ck_assert_str_eq(text, "");
        out_format(&out, "ab%s", "cd");
        out_format(&out, "%d", 12);
        ck_assert_uint_eq(out_end(&out), 6);
        ck_assert_uint_eq(strlen(text), size - 1);
        ck_assert_int_eq(strncmp(text, "abcd12", size - 1), 0);
        ck_assert_int_eq(text[size], '#');
    }
    struct out out;
    out_to_memory(&out, NULL, 0);
    out_format(&out, "%s", "abc");
    ck_assert_uint_eq(out_end(&out), 3);
}

TEST(a_descriptor_gets_everything)
{
    enum { LINES = 500 };
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    struct out out;
    size_t wanted = 0;
    char line[32];
    errno = EXDEV;
    out_to_fd(&out, ends[1]);
    for (int i = 0; i < LINES; i++) {
        out_format(&out, "line %d of many\n", i);
        wanted += (size_t)snprintf(line, sizeof line, "line %d of many\n", i);
    }
    ck_assert_uint_eq(out_end(&out), wanted);
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
    char text[32], wanted[32];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct out out;
        out_to_memory(&out, text, sizeof text);
        out_size(&out, sizes[i].bytes, 0);
        out_end(&out);
        ck_assert_str_eq(text, sizes[i].text);
        out_to_memory(&out, text, sizeof text);
        out_size(&out, sizes[i].bytes, 12);
        out_end(&out);
        snprintf(wanted, sizeof wanted, "%12s", sizes[i].text);
        ck_assert_str_eq(text, wanted);
    }
}
