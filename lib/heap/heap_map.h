/*
 * The heap map: one byte for each heap-sized piece of the address space, 1 where a heap of ours
 * begins. Any address may be looked up: nothing is read but the map itself. It is asked where the
 * unit map (unit_map.h) has no answer.
 *
 * A heap's entry is published last, by one store, and stays for ever, as the heap's header does.
 * Lives in .bss, 4 MiB for 47-bit addresses (8 MiB for 48 bits on arm64), and is committed by
 * touch: a page of it covers 128 GiB.
 */
#ifndef ACRE_LIB_HEAP_MAP_H
#define ACRE_LIB_HEAP_MAP_H

#include "base/base.h"

enum {
    HEAP_SHIFT = 25, /* a heap is 32 MiB and aligned to that */
#ifdef __x86_64__
    ADDRESS_BITS = 47,
#else
    ADDRESS_BITS = 48,
#endif
};

#define HEAP_SIZE ((size_t)1 << HEAP_SHIFT)
#define HEAP_MAP_SIZE ((size_t)1 << (ADDRESS_BITS - HEAP_SHIFT))

/* Entry a >> HEAP_SHIFT is 1 if a heap covers address a. Relaxed atomic bytes. */
extern uint8_t heap_map[HEAP_MAP_SIZE];

struct heap;

/* True if `pointer`, any address at all, lies in a heap (header and guard pages included). */
static ALWAYS_INLINE bool heap_map_covers(const void *pointer)
{
    size_t piece = (uintptr_t)pointer >> HEAP_SHIFT;
    return piece < HEAP_MAP_SIZE && PLAIN_LOAD(heap_map[piece]) != 0;
}

/* The heap that an address lies in which heap_map_covers. */
static ALWAYS_INLINE struct heap *heap_containing(const void *pointer)
{
    return (struct heap *)((uintptr_t)pointer & ~(HEAP_SIZE - 1));
}

/* The heap that `pointer`, any address at all, lies in, or NULL. */
static inline struct heap *heap_map_find(const void *pointer)
{
    return heap_map_covers(pointer) ? heap_containing(pointer) : NULL;
}

/*
 * Publishes the heap at `heap`, all of whose header is written. Release: who finds the heap finds
 * its header. An address outside the map cannot be published; returns false.
 */
bool heap_map_publish(struct heap *heap);

#endif
