/* Checking every structure: see check.h. */
#include "process/check.h"

#include "arena/arena.h"
#include "arena/thread.h"
#include "heap/heap_set.h"
#include "inspect/count.h"
#include "inspect/root.h"
#include "large/large.h"
#include "modes/hardened.h"
#include "modes/profile.h"

/* Walks over everything without trusting it. NULL if that is right. */
static const char *find_damage(const void **at)
{
    struct view own;
    struct figures figures;
    root_view_own(&own);
    own.resident = NULL;
    figures_count(&own, &figures);
    *at = (const void *)(uintptr_t)own.damage_at;
    return own.damage;
}

static void check_canaries(void *damaged, struct slab *slab)
{
    const void **at = damaged;
    if (*at == NULL)
        *at = hardened_find_damage(slab);
}

/* What is wrong in an arena that is the caller's. */
static const char *find_in_own(struct arena *arena, const void **at)
{
    const char *fault = arena_fault(arena, at);
    if (fault != NULL)
        return fault;
    *at = NULL;
    heap_set_for_each_slab(&arena->heaps, check_canaries, at);
    return *at != NULL ? "a block was written to above the size that was asked for" : NULL;
}

/* What is wrong in an arena, as far as its thread lets this one see. */
static const char *find_in_arena(struct arena *arena, const void **at)
{
    const char *fault;
    *at = arena;
    if (arena == thread_own_arena())
        return find_in_own(arena, at);
    if (!arena_borrow(arena))
        return heap_set_is_valid(&arena->heaps) ? NULL : "a heap is inconsistent";
    fault = find_in_own(arena, at);
    arena_retire(arena);
    return fault;
}

size_t check_process(struct out *out)
{
    size_t faults = 0;
    const void *at;
    const char *fault = find_damage(&at);
    if (fault != NULL) {
        out_format(out, "acre: %s, at %p\n", fault, at);
        return 1;
    }
    for (struct arena *arena = arena_first(); arena != NULL; arena = arena_next(arena)) {
        fault = find_in_arena(arena, &at);
        if (fault == NULL)
            continue;
        out_format(out, "acre: arena %u: %s, at %p\n", arena->number, fault, at);
        faults++;
    }
    if (!large_is_valid()) {
        out_format(out, "acre: the LARGE list is inconsistent\n");
        faults++;
    }
    if (!profile_is_valid()) {
        out_format(out, "acre: the heap profile is inconsistent\n");
        faults++;
    }
    return faults;
}
