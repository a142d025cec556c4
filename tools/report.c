/* What the formats of a profile have in common, and those that are lines: see report.h. */
#define _GNU_SOURCE 1
#include "report.h"

#include "base/out.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- stacks ---- */

static int compare_stacks(const void *left, const void *right)
{
    const struct report_stack *a = left, *b = right;
    if (a->amount.bytes != b->amount.bytes)
        return a->amount.bytes > b->amount.bytes ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

struct report_stack *report_stacks(const struct report *report, size_t *count)
{
    size_t all = report->samples->stack_count + 1;
    struct report_stack *stacks = calloc(all, sizeof(stacks[0]));
    if (stacks == NULL)
        err(EXIT_FAILURE, NULL);
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        struct amount amount = sums_amount(&report->sums->stacks[i], report->wanted->kind);
        if (report_whole(amount.bytes) != 0)
            stacks[(*count)++] = (struct report_stack){i, amount};
    }
    qsort(stacks, *count, sizeof(stacks[0]), compare_stacks);
    return stacks;
}

const uint64_t *report_frames(const struct report *report, size_t stack, size_t *depth)
{
    const struct samples *samples = report->samples;
    *depth = stack < samples->stack_count ? samples->stacks[stack].depth : 0;
    return *depth != 0 ? samples->frames + samples->stacks[stack].first : NULL;
}

const struct symbol *report_symbols(const struct report *report, uint64_t return_address,
                                    uint32_t *count)
{
    uint32_t number = symbols_place(report->symbols, return_address);
    const struct symbol_place *place = &report->symbols->places[number];
    *count = place->count;
    return &report->symbols->all[place->first];
}

/* ---- figures ---- */

uint64_t report_whole(double figure)
{
    return figure > 0 && figure < 1e19 ? (uint64_t)(figure + 0.5) : 0;
}

const char *report_size(double bytes, char text[REPORT_SIZE_TEXT])
{
    struct out out;
    out_to_memory(&out);
    out_size(&out, report_whole(bytes), 0);
    memcpy(text, out.text, out.used < REPORT_SIZE_TEXT ? out.used + 1 : REPORT_SIZE_TEXT);
    text[REPORT_SIZE_TEXT - 1] = '\0';
    return text;
}

/* ---- heap_v2 ---- */

/* The figures of a line: in use, then allocated in all. There is no column for the peak, so that
 * takes the place of what is in use. */
static void put_amounts(FILE *file, struct amount used, struct amount all)
{
    fprintf(file, "%6" PRIu64 ": %8" PRIu64 " [%6" PRIu64 ": %8" PRIu64 "] @",
            report_whole(used.blocks), report_whole(used.bytes), report_whole(all.blocks),
            report_whole(all.bytes));
}

/* The figures are estimates of all blocks, not counts of samples: so the interval is given as 1, by
 * which readers leave them as they are. They take 1 off each address but the first. */
void report_heap_v2(const struct report *report, FILE *file)
{
    const struct sums *sums = report->sums;
    const enum sums_kind kind = report->wanted->kind == SUMS_PEAK ? SUMS_PEAK : SUMS_LIVE;
    struct amount used = {0}, all = {0};
    for (size_t i = 0; i < report->samples->site_count; i++) {
        struct amount in_use = sums_amount(&sums->sites[i], kind);
        used.blocks += (double)report_whole(in_use.blocks);
        used.bytes += (double)report_whole(in_use.bytes);
        all.blocks += (double)report_whole(sums->sites[i].all.blocks);
        all.bytes += (double)report_whole(sums->sites[i].all.bytes);
    }
    fputs("heap profile: ", file);
    put_amounts(file, used, all);
    fputs(" heap_v2/1\n", file);
    for (size_t i = 0; i < report->samples->site_count; i++) {
        size_t depth;
        const uint64_t *frames = report_frames(report, sums_stack(report->samples, i), &depth);
        struct amount in_use = sums_amount(&sums->sites[i], kind);
        if (report_whole(in_use.bytes) == 0 && report_whole(sums->sites[i].all.bytes) == 0)
            continue;
        put_amounts(file, in_use, sums->sites[i].all);
        for (size_t k = 0; k < depth; k++)
            fprintf(file, " 0x%" PRIx64, frames[k] - (k == 0));
        fputs(depth == 0 ? " 0x0\n" : "\n", file);
    }
    fputs("\nMAPPED_LIBRARIES:\n", file);
    for (size_t i = 0; i < report->maps->count; i++) {
        const struct map *map = &report->maps->all[i];
        fprintf(file, "%" PRIx64 "-%" PRIx64 " %c%c%cp %08" PRIx64 " 00:00 0 ", map->start,
                map->end, map->readable ? 'r' : '-', map->writable ? 'w' : '-',
                map->executable ? 'x' : '-', map->offset);
        for (const char *at = map->path; *at != '\0'; at++)
            putc(*at > ' ' && *at <= '~' ? *at : '?', file);
        putc('\n', file);
    }
}

/* ---- folded ---- */

static void put_folded_name(FILE *file, const char *name)
{
    for (; *name != '\0'; name++)
        putc(*name == ';' ? ':' : *name, file); /* it separates functions */
}

void report_folded(const struct report *report, FILE *file)
{
    size_t count;
    struct report_stack *stacks = report_stacks(report, &count);
    for (size_t i = 0; i < count; i++) {
        size_t depth;
        const uint64_t *frames = report_frames(report, stacks[i].index, &depth);
        if (depth == 0)
            fputs("(stack unknown)", file);
        for (size_t k = depth; k-- != 0;) {
            uint32_t symbols;
            const struct symbol *symbol = report_symbols(report, frames[k], &symbols);
            for (uint32_t s = symbols; s-- != 0;) {
                put_folded_name(file, symbols_text(report->symbols, symbol[s].name));
                if (k != 0 || s != 0)
                    putc(';', file);
            }
        }
        fprintf(file, " %" PRIu64 "\n", report_whole(stacks[i].amount.bytes));
    }
    free(stacks);
}
