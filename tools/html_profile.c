/*
 * The flame graph: see html_profile.h. The data are one JSON object:
 *
 *   version, program, pid, from, when  what was read, and when
 *   seconds                            how long the profile has run
 *   interval, first_interval, taken, live_samples, thinned, lost_stacks, changed
 *   stopped, marked                    whether it was
 *   value                              live, all or peak: what is shown first
 *   part                               which of the live blocks count; empty: all
 *   names, modules, files              texts; of files, with ":line"
 *   frames                             [name, module, file], indices, -1: unknown; [.., 1]: inlined
 *   stacks                             f: frames, the innermost first; live, all, peak, since:
 *                                      [bytes, blocks]; age: live bytes by age (sums.h); pinned:
 *                                      bytes; sizes: [size, live bytes]
 */
#define _GNU_SOURCE 1
#include "html_profile.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acre/acre.h"

static const char marker[] = "@DATA@";

struct page {
    const struct report *report;
    FILE *file;
    struct texts names, modules, files; /* numbers from 1 on; 0 is the empty text */
    struct texts frames;                /* likewise, as text */
};

/* A text in quotes, as JSON; `<` could end the script that it is in. The texts are ASCII. */
static void put_text(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '<') {
            fputs("\\u003c", file);
            continue;
        }
        if (*text == '"' || *text == '\\')
            putc('\\', file);
        putc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    putc('"', file);
}

static void put_texts(FILE *file, const char *name, const struct texts *texts)
{
    fprintf(file, ",\n\"%s\":[", name);
    for (size_t i = 1; i < texts->count; i++) {
        fputs(i == 1 ? "" : ",", file);
        put_text(file, texts->all[i]);
    }
    fputs("]", file);
}

/* The index of a text that was added; -1: it is empty. */
static int index_of(struct texts *texts, const char *text)
{
    return (int)texts_add(texts, text) - 1;
}

/* The index of a symbol's frame. */
static int frame_of(struct page *page, const struct symbol *symbol)
{
    const struct symbols *symbols = page->report->symbols;
    char text[4096];
    int file = -1;
    if (symbol->file != 0) {
        snprintf(text, sizeof(text), "%s:%" PRIu32, symbols_text(symbols, symbol->file),
                 symbol->line);
        file = index_of(&page->files, text);
    }
    snprintf(text, sizeof(text), "[%d,%d,%d%s]",
             index_of(&page->names, symbols_text(symbols, symbol->name)),
             index_of(&page->modules, symbols_text(symbols, symbol->module)), file,
             symbol->inlined ? ",1" : "");
    return index_of(&page->frames, text);
}

static void put_head(const struct page *page)
{
    const struct samples *samples = page->report->samples;
    const struct memory *memory = page->report->memory;
    uint64_t end = samples->stopped_at > samples->started_at ? samples->stopped_at : samples->now;
    bool stopped = samples->interval == 0;
    char when[64];
    time_t now = time(NULL);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    end = stopped ? end : samples->now;
    fputs("{\"version\":", page->file);
    put_text(page->file, memory->view.root.version);
    fputs(",\"program\":", page->file);
    put_text(page->file, memory->program);
    fprintf(page->file, ",\"pid\":%d,\"from\":", memory->program_pid);
    put_text(page->file, memory->name);
    fprintf(page->file, ",\"when\":\"%s\",\"seconds\":%.3f", when,
            end > samples->started_at ? (double)(end - samples->started_at) / 1000 : 0.0);
    fprintf(page->file,
            ",\"interval\":%" PRIu64 ",\"first_interval\":%" PRIu64
            ",\"stopped\":%s,\"marked\":%s,\"taken\":%" PRIu64 ",\"live_samples\":%zu",
            samples->interval, samples->first_interval, stopped ? "true" : "false",
            samples->marked_at != 0 ? "true" : "false", samples->taken,
            page->report->sums->live_samples);
    fprintf(page->file, ",\"thinned\":%" PRIu64 ",\"lost_stacks\":%" PRIu64 ",\"changed\":%zu",
            samples->thinned, samples->lost_stacks, samples->changed);
}

/* What was asked for. */
static void put_wanted(const struct page *page)
{
    static const char *const values[] = {
        [SUMS_LIVE] = "live", [SUMS_ALLOCATED] = "all", [SUMS_PEAK] = "peak"};
    const struct sums_wanted *wanted = page->report->wanted;
    const char *separator = "";
    fprintf(page->file, ",\"value\":\"%s\",\"part\":\"", values[wanted->kind]);
    if (page->report->leaks != NULL) {
        fputs("leaks", page->file);
        separator = ", ";
    }
    if (wanted->since_mark) {
        fprintf(page->file, "%sallocated after the mark", separator);
        separator = ", ";
    }
    if (wanted->older != 0) {
        fprintf(page->file, "%sat least %.12g s old", separator, (double)wanted->older / 1000);
        separator = ", ";
    }
    if (wanted->newer != 0)
        fprintf(page->file, "%syounger than %.12g s", separator, (double)wanted->newer / 1000);
    putc('"', page->file);
}

static void put_amount(FILE *file, const char *name, struct amount amount)
{
    fprintf(file, ",\"%s\":[%" PRIu64 ",%" PRIu64 "]", name, report_whole(amount.bytes),
            report_whole(amount.blocks));
}

static void put_frames(struct page *page, size_t stack)
{
    size_t depth;
    const uint64_t *frames = report_frames(page->report, stack, &depth);
    const char *separator = "";
    fputs("{\"f\":[", page->file);
    for (size_t i = 0; i < depth; i++) {
        uint32_t count;
        const struct symbol *symbols = report_symbols(page->report, frames[i], &count);
        for (uint32_t k = 0; k < count; k++) {
            fprintf(page->file, "%s%d", separator, frame_of(page, &symbols[k]));
            separator = ",";
        }
    }
    fputs("]", page->file);
}

static void put_stack(struct page *page, size_t stack)
{
    const struct sum *sum = &page->report->sums->stacks[stack];
    FILE *file = page->file;
    put_frames(page, stack);
    put_amount(file, "live", sum->live);
    put_amount(file, "all", sum->all);
    put_amount(file, "peak", sum->peak);
    put_amount(file, "since", sum->since);
    fputs(",\"age\":[", file);
    for (size_t i = 0; i < SUMS_AGES; i++)
        fprintf(file, "%s%" PRIu64, i == 0 ? "" : ",", report_whole(sum->ages[i]));
    fprintf(file, "],\"pinned\":%" PRIu64 ",\"sizes\":[", report_whole(sum->pinned));
    for (size_t i = 0; i < SUMS_SIZES && report_whole(sum->sizes[i].bytes) != 0; i++)
        fprintf(file, "%s[%" PRIu64 ",%" PRIu64 "]", i == 0 ? "" : ",", sum->sizes[i].size,
                report_whole(sum->sizes[i].bytes));
    fputs("]}", file);
}

static void put_data(struct page *page)
{
    const char *separator = "\n";
    put_head(page);
    put_wanted(page);
    fputs(",\n\"stacks\":[", page->file);
    for (size_t i = 0; i <= page->report->samples->stack_count; i++) {
        const struct sum *sum = &page->report->sums->stacks[i];
        if (report_whole(sum->all.bytes) == 0 && report_whole(sum->live.bytes) == 0)
            continue;
        fputs(separator, page->file);
        put_stack(page, i);
        separator = ",\n";
    }
    fputs("]", page->file);
    put_texts(page->file, "names", &page->names);
    put_texts(page->file, "modules", &page->modules);
    put_texts(page->file, "files", &page->files);
    fputs(",\n\"frames\":[", page->file);
    for (size_t i = 1; i < page->frames.count; i++)
        fprintf(page->file, "%s%s", i == 1 ? "" : ",", page->frames.all[i]);
    fputs("]}", page->file);
}

void html_profile(const struct report *report, FILE *file)
{
    const char *place = strstr(profile_template, marker);
    struct page page = {.report = report, .file = file};
    (void)texts_add(&page.names, "");
    (void)texts_add(&page.modules, "");
    (void)texts_add(&page.files, "");
    (void)texts_add(&page.frames, "");
    fwrite(profile_template, 1, (size_t)(place - profile_template), file);
    put_data(&page);
    fputs(place + sizeof(marker) - 1, file);
    texts_free(&page.names);
    texts_free(&page.modules);
    texts_free(&page.files);
    texts_free(&page.frames);
}
