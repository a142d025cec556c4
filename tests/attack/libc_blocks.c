/* The blocks of the C library: see libc_blocks.h. */
#include "libc_blocks.h"

#include "attempt.h"

#include <malloc.h>
#include <stdlib.h>

enum { MOST = 256 };

static struct {
    uintptr_t start; /* 0: it was freed */
    size_t usable;   /* bytes */
} blocks[MOST];

static unsigned count; /* atomic */

/* acre's other name for calloc, which is there before anything else is prepared. */
void *__libc_calloc(size_t number, size_t size);

/* The one that the C library and the loader find. */
void *calloc(size_t number, size_t size)
{
    void *block = __libc_calloc(number, size);
    unsigned place = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    if (place >= MOST)
        attempt_failed("the C library takes too many blocks");
    blocks[place].start = (uintptr_t)block;
    blocks[place].usable = malloc_usable_size(block);
    return block;
}

void *libc_blocks_calloc(size_t number, size_t size)
{
    return __libc_calloc(number, size);
}

/* How many were taken, freed ones too. */
static unsigned taken(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

struct model_totals libc_blocks_totals(void)
{
    struct model_totals totals = {0, 0};
    for (unsigned i = 0; i < taken(); i++)
        if (blocks[i].start != 0) {
            totals.blocks++;
            totals.bytes += blocks[i].usable;
        }
    return totals;
}

bool libc_blocks_starting(uintptr_t start)
{
    for (unsigned i = 0; i < taken(); i++)
        if (start != 0 && blocks[i].start == start)
            return true;
    return false;
}

uintptr_t libc_blocks_bound(uintptr_t start, uintptr_t end)
{
    for (unsigned i = 0; i < taken(); i++)
        if (blocks[i].start < end && start < blocks[i].start + blocks[i].usable)
            end = blocks[i].start > start ? blocks[i].start : start;
    return end;
}

bool libc_blocks_overlapping(uintptr_t start, uintptr_t end)
{
    return libc_blocks_bound(start, end) != end;
}

unsigned libc_blocks_next(void)
{
    return taken();
}

void libc_blocks_gone(unsigned place)
{
    blocks[place].start = 0;
    blocks[place].usable = 0;
}
