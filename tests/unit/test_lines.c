/*
 * Lines of the cache: what other threads write in the course of their work lies on no line that a
 * short path, or another thread's free, touches: doc/cores.md has the table that this checks. What
 * is in static memory: lines.sh.
 */
#include "test.h"
#include "arena/arena.h"
#include "large/large_list.h"

SUITE(lines);

/* How a field is used while threads allocate and free. */
enum use {
    CONSTANT = 1, /* read by frees of any thread; written when the structure, or a slab, is made */
    OWNER = 2,    /* written by the owner, in a short path or often */
    OTHERS = 4,   /* written by threads that free blocks of another one */
    LOCKED = 8,   /* written under a lock */
};

struct field {
    const char *name;
    size_t offset, size;
    enum use use;
};

#define FIELD(type, member, how)                                                                   \
    {                                                                                              \
#member, offsetof(struct type, member), sizeof(((struct type *)0)->member), how            \
    }

static const struct field slab_fields[] = {
    FIELD(slab, owner, CONSTANT),      FIELD(slab, base, CONSTANT), FIELD(slab, states, CONSTANT),
    FIELD(slab, reciprocal, CONSTANT), FIELD(slab, bin, CONSTANT),  FIELD(slab, geometry, CONSTANT),
    FIELD(slab, block_size, CONSTANT), FIELD(slab, summary, OWNER), FIELD(slab, until_check, OWNER),
    FIELD(slab, node, OWNER),
};

static const struct field heap_fields[] = {
    FIELD(heap, set, CONSTANT),      FIELD(heap, states, CONSTANT),
    FIELD(heap, index, CONSTANT),    FIELD(heap, slab_of, CONSTANT),
    FIELD(heap, pending, OTHERS),    FIELD(heap, free_units, LOCKED),
    FIELD(heap, free_slabs, LOCKED), FIELD(heap, free_lines, LOCKED),
    FIELD(heap, idle_units, LOCKED), FIELD(heap, used_units, LOCKED),
    FIELD(heap, longest, LOCKED),    FIELD(heap, roomy, LOCKED),
    FIELD(heap, slabs[0], CONSTANT),
};

static const struct field arena_fields[] = {
    FIELD(arena, remote.pending, OTHERS),
    FIELD(arena, remote.pending_classes, OTHERS),
    FIELD(arena, remote.collections, OWNER),
    FIELD(arena, heaps.lock, LOCKED),
    FIELD(arena, heaps.dirty, LOCKED),
    FIELD(arena, heaps.freed_at, LOCKED),
    FIELD(arena, freed, OTHERS),
    FIELD(arena, looked_at, OTHERS),
    FIELD(arena, status, CONSTANT),
    FIELD(arena, next, CONSTANT),
    FIELD(arena, number, CONSTANT),
    FIELD(arena, look_from, OWNER),
    FIELD(arena, bins, OWNER),
    FIELD(arena, entries, OWNER),
};

/* True if fields of these uses may lie on one line: no thread's work then waits for another's that
 * writes beside it. What the owner writes under its lock may lie beside what it writes without. */
static bool may_share(enum use a, enum use b)
{
    return a == b || (a | b) == (OWNER | LOCKED);
}

static void check_fields(const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct field *a = &fields[i], *b = &fields[j];
            bool apart = a->offset / CACHE_LINE > (b->offset + b->size - 1) / CACHE_LINE ||
                         b->offset / CACHE_LINE > (a->offset + a->size - 1) / CACHE_LINE;
            if (!apart && !may_share(a->use, b->use))
                ck_abort_msg("%s and %s", a->name, b->name);
        }
}

TEST(fields_of_different_writers_lie_on_lines_of_their_own)
{
    check_fields(slab_fields, COUNT_OF(slab_fields));
    check_fields(heap_fields, COUNT_OF(heap_fields));
    check_fields(arena_fields, COUNT_OF(arena_fields));
}

TEST(structures_fill_their_lines)
{
    ck_assert_uint_eq(sizeof(struct slab) % CACHE_LINE, 0);
    ck_assert_uint_eq(sizeof(struct heap) % CACHE_LINE, 0);
    ck_assert_uint_eq(sizeof(struct arena) % CACHE_LINE, 0);
    ck_assert_uint_eq(sizeof(struct unit_map) % CACHE_LINE, 0);
    ck_assert_uint_eq(sizeof(struct large_list) % CACHE_LINE, 0);
    ck_assert_uint_eq((uintptr_t)&unit_map % CACHE_LINE, 0);
    ck_assert_uint_eq((uintptr_t)&large_list % CACHE_LINE, 0);
    ck_assert_uint_eq((uintptr_t)&heap_nobody % CACHE_LINE, 0);
}
