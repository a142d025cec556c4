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

#define OF_ALL(member) offsetof(struct figures, member)
#define OF_CLASS(member) offsetof(struct figures_class, member)

static const struct row rows[] = {
    {"arenas", OF_ALL(arenas), "", "Arenas made."},
    {"arenas_pooled", OF_ALL(arenas_pooled), "", "Arenas without a thread."},
    {"heaps", OF_ALL(heaps), "", "Heaps made."},
    {"heap_mapped", OF_ALL(heap_mapped), "_bytes", "Address space of heaps."},
    {"in_slabs", OF_ALL(in_slabs), "_bytes", "Heap memory in slabs."},
    {"free_dirty", OF_ALL(free_dirty), "_bytes", "Heap memory in no slab, not yet given back."},
    {"heap_resident", OF_ALL(heap_resident), "_bytes", "Heap memory that is resident."},
    {"small_blocks", OF_ALL(small_blocks), "", "Live blocks of up to 1 MiB."},
    {"small_live", OF_ALL(small_live), "_bytes",
     "Bytes of live blocks of up to 1 MiB, as sized by their classes."},
    {"large_blocks", OF_ALL(large_blocks), "", "Live blocks above 1 MiB."},
    {"large_live", OF_ALL(large_live), "_bytes", "Bytes of live blocks above 1 MiB."},
    {"stock", OF_ALL(stock), "_bytes", "Free extents kept mapped."},
    {"stock_zero", OF_ALL(stock_zero), "_bytes", "Free extents without contents."},
    {"metadata", OF_ALL(metadata), "_bytes", "The allocator's own memory."},
    {"slabs_peak", OF_ALL(slabs_peak), "_bytes", "The most heap memory that was in slabs."},
    {"large_peak", OF_ALL(large_peak), "_bytes",
     "The most bytes that were in live blocks above 1 MiB."},
    {"adoptions", OF_ALL(adoptions), "_total", "Arenas adopted by threads."},
    {"collected", OF_ALL(collected), "_total", "Blocks collected that other threads had freed."},
    {"windows", OF_ALL(events.windows), "_total", "Windows opened."},
    {"slabs_made", OF_ALL(events.slabs_made), "_total", "Slabs made."},
    {"slabs_released", OF_ALL(events.slabs_released), "_total", "Slabs released."},
    {"mmap", OF_ALL(mmap), "_total", "Calls of mmap."},
    {"munmap", OF_ALL(munmap), "_total", "Calls of munmap."},
    {"mremap", OF_ALL(mremap), "_total", "Calls of mremap."},
    {"mprotect", OF_ALL(mprotect), "_total", "Calls of mprotect."},
    {"madvise", OF_ALL(madvise), "_total", "Calls of madvise."},
    {"purged_bytes", OF_ALL(purged_bytes), "_total", "Bytes given back that stayed mapped."},
};

/* A figure of one class. */
static const struct row class_rows[] = {
    {"blocks", OF_CLASS(blocks), "", "Places for blocks in slabs."},
    {"live", OF_CLASS(live), "", "Live blocks."},
    {"places", OF_CLASS(places), "", "Places of live blocks."},
    {"cached", OF_CLASS(cached), "", "Blocks in magazines."},
    {"remote", OF_CLASS(remote), "", "Blocks freed by other threads and not yet collected."},
    {"purged", OF_CLASS(purged), "", "Free blocks whose pages went back."},
    {"pinned", OF_CLASS(pinned), "_bytes", "Pages of which less than a quarter is live."},
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
    out_format(out, "  since the start: %zu windows opened, %zu slabs made, %zu released,\n",
               (size_t)figures->events.windows, (size_t)figures->events.slabs_made,
               (size_t)figures->events.slabs_released);
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
    if (process->resident != 0)
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

void print_json_open(struct out *out, const struct print_process *process,
                     const struct figures *figures)
{
    const char *separator = "";
    out_format(out, "{\"version\": ");
    print_quoted(out, process->version);
    out_format(out, ", \"process\": ");
    print_quoted(out, process->name);
    out_format(out, ", \"pid\": %d, \"resident\": %zu, \"live\": %zu, \"mapped\": %zu,\n",
               process->id, (size_t)process->resident, (size_t)figures_live(figures),
               (size_t)figures_mapped(figures));
    out_format(out, " \"pinned\": %zu, ", (size_t)figures_pinned(figures));
    print_members(out, rows, ROWS, figures);
    out_format(out, ",\n \"classes\": [");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        const struct figures_class *each = &figures->classes[cls];
        if (each->slabs == 0)
            continue;
        out_format(out, "%s\n  {\"size\": %zu, \"slabs\": %zu, \"in_slabs\": %zu, ", separator,
                   (size_t)size_class_sizes[cls], (size_t)each->slabs,
                   (size_t)each->units * FIGURES_UNIT);
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
}

void print_json(struct out *out, const struct print_process *process, const struct figures *figures)
{
    print_json_open(out, process, figures);
    out_format(out, "}\n");
}

/* ---- Prometheus ---- */

void print_labels(struct out *out, const struct print_process *process)
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

/* One metric of the classes. */
static void print_of_classes(struct out *out, const struct print_process *process,
                             const struct figures *figures, const struct row *row)
{
    print_metric(out, "class_", row);
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        if (figures->classes[cls].slabs == 0)
            continue;
        out_format(out, "acre_class_%s%s", row->key, row->suffix);
        print_labels(out, process);
        out_format(out, ",size=\"%zu\"} %zu\n", (size_t)size_class_sizes[cls],
                   (size_t)value_of(row, &figures->classes[cls]));
    }
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
    for (size_t i = 0; i < CLASS_ROWS; i++)
        print_of_classes(out, process, figures, &class_rows[i]);
}

/* ---- malloc_info ---- */

/* The elements that close a heap, and the document. */
static void print_xml_sums(struct out *out, const struct figures *figures, uint64_t blocks,
                           bool is_document)
{
    size_t heap = figures->in_slabs + figures->free_dirty;
    out_format(out,
               "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
               "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
               (size_t)blocks, heap - (size_t)figures->small_live);
    if (is_document)
        out_format(out, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n",
                   (size_t)figures->large_blocks, (size_t)figures->large_live);
    out_format(out,
               "<system type=\"current\" size=\"%zu\"/>\n"
               "<system type=\"max\" size=\"%zu\"/>\n"
               "<aspace type=\"total\" size=\"%zu\"/>\n"
               "<aspace type=\"mprotect\" size=\"%zu\"/>\n</%s>\n",
               heap, max_size(figures->slabs_peak, heap), (size_t)figures->heap_mapped, heap,
               is_document ? "malloc" : "heap");
}

void print_xml(struct out *out, const struct figures *figures)
{
    uint64_t sum = 0;
    size_t smallest = 1;
    out_format(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        size_t size = size_class_sizes[cls];
        uint64_t blocks = figures->classes[cls].blocks - figures->classes[cls].places;
        if (blocks != 0)
            out_format(out, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
                       smallest, size, (size_t)blocks * size, (size_t)blocks);
        sum += blocks;
        smallest = size + 1;
    }
    out_format(out, "</sizes>\n");
    print_xml_sums(out, figures, sum, false);
    print_xml_sums(out, figures, sum, true);
}
