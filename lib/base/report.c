/* Messages: see report.h. Owns one flag and the program's name. */
#define _GNU_SOURCE 1
#include "base/report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

/* The program's name; empty until report_start has written it, once. */
static START_DATA char program_name[REPORT_NAME];

/* Replaces control characters, which a program's name or an option may contain, by `?`, so that a
 * line stays one line and does not control the terminal. */
static void make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

static void copy_name(char name[REPORT_NAME], const char *from)
{
    size_t length = strnlen(from, REPORT_NAME - 1);
    memcpy(name, from, length);
    name[length] = '\0';
    make_printable(name, length);
}

void report_start(void)
{
    copy_name(program_name, program_invocation_short_name);
}

void report_process_name(char name[REPORT_NAME])
{
    copy_name(name, program_name[0] != '\0' ? program_name : program_invocation_short_name);
    if (name[0] == '\0')
        copy_name(name, "?");
}

static void line_begin(struct out *out)
{
    char name[REPORT_NAME];
    report_process_name(name);
    out_to_memory(out);
    out_format(out, "acre: %s[%d]: ", name, os_process_id());
}

/* Writes the line to standard error. The newline takes the place of the terminating NUL. */
static void line_end(struct out *out)
{
    make_printable(out->text, out->used);
    out->text[out->used] = '\n';
    os_write(STDERR_FILENO, out->text, out->used + 1);
}

static bool deadlocked; /* [any] a deadlock was reported */

_Noreturn void report_deadlock(void)
{
    if (__atomic_exchange_n(&deadlocked, true, __ATOMIC_RELAXED))
        os_abort_by_default();
    report_warning(
        "deadlock: malloc, free or the like called inside such a call of the same thread, "
        "as by a signal handler, or after a jump out of one");
    os_abort();
}

void report_warning(const char *format, ...)
{
    struct out out;
    va_list list;
    line_begin(&out);
    va_start(list, format);
    out_format_list(&out, format, list);
    va_end(list);
    line_end(&out);
}
