/*
 * malloc and its family, and the library's constructor and destructor.
 *
 * Semantics where the standards leave a choice: malloc(0) gives a block of 16 bytes; realloc(p, 0)
 * frees p and returns NULL; an alignment that is no power of two is EINVAL everywhere.
 */
#define _GNU_SOURCE 1

#include "api/api.h"

#include "process/init.h"
#include "base/os.h"

#include <errno.h>
#include <unistd.h>

/* Takes no arguments, although glibc passes some to constructors: link-time optimisation makes one
 * function of all constructors, which passes none. libc's own has run before. */
__attribute__((constructor)) static void start(void)
{
    init_start(environ);
    api_find_family();
    if (api_find_operators != NULL)
        api_find_operators();
}

__attribute__((destructor)) static void end(void)
{
    init_end();
}

/* The two that are called most begin at a cache line, so that what is linked before them does not
 * change their cost. */
EXPORT CACHE_ALIGNED void *malloc(size_t size)
{
    return alloc_block(size);
}

EXPORT CACHE_ALIGNED void free(void *p)
{
    free_block(p);
}

/* free under another name: ends in the chosen definition of free. */
static ALWAYS_INLINE void end_in_free(void *p, const char *function)
{
    if (LIKELY(api_own.family))
        free_block_named(p, function);
    else
        api_free(p, function);
}

EXPORT void cfree(void *p)
{
    end_in_free(p, "cfree");
}

/* The same, of a block that is told to be of that size and alignment. */
static ALWAYS_INLINE void end_in_free_sized(void *p, size_t size, size_t alignment,
                                            const char *function)
{
    if (UNLIKELY(!api_own.family) && api_own.family_checked)
        mismatch_check(p, (struct mismatch_call){FAMILY_MALLOC, size, alignment}, function);
    end_in_free(p, function);
}

EXPORT void free_sized(void *p, size_t size)
{
    end_in_free_sized(p, size, 0, "free_sized");
}

EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size)
{
    end_in_free_sized(p, size, alignment, "free_aligned_sized");
}

EXPORT void *calloc(size_t count, size_t size)
{
    return alloc_zeroed(count, size);
}

EXPORT void *realloc(void *p, size_t size)
{
    return alloc_resize(p, size, "realloc");
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return LIKELY(api_own.family) ? alloc_resize(p, bytes, "reallocarray")
                                  : api_realloc(p, bytes, "reallocarray");
}

/* EINVAL for an alignment that is none. */
static void *aligned_or_errno(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return alloc_aligned(alignment, size);
}

/* errno, which POSIX leaves open, is as in glibc: ENOMEM if there is no memory, since programs
 * print it, and preserved if the alignment is wrong. */
EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    void *block = aligned_or_errno(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *result = block;
    return 0;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return aligned_or_errno(alignment, size);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return aligned_or_errno(alignment, size);
}

EXPORT void *valloc(size_t size)
{
    return aligned_or_errno(os_page_size(), size);
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = os_page_size();
    if (size > PTRDIFF_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return aligned_or_errno(page, max_size(align_up(size, page), page));
}

EXPORT size_t malloc_usable_size(void *p)
{
    return p == NULL ? 0 : free_usable_size(p, "malloc_usable_size");
}

/* ---- this library's definitions, for api.c ---- */

OWN_ALIAS(malloc) void *own_malloc(size_t size);
OWN_ALIAS(free) void own_free(void *p);
OWN_ALIAS(realloc) void *own_realloc(void *p, size_t size);
OWN_ALIAS(aligned_alloc) void *own_aligned_alloc(size_t alignment, size_t size);
OWN_ALIAS(pvalloc) void *own_pvalloc(size_t size);

/* ---- the names by which glibc's own family can be reached beside the public ones ---- */

#ifndef ACRE_WITH_PREFIX
EXPORT_ALIAS(malloc) void *__libc_malloc(size_t size);
EXPORT_ALIAS(free) void __libc_free(void *p);
EXPORT_ALIAS(calloc) void *__libc_calloc(size_t count, size_t size);
EXPORT_ALIAS(realloc) void *__libc_realloc(void *p, size_t size);
EXPORT_ALIAS(memalign) void *__libc_memalign(size_t alignment, size_t size);
EXPORT_ALIAS(valloc) void *__libc_valloc(size_t size);
EXPORT_ALIAS(pvalloc) void *__libc_pvalloc(size_t size);
EXPORT_ALIAS(free) void __libc_cfree(void *p);
EXPORT_ALIAS(reallocarray) void *__libc_reallocarray(void *p, size_t count, size_t size);
#endif
