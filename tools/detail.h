/*
 * Figures in more detail than the library counts and prints them: those of each arena, and what
 * happened in each size class.
 */
#ifndef ACRE_TOOLS_DETAIL_H
#define ACRE_TOOLS_DETAIL_H

#include "inspect/print.h"

struct detail {
    struct figures figures;
    struct figures_arena *arenas; /* allocated */
    size_t arena_count;
    struct view_bin events[SIZE_CLASS_COUNT]; /* of a class, over all arenas */
};

/* Counts everything, or only the arena of that number, and no LARGE, if it is not 0. *detail is all
 * zero, or was counted before. */
void detail_count(struct view *view, uint32_t number, struct detail *detail);

/* True if there is, or was, anything of the class. */
bool detail_has_class(const struct detail *detail, unsigned cls);

/* What print_json prints, with "events_by_class" and "by_arena". */
void detail_print_json(struct out *out, const struct print_process *process,
                       const struct detail *detail);

/* What print_prometheus prints, with the counters of each class. */
void detail_print_prometheus(struct out *out, const struct print_process *process,
                             const struct detail *detail);

void detail_free(struct detail *detail);

#endif
