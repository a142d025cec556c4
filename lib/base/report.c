/*
 * Messages; report.h is the contract.
 *
 * A line is put together in a buffer on the stack and written by one write, so that lines of
 * several threads or processes do not mix. Owns one flag and the program's name.
 */
#define _GNU_SOURCE 1
#include "base/report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

enum {
    LINE_TEXT = 512, /* characters of a line with its newline; what does not fit is cut off */
};

/* The program's name; empty until report_start has written it, once. */
static char program_name[REPORT_NAME];

/* The words for each kind of misuse. */
static const struct {
    const char *fault;
    const char *unknown; /* what is said where no block is known; NULL: nothing */
} kinds[] = {
    [MISUSE_DOUBLE_FREE] = {"double free", "the block was released"},
    [MISUSE_INTERIOR] = {"interior pointer", NULL},
    [MISUSE_MISALIGNED] = {"misaligned pointer", NULL},
    [MISUSE_FOREIGN] = {"foreign pointer", "not a block of this allocator"},
};

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

void report_put_process(struct out *out)
{
    char name[REPORT_NAME];
    report_process_name(name);
    out_format(out, "%s[%d]", name, os_process_id());
}

static void line_begin(struct out *out, char line[LINE_TEXT])
{
    out_to_memory(out, line, LINE_TEXT);
    out_format(out, "acre: ");
    report_put_process(out);
    out_format(out, ": ");
}

/* Writes the line to standard error. The newline takes the place of the terminating NUL. */
static void line_end(struct out *out)
{
    size_t length = min_size(out_end(out), LINE_TEXT - 1);
    make_printable(out->buffer, length);
    out->buffer[length] = '\n';
    os_write(STDERR_FILENO, out->buffer, length + 1);
}

/* Adds ": block ..." with what is known of it. */
static void describe_block(struct out *out, const struct misuse_report *report)
{
    out_format(out, ": block %p", report->block);
    if (report->block_size != 0)
        out_format(out, " of %zu bytes", report->block_size);
    if (report->block_class != NULL)
        out_format(out, ", %s", report->block_class);
    if (report->arena != 0)
        out_format(out, ", arena %d", report->arena);
}

void report_misuse(const struct misuse_report *report)
{
    char line[LINE_TEXT];
    struct out out;
    line_begin(&out, line);
    out_format(&out, "%s: %s(%p)", kinds[report->kind].fault, report->function, report->pointer);
    if (report->block != NULL)
        describe_block(&out, report);
    else if (kinds[report->kind].unknown != NULL)
        out_format(&out, ": %s", kinds[report->kind].unknown);
    line_end(&out);
}

/* Any thread, relaxed: a deadlock was reported. */
static bool deadlocked;

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
    char line[LINE_TEXT];
    struct out out;
    va_list list;
    line_begin(&out, line);
    va_start(list, format);
    out_format_list(&out, format, list);
    va_end(list);
    line_end(&out);
}
