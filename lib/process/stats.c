/* Statistics: see stats.h. */
#include "process/stats.h"

#include "arena/arena.h"
#include "heap/heap.h"
#include "large/large.h"
#include "base/meta.h"
#include "base/os.h"
#include "base/out.h"
#include "base/report.h"
#include "base/size_class.h"
#include "base/states.h"

#include <acre/acre.h>

static_assert(ACRE_STATS_CLASSES >= SIZE_CLASS_COUNT,
              "the public structure has room for all classes");

static void count_slab(void *context, struct slab *slab)
{
    struct acre_stats *stats = context;
    struct heap *heap = slab_heap(slab);
    uint64_t word = __atomic_load_n(&slab->geometry, __ATOMIC_ACQUIRE);
    if (word == 0)
        return;
    struct slab_geometry g = geometry_unpack(word);
    const uint8_t *states = geometry_states(heap, g);
    struct slab_held held = slab_count_held(states, g.count);
    struct acre_class_stats *class = &stats->classes[g.class];
    class->slabs++;
    class->blocks += g.count;
    class->live_blocks += held.places;
    stats->small_blocks += held.blocks;
    stats->small_live += held.places * class->block_size;
    /* here, so that it is never less than what is live in the same slabs */
    stats->heap_in_slabs += (size_t)g.units * UNIT_SIZE;
}

void stats_collect(struct acre_stats *stats)
{
    *stats = (struct acre_stats){.class_count = SIZE_CLASS_COUNT};
    for (unsigned class = 0; class < SIZE_CLASS_COUNT; class ++)
        stats->classes[class].block_size = size_class_sizes[class];
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        struct heap_totals heaps;
        /* after the slabs: so all heaps that they are in are counted */
        heap_set_for_each_slab(&arena->heaps, count_slab, stats);
        heap_set_totals(&arena->heaps, &heaps);
        stats->arenas++;
        stats->arenas_pooled += arena_status(arena) == ARENA_POOLED;
        stats->heaps += heaps.heaps;
        stats->heap_mapped += heaps.mapped;
        stats->heap_free_dirty += heaps.free_dirty;
    }
    struct large_totals large;
    large_totals(&large);
    stats->large_live = large.live_bytes;
    stats->large_blocks = large.live_blocks;
    stats->large_stock = large.stock_bytes;
    stats->metadata = meta_mapped();
    stats->live = stats->small_live + stats->large_live;
    stats->mapped = stats->heap_mapped + stats->large_live + stats->large_stock + stats->metadata;
    stats->resident = os_resident();
}

static void print_row(struct out *out, const char *name, size_t count, size_t bytes)
{
    out_format(out, "  %-22s %12zu ", name, count);
    out_size(out, bytes, 12);
    out_format(out, "\n");
}

static void print_class(struct out *out, const struct acre_class_stats *class)
{
    out_format(out, "  ");
    out_size(out, class->block_size, 10);
    out_format(out, " %9zu %12zu %12zu ", class->slabs, class->blocks, class->live_blocks);
    out_size(out, class->live_blocks * class->block_size, 12);
    out_format(out, "\n");
}

void stats_print(int fd)
{
    struct acre_stats stats;
    struct out out;
    stats_collect(&stats);
    out_to_fd(&out, fd);
    out_format(&out, "acre %s, ", ACRE_VERSION_STRING);
    report_put_process(&out);
    out_format(&out, "\n");
    out_format(&out, "  %-22s %12s %12s\n", "", "count", "bytes");
    print_row(&out, "live TINY and SMALL", stats.small_blocks, stats.small_live);
    print_row(&out, "live LARGE", stats.large_blocks, stats.large_live);
    print_row(&out, "arenas, metadata", stats.arenas, stats.metadata);
    print_row(&out, "heaps, mapped", stats.heaps, stats.heap_mapped);
    out_format(&out, "  %-22s %12zu\n", "arenas without thread", stats.arenas_pooled);
    static const char *const names[] = {"in slabs", "free units, dirty", "LARGE stock",
                                        "resident (process)"};
    const size_t sizes[] = {stats.heap_in_slabs, stats.heap_free_dirty, stats.large_stock,
                            stats.resident};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        out_format(&out, "  %-22s %12s ", names[i], "");
        out_size(&out, sizes[i], 12);
        out_format(&out, "\n");
    }
    out_format(&out, "  %10s %9s %12s %12s %12s\n", "class", "slabs", "blocks", "live",
               "live bytes");
    for (size_t class = 0; class < stats.class_count; class ++)
        if (stats.classes[class].slabs != 0)
            print_class(&out, &stats.classes[class]);
    out_end(&out);
}
