/* Writing a profile: see dump.h. */
#define _GNU_SOURCE 1
#include "dump.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "html_profile.h"
#include "pinned.h"
#include "report.h"

enum { STATUS_USAGE = 2 };

static const struct {
    const char *name;
    const char *suffix; /* of a file's name that chooses it, without --format */
    void (*write)(const struct report *report, FILE *file);
} formats[] = {
    [DUMP_TEXT] = {"text", ".txt", report_text},
    [DUMP_PPROF] = {"pprof", ".pb.gz", report_pprof},
    [DUMP_HEAP_V2] = {"heap_v2", ".heap", report_heap_v2},
    [DUMP_FOLDED] = {"folded", ".folded", report_folded},
    [DUMP_HTML] = {"html", ".html", html_profile},
};

enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

enum dump_format dump_parse_format(const char *name)
{
    for (int i = DUMP_TEXT; i < FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0)
            return (enum dump_format)i;
    fprintf(stderr, "acre-profile: there is no format \"%s\"; there are:", name);
    for (int i = DUMP_TEXT; i < FORMATS; i++)
        fprintf(stderr, " %s", formats[i].name);
    fputc('\n', stderr);
    exit(STATUS_USAGE);
}

/* The format for a file of that name; BY_NAME: it tells none. */
static enum dump_format format_of(const char *path)
{
    size_t length = path != NULL ? strlen(path) : 0;
    for (int i = DUMP_TEXT; i < FORMATS; i++) {
        size_t end = strlen(formats[i].suffix);
        if (length > end && strcmp(path + length - end, formats[i].suffix) == 0)
            return (enum dump_format)i;
    }
    return DUMP_BY_NAME;
}

size_t dump_suffix(const char *path)
{
    enum dump_format format = format_of(path);
    return format != DUMP_BY_NAME ? strlen(formats[format].suffix) : 0;
}

/* False, after it has said so, if it cannot be written. */
static bool write_report(const struct report *report, const struct dump_wanted *wanted,
                         enum dump_format format)
{
    FILE *stream = wanted->stream != NULL ? wanted->stream : stdout;
    FILE *file = wanted->path != NULL ? fopen(wanted->path, "we") : stream;
    const char *name = wanted->path != NULL ? wanted->path : "the output";
    bool failed = file == NULL;
    if (!failed) {
        formats[format].write(report, file);
        failed = ferror(file) != 0;
        failed |= (file == stream ? fflush(file) : fclose(file)) != 0;
    }
    if (failed)
        warn("%s", name);
    return !failed;
}

/* Prints what was left out. True if the profile is whole. */
static bool report_gaps(struct memory *memory, const struct samples *samples)
{
    const struct view *view = &memory->view;
    if (!memory_is_alive(memory))
        return false;
    if (samples->damaged)
        warnx("%s: parts of its profile are damaged, and were left out", memory->name);
    if (view->damage != NULL)
        warnx("%s: %s, at 0x%" PRIx64 ": left out, with what it leads to", memory->name,
              view->damage, view->damage_at);
    if (samples->changed != 0)
        warnx("%s: %zu samples changed each time they were read: left out", memory->name,
              samples->changed);
    return !samples->damaged && view->damage == NULL;
}

bool dump(struct memory *memory, const struct dump_wanted *wanted, const struct leaks *leaks)
{
    struct samples samples;
    struct maps maps;
    struct symbols symbols;
    struct sums sums;
    struct sums_wanted which = wanted->which;
    static const uint64_t none;
    double *pinned = NULL;
    enum dump_format format =
        wanted->format == DUMP_BY_NAME ? format_of(wanted->path) : wanted->format;
    if (format == DUMP_BY_NAME)
        format = DUMP_TEXT;
    if (!samples_read(memory, &samples))
        return false;
    if (which.since_mark && samples.marked_at == 0)
        warnx("%s: there is no mark yet: \"acre-profile mark\" makes one", memory->name);
    if (leaks != NULL) {
        which.only = leaks->addresses != NULL ? leaks->addresses : &none;
        which.only_count = leaks->count;
    }
    if (wanted->pinned || format == DUMP_HTML) /* the page has all values */
        pinned = pinned_count(memory, &samples);
    maps_read(memory, &maps);
    symbols_open(&symbols, memory, &maps);
    sums_count(&samples, &which, pinned, &sums);
    const struct report report = {
        .memory = memory,
        .maps = &maps,
        .samples = &samples,
        .sums = &sums,
        .symbols = &symbols,
        .wanted = &which,
        .leaks = leaks,
        .pinned = wanted->pinned,
        .most = wanted->most,
    };
    bool written = write_report(&report, wanted, format);
    bool whole = report_gaps(memory, &samples) && written;
    sums_free(&sums);
    symbols_close(&symbols);
    maps_free(&maps);
    samples_free(&samples);
    free(pinned);
    return whole;
}
