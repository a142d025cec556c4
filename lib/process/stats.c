/* Statistics: see stats.h. */
#include "process/stats.h"

#include "base/os.h"
#include "base/report.h"
#include "inspect/print.h"
#include "inspect/root.h"

#include <acre/acre.h>
#include <assert.h>

static_assert(ACRE_STATS_CLASSES >= SIZE_CLASS_COUNT,
              "the public structure has room for all classes");

void stats_count(struct figures *figures, bool resident)
{
    struct view own;
    const struct figures_wanted wanted = {.resident = resident};
    root_view_own(&own);
    figures_count(&own, &wanted, figures);
}

void stats_collect(struct acre_stats *stats)
{
    struct figures figures;
    stats_count(&figures, false);
    *stats = (struct acre_stats){
        .arenas = figures.arenas,
        .arenas_pooled = figures.arenas_pooled,
        .heaps = figures.heaps,
        .heap_mapped = figures.heap_mapped,
        .heap_in_slabs = figures.in_slabs,
        .heap_free_dirty = figures.free_dirty,
        .small_live = figures.small_live,
        .small_blocks = figures.small_blocks,
        .large_live = figures.large_live,
        .large_blocks = figures.large_blocks,
        .large_stock = figures.stock,
        .metadata = figures.metadata,
        .live = figures_live(&figures),
        .mapped = figures_mapped(&figures),
        .resident = os_resident(),
        .class_count = SIZE_CLASS_COUNT,
    };
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        stats->classes[cls] = (struct acre_class_stats){
            .block_size = size_class_sizes[cls],
            .slabs = figures.classes[cls].slabs,
            .blocks = figures.classes[cls].blocks,
            .live_blocks = figures.classes[cls].places,
        };
}

void stats_print(struct out *out, enum acre_stats_format format)
{
    char name[REPORT_NAME];
    struct figures figures;
    const struct print_process process = {
        .name = name,
        .id = os_process_id(),
        .version = ACRE_VERSION_STRING,
        .resident = os_resident(),
    };
    report_process_name(name);
    stats_count(&figures, true);
    if (format == ACRE_STATS_JSON)
        print_json(out, &process, &figures, NULL, 0);
    else if (format == ACRE_STATS_PROMETHEUS)
        print_prometheus(out, &process, &figures);
    else
        print_text(out, &process, &figures);
}
