/* Notes of blocks: see notes.h. */
#include "modes/notes.h"

#include "base/meta.h"
#include "base/os.h"

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
