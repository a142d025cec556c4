/* Notes of blocks: see notes.h. */
#include "modes/notes.h"

#include "base/meta.h"
#include "base/os.h"
#include "heap/heap.h"

/* NULL: the heap has none yet. */
static uint32_t *note_at(const void *block, const uint8_t *state)
{
    const struct heap *heap = heap_containing(block);
    uint32_t *notes = __atomic_load_n(&heap->notes, __ATOMIC_ACQUIRE);
    return notes == NULL ? NULL : notes + (state - heap->states);
}

uint32_t notes_get(const void *block, const uint8_t *state)
{
    const uint32_t *note = note_at(block, state);
    return note == NULL ? 0 : __atomic_load_n(note, __ATOMIC_ACQUIRE);
}

void notes_set(const void *block, const uint8_t *state, uint32_t note)
{
    uint32_t *at = note_at(block, state);
    if (at != NULL)
        __atomic_store_n(at, note, __ATOMIC_RELEASE);
}

static COLD void map_notes(struct heap *heap)
{
    size_t bytes = heap->size / HEAP_BYTES_OF_STATE * sizeof(*heap->notes);
    uint32_t *notes = meta_map(align_up(bytes, os_page_size()));
    __atomic_store_n(&heap->notes, notes, __ATOMIC_RELEASE);
}

void notes_make(const void *block)
{
    struct heap *heap = heap_containing(block);
    if (UNLIKELY(__atomic_load_n(&heap->notes, __ATOMIC_RELAXED) == NULL))
        map_notes(heap);
}
