/*
 * An allocator with a fault, for the test of the search itself: acre's functions, and now and then
 * something wrong. ATTACK_FAULT names the fault. The linker has the search call these in place of
 * acre's (ld's --wrap).
 */
#include "attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RARE = 50, OFTEN = 4, ALWAYS = 1 }; /* one call in that many is wrong */

void *__real_malloc(size_t size);
void *__real_libc_blocks_calloc(size_t count, size_t size);
void *__real_memalign(size_t alignment, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
size_t __real_malloc_usable_size(void *block);

static char *last; /* the block that malloc returned last, if it is live */

/* True if this fault is asked for and this call is to have it. */
static bool is_wrong(const char *fault, unsigned share)
{
    static unsigned calls;
    const char *wanted = getenv("ATTACK_FAULT");
    /* the loader calls before there is an attempt */
    return attempt != NULL && wanted != NULL && strcmp(wanted, fault) == 0 && ++calls % share == 0;
}

static bool is_odd(const void *block)
{
    return (uintptr_t)block % 16 != 0;
}

void *__wrap_malloc(size_t size)
{
    static char outside[4096];
    if (is_wrong("refused", RARE)) {
        errno = ENOMEM;
        return NULL;
    }
    if (last != NULL && is_wrong("overlap", RARE) && __real_malloc_usable_size(last) >= size)
        return last;
    if (last != NULL && is_wrong("contents", RARE))
        *last ^= 1;
    if (is_wrong("outside", RARE))
        return outside;
    if (is_wrong("figures", RARE) && __real_malloc(1) == NULL)
        return NULL;
    char *block = __real_malloc(size);
    if (block != NULL)
        last = block;
    return block;
}

void *__wrap_libc_blocks_calloc(size_t count, size_t size)
{
    char *block = __real_libc_blocks_calloc(count, size);
    if (block != NULL && size != 0 && is_wrong("not zero", OFTEN))
        block[size - 1] = 1;
    return block;
}

void *__wrap_memalign(size_t alignment, size_t size)
{
    char *block = __real_memalign(alignment, size);
    return block != NULL && alignment > 16 && is_wrong("misaligned", OFTEN) ? block + 16 : block;
}

void *__wrap_realloc(void *block, size_t size)
{
    char *now = __real_realloc(block, size);
    last = NULL;
    if (now == NULL && is_odd(block) && is_wrong("acted", ALWAYS))
        return __real_malloc(size);
    if (now != NULL && block != NULL && size != 0 && is_wrong("realloc", OFTEN))
        *now ^= 1;
    return now;
}

void __wrap_free(void *block)
{
    if (block == last)
        last = NULL;
    if ((is_odd(block) && is_wrong("unreported", ALWAYS)) || is_wrong("lost", RARE))
        return;
    if (is_odd(block) && is_wrong("misnamed", ALWAYS))
        block = (char *)block + 2;
    if (is_wrong("signal", RARE))
        *(volatile char *)NULL = 0;
    __real_free(block);
    if (block != NULL && is_wrong("reported", RARE))
        __real_free(block);
    if (is_wrong("errno", RARE))
        errno = EINVAL;
}

size_t __wrap_malloc_usable_size(void *block)
{
    size_t size = __real_malloc_usable_size(block);
    return is_wrong("size", RARE) ? size / 2 : size;
}
