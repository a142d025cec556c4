/* Notes of blocks: see notes.h. */
#include "modes/notes.h"

#include "base/meta.h"
#include "base/os.h"

COLD void notes_map(struct heap *heap)
{
    size_t bytes = heap->size / HEAP_BYTES_OF_STATE * sizeof(*heap->notes);
    uint32_t *notes = meta_map(align_up(bytes, os_page_size()));
    __atomic_store_n(&heap->notes, notes, __ATOMIC_RELEASE);
}
