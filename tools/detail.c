/* Figures in more detail: see detail.h. */
#include "detail.h"

#include "array.h"

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

/* The view has just copied the arena. */
static void add_events(struct view *view, const struct view_arena *arena, struct view_bin *events)
{
    struct view_bin bin;
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT && view_bin(view, arena, cls, &bin); cls++) {
        events[cls].windows += bin.windows;
        events[cls].slabs_made += bin.slabs_made;
        events[cls].slabs_released += bin.slabs_released;
    }
}

/* Room for one arena more. */
static struct figures_arena *next_arena(struct detail *detail)
{
    detail->arenas = array_grow(detail->arenas, detail->arena_count, sizeof(detail->arenas[0]));
    return &detail->arenas[detail->arena_count++];
}

void detail_count(struct view *view, uint32_t number, struct detail *detail)
{
    struct view_arena arena;
    detail_free(detail);
    memset(detail, 0, sizeof(*detail));
    for (bool more = view_first_arena(view, &arena); more; more = view_next_arena(view, &arena)) {
        if (number != 0 && number != arena.number)
            continue;
        add_events(view, &arena, detail->events);
        figures_add_arena(view, &arena, next_arena(detail), &detail->figures);
    }
    if (number == 0)
        figures_add_large(view, &detail->figures);
    figures_add_process(view, &detail->figures);
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
    out_format(
        out,
        "{\"number\": %zu, \"thread\": %zu, \"pooled\": %s, \"own_heap\": %s, \"heaps\": %zu, ",
        (size_t)arena->arena.number, (size_t)arena->arena.thread, arena->pooled ? "true" : "false",
        arena->of_heap ? "true" : "false", (size_t)arena->heaps);
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
