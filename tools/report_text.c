/* A profile as a table for people: see report.h. */
#define _GNU_SOURCE 1
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "leaks.h"

enum { NAME_WIDTH = 40 }; /* of functions, so that files stand in a column where they can */

/* Writes a time: "12 s", "3 min". */
static const char *time_text(uint64_t ms, char text[REPORT_SIZE_TEXT])
{
    enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
    uint64_t one = ms >= 2 * HOUR ? HOUR : ms >= 2 * MINUTE ? MINUTE : SECOND;
    const char *unit = one == HOUR ? "h" : one == MINUTE ? "min" : "s";
    if (ms < 10 * SECOND)
        snprintf(text, REPORT_SIZE_TEXT, "%" PRIu64 ".%" PRIu64 " s", ms / SECOND,
                 ms % SECOND / 100);
    else
        snprintf(text, REPORT_SIZE_TEXT, "%" PRIu64 " %s", ms / one, unit);
    return text;
}

static uint64_t since(const struct samples *samples, uint64_t time)
{
    return samples->now > time ? samples->now - time : 0;
}

/* "1.5 MiB in 123 blocks". */
static void put_blocks(FILE *file, struct amount amount)
{
    char text[REPORT_SIZE_TEXT];
    uint64_t blocks = report_whole(amount.blocks);
    fprintf(file, "%s in %" PRIu64 " block%s", report_size(amount.bytes, text), blocks,
            blocks == 1 ? "" : "s");
}

static void put_amount(FILE *file, const char *what, struct amount amount)
{
    fprintf(file, "  %-10s ", what);
    put_blocks(file, amount);
}

/* What is live and nothing leads to. */
static void put_leaks_head(const struct report *report, FILE *file)
{
    const struct leaks *leaks = report->leaks;
    double without = (double)leaks->count - report->sums->total.live.blocks;
    fprintf(file, "acre %s, %s[%d]: ", report->memory->view.root.version, report->memory->program,
            report->memory->program_pid);
    if (leaks->count == 0)
        fputs("no leaks", file);
    else
        fputs("leaks of ", file);
    if (leaks->count != 0)
        put_blocks(file, (struct amount){(double)leaks->bytes, (double)leaks->count});
    fputs("\n  still reachable ", file);
    put_blocks(file, (struct amount){(double)leaks->reachable_bytes, (double)leaks->reachable});
    if (leaks->direct != leaks->count) {
        fputs("\n  other leaks lead to ", file);
        put_blocks(file, (struct amount){(double)(leaks->bytes - leaks->direct_bytes),
                                         (double)(leaks->count - leaks->direct)});
        fputs(" of them", file);
    }
    if (report_whole(without) != 0)
        fprintf(file,
                "\n  %" PRIu64 " of them have no stack: they are older than the profile, or its "
                "table was full",
                report_whole(without));
    putc('\n', file);
}

static void put_head(const struct report *report, FILE *file)
{
    const struct samples *samples = report->samples;
    const struct sum *total = &report->sums->total;
    char text[REPORT_SIZE_TEXT];
    if (report->leaks != NULL) {
        put_leaks_head(report, file);
        return;
    }
    fprintf(file, "acre %s, %s[%d]: profile ", report->memory->view.root.version,
            report->memory->program, report->memory->program_pid);
    if (samples->interval == 0 && samples->stopped_at > samples->started_at)
        fprintf(file, "of %s, stopped %s ago",
                time_text(samples->stopped_at - samples->started_at, text),
                time_text(since(samples, samples->stopped_at), (char[REPORT_SIZE_TEXT]){0}));
    else
        fprintf(file, "for %s", time_text(since(samples, samples->started_at), text));
    if (samples->first_interval == 1)
        fputs(", of each block", file);
    else
        fprintf(file, ", a sample each %s", report_size((double)samples->first_interval, text));
    if (samples->interval > samples->first_interval)
        fprintf(file, " (%s by now)", report_size((double)samples->interval, text));
    putc('\n', file);
    put_amount(file, "live", total->live);
    fprintf(file, ", %zu sample%s\n", report->sums->live_samples,
            report->sums->live_samples == 1 ? "" : "s");
    if (samples->marked_at != 0) {
        put_amount(file, "since mark", total->since);
        fprintf(file, ", %s ago\n", time_text(since(samples, samples->marked_at), text));
    }
    put_amount(file, "allocated", total->all);
    fprintf(file, ", %" PRIu64 " samples\n", samples->taken);
    put_amount(file, "peak", total->peak);
    if (samples->peak_at != 0)
        fprintf(file, ", %s ago", time_text(since(samples, samples->peak_at), text));
    putc('\n', file);
    if (report->pinned)
        fprintf(file, "  %-10s %s of pages that are live to less than a quarter\n", "pinned",
                report_size(total->pinned, text));
    if (samples->thinned != 0)
        fprintf(file,
                "  the table was full: %" PRIu64 " samples were left out by chance, the rest "
                "stand for them (option profile_samples: a larger table)\n",
                samples->thinned);
    if (samples->lost_stacks != 0)
        fprintf(file,
                "  %" PRIu64 " samples have no stack: the tables of stacks are full (option "
                "profile_samples: larger ones)\n",
                samples->lost_stacks);
}

static void put_frame(const struct report *report, FILE *file, const struct symbol *symbol)
{
    const char *name = symbols_text(report->symbols, symbol->name);
    const char *path = symbols_text(report->symbols, symbol->file);
    fprintf(file, "      %-*s", symbol->file != 0 || symbol->module != 0 ? NAME_WIDTH : 0, name);
    if (symbol->file != 0)
        fprintf(file, " %s:%" PRIu32, path, symbol->line);
    else if (symbol->module != 0)
        fprintf(file, " (%s)", symbols_text(report->symbols, symbol->module));
    fprintf(file, "%s\n", symbol->inlined ? " (inlined)" : "");
}

static void put_frames(const struct report *report, FILE *file, size_t stack)
{
    size_t depth;
    const uint64_t *frames = report_frames(report, stack, &depth);
    if (depth == 0)
        fputs("      (stack unknown)\n", file);
    for (size_t i = 0; i < depth; i++) {
        uint32_t count;
        const struct symbol *symbols = report_symbols(report, frames[i], &count);
        for (uint32_t k = 0; k < count; k++)
            put_frame(report, file, &symbols[k]);
    }
}

static void put_stack(const struct report *report, FILE *file, size_t number,
                      const struct report_stack *stack)
{
    static const char *const kinds[] = {
        [SUMS_LIVE] = "live", [SUMS_ALLOCATED] = "allocated", [SUMS_PEAK] = "at the peak"};
    const struct sum *sum = &report->sums->stacks[stack->index];
    const enum sums_kind kind = report->wanted->kind;
    double total = sums_amount(&report->sums->total, kind).bytes;
    char text[REPORT_SIZE_TEXT];
    fprintf(file, "\n%zu. ", number);
    put_blocks(file, stack->amount);
    fprintf(file, " %s, %.1f %%", report->leaks != NULL ? "leaked" : kinds[kind],
            100 * stack->amount.bytes / total);
    if (kind == SUMS_LIVE && sum->live.bytes > 0)
        fprintf(file, ", age %s", time_text((uint64_t)(sum->age / sum->live.bytes), text));
    if (kind == SUMS_LIVE && report->samples->marked_at != 0)
        fprintf(file, ", since mark %s", report_size(sum->since.bytes, text));
    if (report->pinned)
        fprintf(file, ", pins %s", report_size(sum->pinned, text));
    if (kind != SUMS_LIVE)
        fprintf(file, ", live %s", report_size(sum->live.bytes, text));
    if (kind != SUMS_ALLOCATED && report->leaks == NULL)
        fprintf(file, ", allocated %s", report_size(sum->all.bytes, text));
    putc('\n', file);
    for (size_t i = 0; i < SUMS_SIZES && sum->sizes[i].bytes > 0; i++)
        fprintf(file, "%s %" PRIu64, i == 0 ? "   blocks of" : ",", sum->sizes[i].size);
    if (sum->sizes[0].bytes > 0)
        fputs(" bytes\n", file);
    put_frames(report, file, stack->index);
}

void report_text(const struct report *report, FILE *file)
{
    size_t count;
    struct report_stack *stacks = report_stacks(report, &count);
    double rest = 0;
    char text[REPORT_SIZE_TEXT];
    put_head(report, file);
    for (size_t i = 0; i < count; i++)
        if (i < report->most)
            put_stack(report, file, i + 1, &stacks[i]);
        else
            rest += stacks[i].amount.bytes;
    if (count > report->most)
        fprintf(file, "\nand %zu other stack%s with %s\n", count - report->most,
                count - report->most == 1 ? "" : "s", report_size(rest, text));
    free(stacks);
}
