/* The heap map: see heap_map.h. */
#include "heap/heap_map.h"

uint8_t heap_map[HEAP_MAP_SIZE];

bool heap_map_publish(struct heap *heap)
{
    size_t piece = (uintptr_t)heap >> HEAP_SHIFT;
    if (piece >= HEAP_MAP_SIZE)
        return false;
    __atomic_store_n(&heap_map[piece], 1, __ATOMIC_RELEASE);
    return true;
}
