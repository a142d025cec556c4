/*
 * malloc, free, realloc and aligned_alloc as a program may define them: each counts its calls and
 * calls the library's. With POOL, the whole family of glibc instead, whose blocks come from a place
 * of its own, so that no other allocator can free them, and that ends the program where it is given
 * a block of another one.
 */
#include "replaced.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(symbol) replaced.calls[NUMBER_##symbol]++

#ifdef POOL

enum { POOL_BYTES = 64 << 20 };

static _Alignas(4096) char pool[POOL_BYTES];
static size_t pool_used;

/* A block has its size in front of it. Freed blocks are not used again. None has 0 bytes. */
static void *take(size_t alignment, size_t size)
{
    if (size == 0 || size > POOL_BYTES)
        return NULL;
    size_t bytes = alignment < 32 ? 32 : alignment;
    size_t needed = bytes + (size + bytes - 1) / bytes * bytes;
    size_t start = __atomic_fetch_add(&pool_used, needed + bytes, __ATOMIC_RELAXED);
    start = (start + bytes - 1) / bytes * bytes;
    if (start + needed > POOL_BYTES)
        abort();
    char *block = pool + start + bytes;
    memcpy(block - sizeof(size), &size, sizeof(size));
    return block;
}

static size_t size_of(const void *p)
{
    size_t size;
    if ((uintptr_t)p - (uintptr_t)pool >= POOL_BYTES)
        abort();
    memcpy(&size, (const char *)p - sizeof(size), sizeof(size));
    return size;
}

void *malloc(size_t size)
{
    COUNT(malloc);
    return take(16, size);
}

void free(void *p)
{
    COUNT(free);
    if (p != NULL)
        (void)size_of(p);
}

void *calloc(size_t count, size_t size)
{
    return take(16, count * size);
}

void *realloc(void *p, size_t size)
{
    COUNT(realloc);
    void *block = take(16, size);
    if (block != NULL && p != NULL)
        memcpy(block, p, size_of(p) < size ? size_of(p) : size);
    return block;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    COUNT(aligned_alloc);
    return take(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    return take(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    *result = take(alignment, size);
    return *result == NULL ? ENOMEM : 0;
}

size_t malloc_usable_size(void *p)
{
    return size_of(p);
}

#else

void *__libc_malloc(size_t size);
void __libc_free(void *p);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    COUNT(malloc);
    return __libc_malloc(size);
}

void free(void *p)
{
    COUNT(free);
    __libc_free(p);
}

void *realloc(void *p, size_t size)
{
    COUNT(realloc);
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    COUNT(aligned_alloc);
    return __libc_memalign(alignment, size);
}

#endif
