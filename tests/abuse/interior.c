/*
 * A pointer into a live block is passed: interior FUNCTION SIZE CALLER PLACE. PLACE is where in the
 * block: "next" (16 bytes in), "middle", "last" (its last 16 bytes), "odd" (1 byte in), "half" (8
 * bytes in) or "end" (its last byte).
 */
#include "misuse.h"

enum { GRAIN = 16 }; /* bytes: what every block's address is a multiple of */

static size_t offset_of(const char *place, size_t size)
{
    if (strcmp(place, "next") == 0)
        return GRAIN;
    if (strcmp(place, "middle") == 0)
        return size / 2 / GRAIN * GRAIN;
    if (strcmp(place, "last") == 0)
        return size - GRAIN;
    if (strcmp(place, "odd") == 0)
        return 1;
    if (strcmp(place, "half") == 0)
        return GRAIN / 2;
    return size - 1;
}

int main(int count, char **words)
{
    if (count != 5)
        return STATUS_USAGE;
    struct call call = {words[1], NULL, 0};
    char *block = misuse_block(words[2], &call.size);
    call.pointer = block + offset_of(words[4], call.size);
    misuse_print(call.pointer, block, call.size);
    misuse_call_by(words[3], &call);
    return STATUS_SURVIVED;
}
