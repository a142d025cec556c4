/*
 * A note of each block in a slab, out of line: one word for each state of its heap, mapped when the
 * first one is written. A note belongs to the thread that holds the block, and for a free one to
 * the owner.
 *
 * Its low NOTE_SIZE_BITS bits are the size that was asked for, 0 if that is not known; those above
 * are what option mismatch knows (paths/mismatch.h). NOTE_FREED alone: the block was filled when it
 * was freed (modes/hardened.h).
 */
#ifndef ACRE_LIB_NOTES_H
#define ACRE_LIB_NOTES_H

#include "heap/heap.h"

enum { NOTE_SIZE_BITS = 21 };

#define NOTE_FREED (UINT32_C(1) << 31)

/* The place of the note of a block and its state; NULL: its heap has none yet. */
static inline uint32_t *notes_at(const void *block, const uint8_t *state)
{
    const struct heap *heap = heap_containing(block);
    uint32_t *notes = __atomic_load_n(&heap->notes, __ATOMIC_ACQUIRE);
    return notes == NULL ? NULL : notes + (state - heap->states);
}

/* The note; 0 if there is none. */
static inline uint32_t notes_get(const void *block, const uint8_t *state)
{
    const uint32_t *note = notes_at(block, state);
    return note == NULL ? 0 : __atomic_load_n(note, __ATOMIC_ACQUIRE);
}

void notes_map(struct heap *heap);

/* Lets the block's heap have notes. Without memory there are none, and nothing is known of its
 * blocks. By the owner. */
static inline void notes_make(const void *block)
{
    struct heap *heap = heap_containing(block);
    if (UNLIKELY(__atomic_load_n(&heap->notes, __ATOMIC_RELAXED) == NULL))
        notes_map(heap);
}

#endif
