/* Statistics: see stats.h. */
#include "process/stats.h"

#include "base/fork.h"
#include "base/os.h"
#include "base/report.h"
#include "inspect/print.h"
#include "inspect/root.h"

#include <acre/acre.h>
#include <assert.h>
#include <string.h>

static_assert(ACRE_STATS_CLASSES >= SIZE_CLASS_COUNT,
              "the public structure has room for all classes");

void stats_count(bool resident, struct figures *figures)
{
    struct view own;
    /* in a child: so that the next malloc finds all that is counted as free here */
    fork_notice();
    root_view_own(&own);
    if (!resident)
        own.resident = NULL;
    figures_count(&own, figures);
}

/* Copies a part of struct acre_stats to stats[0..size-1], as far as it has room. */
static void put(void *stats, size_t size, size_t offset, const void *part, size_t length)
{
    if (offset < size)
        memcpy((char *)stats + offset, part, min_size(length, size - offset));
}

void stats_collect(struct acre_stats *stats, size_t size)
{
    struct figures figures;
    stats_count(false, &figures);
    memset(stats, 0, min_size(size, sizeof(*stats)));
#define PUT(member, value)                                                                         \
    put(stats, size, offsetof(struct acre_stats, member), &(size_t){value}, sizeof(size_t))
    PUT(arenas, figures.arenas);
    PUT(arenas_pooled, figures.arenas_pooled);
    PUT(heaps, figures.heaps);
    PUT(heap_mapped, figures.heap_mapped);
    PUT(heap_in_slabs, figures.in_slabs);
    PUT(heap_free_dirty, figures.free_dirty);
    PUT(small_live, figures.small_live);
    PUT(small_blocks, figures.small_blocks);
    PUT(large_live, figures.large_live);
    PUT(large_blocks, figures.large_blocks);
    PUT(large_stock, figures.stock);
    PUT(metadata, figures.metadata);
    PUT(live, figures_live(&figures));
    PUT(mapped, figures_mapped(&figures));
    PUT(resident, os_resident());
    PUT(class_count, SIZE_CLASS_COUNT);
#undef PUT
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        const struct acre_class_stats each = {
            .block_size = size_class_sizes[cls],
            .slabs = figures.classes[cls].slabs,
            .blocks = figures.classes[cls].blocks,
            .live_blocks = figures.classes[cls].places,
        };
        put(stats, size, offsetof(struct acre_stats, classes) + cls * sizeof(each), &each,
            sizeof(each));
    }
}

bool stats_print(struct out *out, enum acre_stats_format format, struct figures *figures)
{
    char name[REPORT_NAME];
    const struct print_process process = {
        .name = name,
        .id = os_process_id(),
        .version = ACRE_VERSION_STRING,
        .resident = os_resident(),
    };
    report_process_name(name);
    stats_count(format != ACRE_STATS_XML, figures);
    if (format == ACRE_STATS_JSON)
        print_json(out, &process, figures);
    else if (format == ACRE_STATS_PROMETHEUS)
        print_prometheus(out, &process, figures);
    else if (format == ACRE_STATS_XML)
        print_xml(out, figures);
    else
        print_text(out, &process, figures);
    return out_end(out);
}

void stats_print_to(int fd, enum acre_stats_format format)
{
    struct out out;
    struct figures figures;
    out_to_fd(&out, fd);
    (void)stats_print(&out, format, &figures);
}
