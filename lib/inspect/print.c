/*
 * Printing figures: see print.h. A figure stands in one table of this file, with its name in each
 * format.
 */
#include "inspect/print.h"

#include <string.h>

/* A sum over everything. */
struct row {
    const char *key;    /* in JSON; in Prometheus acre_KEY, _bytes or _total added */
    size_t offset;      /* in struct figures */
    const char *suffix; /* of Prometheus; that of a counter is _total */
    const char *help;
};

#define ROW(member, suffix, help)                                                                  \
    {                                                                                              \
#member, offsetof(struct figures, member), suffix, help                                    \
    }

static const struct row rows[] = {
    ROW(arenas, "", "Arenas made."),
    ROW(arenas_pooled, "", "Arenas without a thread."),
    ROW(heaps, "", "Heaps made."),
    ROW(heap_mapped, "_bytes", "Address space of heaps."),
    ROW(in_slabs, "_bytes", "Heap memory in slabs."),
    ROW(free_dirty, "_bytes", "Heap memory in no slab, not yet given back."),
    ROW(small_blocks, "", "Live blocks of up to 1 MiB."),
    ROW(small_live, "_bytes", "Bytes of live blocks of up to 1 MiB, as sized by their classes."),
    ROW(large_blocks, "", "Live blocks above 1 MiB."),
    ROW(large_live, "_bytes", "Bytes of live blocks above 1 MiB."),
    ROW(stock, "_bytes", "Free extents kept mapped."),
    ROW(stock_zero, "_bytes", "Free extents without contents."),
    ROW(metadata, "_bytes", "The allocator's own memory."),
    ROW(slabs_peak, "_bytes", "The most heap memory that was in slabs."),
    ROW(large_peak, "_bytes", "The most bytes that were in live blocks above 1 MiB."),
    ROW(adoptions, "_total", "Arenas adopted by threads."),
    ROW(collected, "_total", "Blocks collected that other threads had freed."),
    ROW(mmap, "_total", "Calls of mmap."),
    ROW(munmap, "_total", "Calls of munmap."),
    ROW(mremap, "_total", "Calls of mremap."),
    ROW(mprotect, "_total", "Calls of mprotect."),
    ROW(madvise, "_total", "Calls of madvise."),
    ROW(purged_bytes, "_total", "Bytes given back that stayed mapped."),
};

/* A figure of one class. */
static const struct row class_rows[] = {
#define CLASS_ROW(member, suffix, help)                                                            \
    {                                                                                              \
#member, offsetof(struct figures_class, member), suffix, help                              \
    }
    CLASS_ROW(blocks, "", "Places for blocks in slabs."),
    CLASS_ROW(live, "", "Live blocks."),
    CLASS_ROW(places, "", "Places of live blocks."),
    CLASS_ROW(cached, "", "Blocks in magazines."),
    CLASS_ROW(remote, "", "Blocks freed by other threads and not yet collected."),
    CLASS_ROW(purged, "", "Free blocks whose pages went back."),
    CLASS_ROW(pinned, "_bytes", "Pages of which less than a quarter is live."),
    CLASS_ROW(windows, "_total", "Windows opened."),
    CLASS_ROW(slabs_made, "_total", "Slabs made."),
    CLASS_ROW(slabs_released, "_total", "Slabs released."),
};

enum {
    ROWS = sizeof(rows) / sizeof(rows[0]),
    CLASS_ROWS = sizeof(class_rows) / sizeof(class_rows[0]),
};

static uint64_t value_of(const struct row *row, const void *figures)
{
    uint64_t value;
    memcpy(&value, (const char *)figures + row->offset, sizeof(value));
    return value;
}

/* True if there is, or was, anything of the class. */
static bool is_used(const struct figures_class *cls)
{
    return cls->slabs != 0 || cls->windows != 0;
}

/* ---- text ---- */

static void print_row(struct out *out, const char *name, uint64_t count, uint64_t bytes)
{
    out_format(out, "  %-22s %12zu ", name, (size_t)count);
    out_size(out, bytes, 12);
    out_format(out, "\n");
}

static void print_bytes(struct out *out, const char *name, uint64_t bytes)
{
    out_format(out, "  %-22s %12s ", name, "");
    out_size(out, bytes, 12);
    out_format(out, "\n");
}

static void print_class(struct out *out, const struct figures_class *cls, uint64_t size)
{
    out_format(out, "  ");
    out_size(out, size, 10);
    out_format(out, " %9zu %12zu %12zu ", (size_t)cls->slabs, (size_t)cls->blocks,
               (size_t)cls->live);
    out_size(out, cls->places * size, 12);
    out_format(out, " ");
    out_size(out, cls->pinned, 12);
    out_format(out, "\n");
}

/* What happened, in lines of a few words. */
static void print_events(struct out *out, const struct figures *figures)
{
    struct figures_class sums = {0};
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        sums.windows += figures->classes[cls].windows;
        sums.slabs_made += figures->classes[cls].slabs_made;
        sums.slabs_released += figures->classes[cls].slabs_released;
    }
    out_format(out, "  since the start: %zu windows opened, %zu slabs made, %zu released,\n",
               (size_t)sums.windows, (size_t)sums.slabs_made, (size_t)sums.slabs_released);
    out_format(out, "    %zu arenas adopted, %zu blocks collected from other threads,\n",
               (size_t)figures->adoptions, (size_t)figures->collected);
    out_format(out,
               "    calls: %zu mmap, %zu munmap, %zu mremap, %zu mprotect, %zu madvise; purged ",
               (size_t)figures->mmap, (size_t)figures->munmap, (size_t)figures->mremap,
               (size_t)figures->mprotect, (size_t)figures->madvise);
    out_size(out, figures->purged_bytes, 0);
    out_format(out, "\n");
}

void print_text(struct out *out, const struct print_process *process, const struct figures *figures)
{
    out_format(out, "acre %s, %s[%d]\n", process->version, process->name, process->id);
    out_format(out, "  %-22s %12s %12s\n", "", "count", "bytes");
    print_row(out, "live TINY and SMALL", figures->small_blocks, figures->small_live);
    print_row(out, "live LARGE", figures->large_blocks, figures->large_live);
    print_row(out, "arenas, metadata", figures->arenas, figures->metadata);
    print_row(out, "heaps, mapped", figures->heaps, figures->heap_mapped);
    out_format(out, "  %-22s %12zu\n", "arenas without thread", (size_t)figures->arenas_pooled);
    print_bytes(out, "in slabs", figures->in_slabs);
    print_bytes(out, "free units, dirty", figures->free_dirty);
    print_bytes(out, "LARGE stock", figures->stock);
    print_bytes(out, "pinned by few blocks", figures_pinned(figures));
    print_bytes(out, "peak in slabs", figures->slabs_peak);
    print_bytes(out, "peak LARGE", figures->large_peak);
    if (figures->heap_resident != 0)
        print_bytes(out, "resident (heaps)", figures->heap_resident);
    print_bytes(out, "resident (process)", process->resident);
    out_format(out, "  %10s %9s %12s %12s %12s %12s\n", "class", "slabs", "blocks", "live",
               "live bytes", "pinned");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        if (figures->classes[cls].slabs != 0)
            print_class(out, &figures->classes[cls], size_class_sizes[cls]);
    print_events(out, figures);
}

/* ---- JSON ---- */

/* A text in quotes that JSON and Prometheus read alike; bytes outside of ASCII, and controls, which
 * need not be UTF-8, are shown as `?`. */
static void print_quoted(struct out *out, const char *text)
{
    out_format(out, "\"");
    for (; *text != '\0'; text++) {
        bool plain = *text >= ' ' && *text <= '~';
        bool escaped = *text == '"' || *text == '\\';
        out_format(out, "%s%.1s", escaped ? "\\" : "", plain ? text : "?");
    }
    out_format(out, "\"");
}

static void print_members(struct out *out, const struct row *members, size_t count,
                          const void *figures)
{
    for (size_t i = 0; i < count; i++)
        out_format(out, "%s\"%s\": %zu", i == 0 ? "" : ", ", members[i].key,
                   (size_t)value_of(&members[i], figures));
}

static void print_arena(struct out *out, const struct figures_arena *arena)
{
    out_format(out, "{\"number\": %zu, \"thread\": %zu, \"pooled\": %s, \"heaps\": %zu, ",
               (size_t)arena->arena.number, (size_t)arena->arena.thread,
               arena->pooled ? "true" : "false", (size_t)arena->heaps);
    out_format(out, "\"heap_mapped\": %zu, \"in_slabs\": %zu, \"free_dirty\": %zu, ",
               (size_t)arena->heap_mapped, (size_t)arena->in_slabs, (size_t)arena->free_dirty);
    out_format(out, "\"blocks\": %zu, \"live\": %zu, \"pinned\": %zu, ", (size_t)arena->blocks,
               (size_t)arena->live, (size_t)arena->pinned);
    out_format(out, "\"cached\": %zu, \"remote\": %zu, \"adoptions\": %zu}", (size_t)arena->cached,
               (size_t)arena->remote, (size_t)arena->arena.adoptions);
}

void print_json(struct out *out, const struct print_process *process, const struct figures *figures,
                const struct figures_arena *arenas, size_t count)
{
    const char *separator = "";
    out_format(out, "{\"version\": ");
    print_quoted(out, process->version);
    out_format(out, ", \"process\": ");
    print_quoted(out, process->name);
    out_format(out, ", \"pid\": %d, \"resident\": %zu, \"live\": %zu, \"mapped\": %zu,\n",
               process->id, (size_t)process->resident, (size_t)figures_live(figures),
               (size_t)figures_mapped(figures));
    out_format(out, " \"pinned\": %zu, \"heap_resident\": %zu, ", (size_t)figures_pinned(figures),
               (size_t)figures->heap_resident);
    print_members(out, rows, ROWS, figures);
    out_format(out, ",\n \"classes\": [");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        const struct figures_class *each = &figures->classes[cls];
        if (!is_used(each))
            continue;
        out_format(out, "%s\n  {\"size\": %zu, \"slabs\": %zu, \"in_slabs\": %zu, ", separator,
                   (size_t)size_class_sizes[cls], (size_t)each->slabs, (size_t)each->in_slabs);
        print_members(out, class_rows, CLASS_ROWS, each);
        out_format(out, "}");
        separator = ",";
    }
    out_format(out, "],\n \"large\": [");
    separator = "";
    for (unsigned i = 0; i < FIGURES_LARGE_SIZES; i++) {
        if (figures->large[i].blocks == 0)
            continue;
        out_format(out, "%s\n  {\"from\": %zu, \"blocks\": %zu, \"bytes\": %zu}", separator,
                   (size_t)1 << (FIGURES_LARGE_SHIFT + i), (size_t)figures->large[i].blocks,
                   (size_t)figures->large[i].bytes);
        separator = ",";
    }
    out_format(out, "]");
    if (arenas != NULL)
        out_format(out, ",\n \"by_arena\": [");
    for (size_t i = 0; arenas != NULL && i < count; i++) {
        out_format(out, "%s\n  ", i == 0 ? "" : ",");
        print_arena(out, &arenas[i]);
    }
    out_format(out, "%s}\n", arenas != NULL ? "]" : "");
}

/* ---- Prometheus ---- */

static void print_labels(struct out *out, const struct print_process *process)
{
    out_format(out, "{process=");
    print_quoted(out, process->name);
    out_format(out, ",pid=\"%d\"", process->id);
}

/* The lines that introduce a metric, of the process or of a class. */
static void print_metric(struct out *out, const char *prefix, const struct row *row)
{
    bool counts = strcmp(row->suffix, "_total") == 0;
    out_format(out, "# HELP acre_%s%s%s %s\n# TYPE acre_%s%s%s %s\n", prefix, row->key, row->suffix,
               row->help, prefix, row->key, row->suffix, counts ? "counter" : "gauge");
}

void print_prometheus(struct out *out, const struct print_process *process,
                      const struct figures *figures)
{
    for (size_t i = 0; i < ROWS; i++) {
        print_metric(out, "", &rows[i]);
        out_format(out, "acre_%s%s", rows[i].key, rows[i].suffix);
        print_labels(out, process);
        out_format(out, "} %zu\n", (size_t)value_of(&rows[i], figures));
    }
    for (size_t i = 0; i < CLASS_ROWS; i++) {
        print_metric(out, "class_", &class_rows[i]);
        for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
            if (!is_used(&figures->classes[cls]))
                continue;
            out_format(out, "acre_class_%s%s", class_rows[i].key, class_rows[i].suffix);
            print_labels(out, process);
            out_format(out, ",size=\"%zu\"} %zu\n", (size_t)size_class_sizes[cls],
                       (size_t)value_of(&class_rows[i], &figures->classes[cls]));
        }
    }
}
