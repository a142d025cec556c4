/* acre's functions: see family.h. */
#include "family.h"

#include "libc_blocks.h"

#include <malloc.h>
#include <stdlib.h>

void *family_malloc(size_t size)
{
    return malloc(size);
}

void *family_calloc(size_t count, size_t size)
{
    return libc_blocks_calloc(count, size);
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
    return memalign(alignment, size);
}

void *family_realloc(void *block, size_t size)
{
    return realloc(block, size);
}

void family_free(void *block)
{
    free(block);
}

size_t family_usable_size(void *block)
{
    return malloc_usable_size(block);
}
