/* Figures in more detail: see detail.h. */
#include "detail.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

/* What happened in a class: its name in JSON and for Prometheus, and where it is. */
static const struct {
    const char *key;
    size_t offset; /* in struct view_bin */
    const char *help;
} events[] = {
    {"windows", offsetof(struct view_bin, windows), "Windows opened."},
    {"slabs_made", offsetof(struct view_bin, slabs_made), "Slabs made."},
    {"slabs_released", offsetof(struct view_bin, slabs_released), "Slabs released."},
};

enum { EVENTS = sizeof(events) / sizeof(events[0]) };

static size_t event_of(const struct detail *detail, unsigned cls, size_t event)
{
    uint64_t value;
    memcpy(&value, (const char *)&detail->events[cls] + events[event].offset, sizeof(value));
    return (size_t)value;
}

/* ---- counting ---- */

static void add_events(struct detail *detail, const struct view_arena *arena)
{
    struct view *view = detail->view;
    const struct acre_field bins = view->root.fields[ACRE_FIELD_ARENA_BINS];
    if (view->prefetch != NULL)
        view->prefetch(view, arena->address + bins.offset, bins.size);
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        struct view_bin bin, *sums = &detail->events[cls];
        if (!view_bin(view, arena, cls, &bin))
            break;
        sums->windows += bin.windows;
        sums->slabs_made += bin.slabs_made;
        sums->slabs_released += bin.slabs_released;
    }
}

static void add_arena(void *context, const struct figures_arena *arena)
{
    struct detail *detail = context;
    struct figures_arena *arenas = detail->arenas;
    size_t count = detail->arena_count;
    if ((count & (count - 1)) == 0)
        arenas = reallocarray(arenas, count != 0 ? 2 * count : 1, sizeof(*arena));
    if (arenas == NULL)
        err(EXIT_FAILURE, NULL);
    arenas[count] = *arena;
    detail->arenas = arenas;
    detail->arena_count = count + 1;
    add_events(detail, &arena->arena);
}

void detail_count(struct view *view, uint32_t arena, struct detail *detail)
{
    const struct figures_wanted wanted = {
        .arena = arena, .resident = true, .each = add_arena, .context = detail};
    detail_free(detail);
    *detail = (struct detail){.view = view};
    figures_count(view, &wanted, &detail->figures);
}

bool detail_has_class(const struct detail *detail, unsigned cls)
{
    return detail->figures.classes[cls].slabs != 0 || detail->events[cls].windows != 0;
}

void detail_free(struct detail *detail)
{
    free(detail->arenas);
    detail->arenas = NULL;
}

/* ---- JSON ---- */

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

void detail_print_json(struct out *out, const struct print_process *process,
                       const struct detail *detail)
{
    const char *separator = "";
    print_json_open(out, process, &detail->figures);
    out_format(out, ",\n \"events_by_class\": [");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
        if (!detail_has_class(detail, cls))
            continue;
        out_format(out, "%s\n  {\"class\": %zu", separator, (size_t)size_class_sizes[cls]);
        for (size_t i = 0; i < EVENTS; i++)
            out_format(out, ", \"%s\": %zu", events[i].key, event_of(detail, cls, i));
        out_format(out, "}");
        separator = ",";
    }
    out_format(out, "],\n \"by_arena\": [");
    for (size_t i = 0; i < detail->arena_count; i++) {
        out_format(out, "%s\n  ", i == 0 ? "" : ",");
        print_arena(out, &detail->arenas[i]);
    }
    out_format(out, "]}\n");
}

/* ---- Prometheus ---- */

void detail_print_prometheus(struct out *out, const struct print_process *process,
                             const struct detail *detail)
{
    print_prometheus(out, process, &detail->figures);
    for (size_t i = 0; i < EVENTS; i++) {
        const char *key = events[i].key;
        out_format(out, "# HELP acre_class_%s_total %s\n# TYPE acre_class_%s_total counter\n", key,
                   events[i].help, key);
        for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
            if (!detail_has_class(detail, cls))
                continue;
            out_format(out, "acre_class_%s_total", key);
            print_labels(out, process);
            out_format(out, ",size=\"%zu\"} %zu\n", (size_t)size_class_sizes[cls],
                       event_of(detail, cls, i));
        }
    }
}
