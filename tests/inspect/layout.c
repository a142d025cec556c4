/*
 * Prints the layout that a reader outside relies on: the fields with their sizes, and what is not
 * in the table of fields. Not the offsets, nor the sizes of structures, which a reader takes from
 * the table. layout.sh compares
 * it with layout.txt.
 */
#include <acre/inspect.h>

#include "base/size_class.h"
#include "base/states.h"
#include "heap/heap.h"
#include "large/extents.h"
#include "arena/arena.h"

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    static const char *const addresses[] = {
#define NAME(name) #name,
        ACRE_ADDRESSES(NAME)
#undef NAME
    };
    static const char *const fields[] = {
#define NAME(name, structure, member) #name " " #structure "." #member,
        ACRE_FIELDS(NAME)
#undef NAME
    };
    printf("layout %d\n", ACRE_LAYOUT);
    printf("root %zu bytes\n", sizeof(struct acre_root));
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        printf("address %zu %s\n", i, addresses[i]);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (acre_root.fields[i].size <= sizeof(uint64_t))
            printf("field %zu %s %" PRIu32 "\n", i, fields[i], acre_root.fields[i].size);
        else
            printf("field %zu %s, several\n", i, fields[i]);
    printf("unit %d heap %zu chains %d group %d bytes_of_state %d\n", UNIT_SIZE, HEAP_SIZE,
           HEAP_CHAINS, STATES_GROUP, HEAP_BYTES_OF_STATE);
    printf("states %d %d %d %d %d %d %d %d %d %d\n", BLOCK_FREE, BLOCK_LIVE, BLOCK_CACHED,
           BLOCK_REMOTE, BLOCK_PURGED, BLOCK_WIDE, BLOCK_REST, BLOCK_QUARANTINED, BLOCK_SAMPLED,
           BLOCK_END);
    printf("extents %d %d\n", EXTENT_LIVE, EXTENT_STOCK);
    printf("arenas %d %d %d %d\n", ARENA_OF_HEAP, ARENA_POOLED, ARENA_OWNED, ARENA_BORROWED);
    printf("requests %#" PRIx64 " %#" PRIx64 "\n", ACRE_REQUEST_TRIM, ACRE_REQUEST_QUIET);
    for (unsigned bit = 0; bit < 64; bit++) {
        struct slab_geometry g = geometry_unpack(UINT64_C(1) << bit);
        printf("geometry %u: %u %u %u %u %u\n", bit, g.class, g.count, g.first_unit, g.units,
               g.first_line);
    }
    printf("classes");
    for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
        printf(" %" PRIu32, size_class_sizes[cls]);
    printf("\n");
    return 0;
}
