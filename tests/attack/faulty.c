/*
 * A faulty allocator, for the test of the search itself: preloaded, it stands between the program
 * and acre and does one thing wrong, now and then. ATTACK_FAULT names it.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RARE = 50 }; /* one call in 50 is wrong */

/* acre's own, by their other names. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static char *last; /* the block that malloc returned last */

/* True if this is the fault, and this call is to have it. */
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

void *malloc(size_t size)
{
    if (is_wrong("refused", RARE)) {
        errno = ENOMEM;
        return NULL;
    }
    if (last != NULL && is_wrong("overlap", RARE) && malloc_usable_size(last) >= size)
        return last;
    if (last != NULL && is_wrong("contents", RARE))
        *last ^= 1;
    if (is_wrong("outside", RARE)) {
        static char block[4096];
        return block;
    }
    if (is_wrong("figures", RARE))
        (void)!__libc_malloc(1);
    char *block = __libc_malloc(size);
    if (block != NULL)
        last = block;
    return block;
}

void *calloc(size_t count, size_t size)
{
    char *block = __libc_calloc(count, size);
    if (block != NULL && size != 0 && is_wrong("not zero", 4))
        block[size - 1] = 1;
    return block;
}

void *memalign(size_t alignment, size_t size)
{
    if (alignment > 16 && is_wrong("misaligned", 4))
        return (char *)__libc_memalign(alignment, size + 16) + 16;
    return __libc_memalign(alignment, size);
}

void *realloc(void *block, size_t size)
{
    char *now = __libc_realloc(block, size);
    last = NULL;
    if (now == NULL && is_odd(block) && is_wrong("acted", 1))
        return __libc_malloc(size);
    if (now != NULL && size != 0 && is_wrong("realloc", 4))
        *now ^= 1;
    return now;
}

void free(void *block)
{
    if (block == last)
        last = NULL;
    if (is_odd(block) && is_wrong("unreported", 1))
        return;
    if (is_odd(block) && is_wrong("misnamed", 1)) {
        __libc_free((char *)block + 2);
        return;
    }
    if (is_wrong("lost", RARE))
        return;
    if (is_wrong("signal", RARE))
        *(volatile char *)NULL = 0;
    __libc_free(block);
    if (block != NULL && is_wrong("reported", RARE))
        __libc_free(block);
    if (is_wrong("errno", RARE))
        errno = EINVAL;
}
