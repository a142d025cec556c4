/*
 * An allocator with a fault, for the test of the search itself: acre's functions, and now and then
 * something wrong. ATTACK_FAULT names the fault. See family.h.
 */
#include "family.h"

#include "libc_blocks.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RARE = 50, OFTEN = 4, ALWAYS = 1 }; /* one call in that many is wrong */

static char *last; /* the block that malloc returned last, if it is live */

/* True if this fault is asked for and this call is to have it. */
static bool is_wrong(const char *fault, unsigned share)
{
    static unsigned calls;
    const char *wanted = getenv("ATTACK_FAULT");
    return wanted != NULL && strcmp(wanted, fault) == 0 && ++calls % share == 0;
}

static bool is_odd(const void *block)
{
    return (uintptr_t)block % 16 != 0;
}

void *family_malloc(size_t size)
{
    static char outside[4096];
    if (is_wrong("refused", RARE)) {
        errno = ENOMEM;
        return NULL;
    }
    if (last != NULL && is_wrong("overlap", RARE) && malloc_usable_size(last) >= size)
        return last;
    if (last != NULL && is_wrong("contents", RARE))
        *last ^= 1;
    if (is_wrong("outside", RARE))
        return outside;
    if (is_wrong("figures", RARE) && malloc(1) == NULL)
        return NULL;
    char *block = malloc(size);
    if (block != NULL)
        last = block;
    return block;
}

void *family_calloc(size_t count, size_t size)
{
    char *block = libc_blocks_calloc(count, size);
    if (block != NULL && size != 0 && is_wrong("not zero", OFTEN))
        block[size - 1] = 1;
    return block;
}

void *family_aligned_alloc(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

int family_posix_memalign(void **block, size_t alignment, size_t size)
{
    return posix_memalign(block, alignment, size);
}

void *family_memalign(size_t alignment, size_t size)
{
    char *block = memalign(alignment, size);
    return block != NULL && alignment > 16 && is_wrong("misaligned", OFTEN) ? block + 16 : block;
}

void *family_realloc(void *block, size_t size)
{
    char *now = realloc(block, size);
    last = NULL;
    if (now == NULL && is_odd(block) && is_wrong("acted", ALWAYS))
        return malloc(size);
    if (now != NULL && block != NULL && size != 0 && is_wrong("realloc", OFTEN))
        *now ^= 1;
    return now;
}

void family_free(void *block)
{
    if (block == last)
        last = NULL;
    if ((is_odd(block) && is_wrong("unreported", ALWAYS)) || is_wrong("lost", RARE))
        return;
    if (is_odd(block) && is_wrong("misnamed", ALWAYS))
        block = (char *)block + 2;
    if (is_wrong("signal", RARE))
        *(volatile char *)NULL = 0;
    free(block);
    if (block != NULL && is_wrong("reported", RARE))
        free(block);
    if (is_wrong("errno", RARE))
        errno = EINVAL;
}

size_t family_usable_size(void *block)
{
    size_t size = malloc_usable_size(block);
    return is_wrong("size", RARE) ? size / 2 : size;
}
