/* The memory of freed LARGE blocks: see large_freed.h. */
#include "large/large_freed.h"

#include "large/large.h"

#include <assert.h>

enum {
    FREED_WAYS = 8,   /* blocks remembered in each set */
    FREED_SHIFT = 57, /* leaves as many bits of a 64-bit hash as there are sets */
    FREED_SETS = 1 << (64 - FREED_SHIFT),
};

static_assert(FREED_SETS * FREED_WAYS == LARGE_REMEMBERED, "as large.h says");

/* The blocks freed last whose starts have the same hash. */
static struct freed_set {
    uintptr_t base[FREED_WAYS]; /* starts, 0 if none */
    size_t size[FREED_WAYS];    /* bytes */
    unsigned next;              /* which one is replaced next */
} sets[FREED_SETS];

static struct freed_set *set_of(uintptr_t base)
{
    /* Fibonacci hashing (Knuth, volume 3, 6.4): 2^64 over the golden ratio */
    return &sets[(uint64_t)base * UINT64_C(0x9e3779b97f4a7c15) >> FREED_SHIFT];
}

/* The place of a block in its set; FREED_WAYS if it is not there. */
static unsigned find_way(const struct freed_set *set, uintptr_t base)
{
    unsigned way = 0;
    while (way < FREED_WAYS && set->base[way] != base)
        way++;
    return way;
}

void large_freed_remember(uintptr_t base, size_t size)
{
    struct freed_set *set = set_of(base);
    unsigned way = find_way(set, base);
    if (way == FREED_WAYS) {
        way = set->next;
        set->next = (way + 1) % FREED_WAYS;
    }
    /* in this order also for a child forked in between: no start has another one's size */
    set->base[way] = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->size[way] = size;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    set->base[way] = base;
}

bool large_freed_find(uintptr_t base, size_t *size)
{
    const struct freed_set *set = set_of(base);
    unsigned way = find_way(set, base);
    if (base == 0 || way == FREED_WAYS)
        return false;
    *size = set->size[way];
    return true;
}
