/*
 * floor: a module to preload that allocates by adding to a pointer and frees nothing. What a bench
 * program takes on it, an allocator can hardly undercut: it is the floor of the tables.
 *
 * Each thread cuts blocks from chunks of its own, obtained from mmap; fresh chunks are zeroed, so
 * calloc has nothing to do. They ask for huge pages: less of the time goes to page faults and to
 * misses of the TLB. The size of a block lies in the 8 bytes before it, for realloc.
 *
 * FLOOR_LIMIT_MIB in the environment bounds the chunks of the process in all: beyond it, or when
 * the system has no more, the functions return NULL with ENOMEM. A program on an allocator that
 * never frees needs such a bound.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER = sizeof(size_t),
    ALIGNMENT = 16,
    PAGE = 4096,
    CHUNK_MIN = 128 << 10, /* bytes; a short-lived thread needs little */
    CHUNK_MAX = 64 << 20,  /* each chunk of a thread is twice the one before, up to this */
};

/* A request above this, in bytes, is never granted; below it no sum of a few overflows. */
#define REQUEST_MAX ((size_t)PTRDIFF_MAX / 4)

/* The rest of the calling thread's chunk; zeroed memory. */
static __thread struct {
    uintptr_t next;
    uintptr_t end;
    size_t chunk; /* bytes of the chunk, 0 before the first */
} rest __attribute__((tls_model("initial-exec")));

static size_t mapped; /* bytes of all chunks; atomic, relaxed */

/* Whether `bytes` more are within the limit; if so they count as mapped. */
static int within_limit(size_t bytes)
{
    const char *text = getenv("FLOOR_LIMIT_MIB");
    size_t limit = text ? strtoull(text, NULL, 10) << 20 : SIZE_MAX;

    if (__atomic_add_fetch(&mapped, bytes, __ATOMIC_RELAXED) <= limit)
        return 1;
    __atomic_sub_fetch(&mapped, bytes, __ATOMIC_RELAXED);
    return 0;
}

/* Replaces the rest by a chunk that has room for `bytes`, twice over, so that a block that grows by
 * small steps is not copied at each. Returns 0 and sets errno if there is none. */
static int new_chunk(size_t bytes)
{
    size_t size = rest.chunk ? rest.chunk * 2 : CHUNK_MIN;

    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    rest.chunk = size;
    if (size < bytes * 2)
        size = (bytes * 2 + PAGE - 1) & -(size_t)PAGE;
    void *chunk = MAP_FAILED;
    if (within_limit(size))
        chunk = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED) {
        errno = ENOMEM;
        return 0;
    }
    madvise(chunk, size, MADV_HUGEPAGE); /* where there are none, small ones do */
    rest.next = (uintptr_t)chunk;
    rest.end = rest.next + size;
    return 1;
}

static void *take(size_t size, size_t alignment);

static __attribute__((noinline)) void *take_from_new(size_t size, size_t alignment)
{
    if (size > REQUEST_MAX || alignment > REQUEST_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    return new_chunk(size + alignment + HEADER) ? take(size, alignment) : NULL;
}

/* The size of a block that was handed out. */
static inline size_t *size_of(void *block)
{
    return (size_t *)block - 1;
}

/* A zeroed block; the alignment is a power of two, at least ALIGNMENT. */
static inline __attribute__((always_inline)) void *take(size_t size, size_t alignment)
{
    uintptr_t block = (rest.next + HEADER + alignment - 1) & -alignment;

    if (__builtin_expect(block > rest.end || size > rest.end - block, 0))
        return take_from_new(size, alignment);
    rest.next = block + size;
    *size_of((void *)block) = size;
    return (void *)block;
}

void *malloc(size_t size)
{
    return take(size, ALIGNMENT);
}

void free(void *block)
{
    (void)block;
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    return take(bytes, ALIGNMENT);
}

void *realloc(void *block, size_t size)
{
    if (!block)
        return take(size, ALIGNMENT);
    size_t old = *size_of(block);
    if (size <= old)
        return block;
    if ((uintptr_t)block + old == rest.next && size <= rest.end - (uintptr_t)block) {
        rest.next = (uintptr_t)block + size;
        *size_of(block) = size;
        return block;
    }
    void *moved = take(size, ALIGNMENT);
    return moved ? memcpy(moved, block, old) : NULL;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    return realloc(block, __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

void *memalign(size_t alignment, size_t size)
{
    if (alignment & (alignment - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return take(size, alignment < ALIGNMENT ? ALIGNMENT : alignment);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    int before = errno;

    if (!alignment || alignment % sizeof(void *) || alignment & (alignment - 1))
        return EINVAL;
    void *block = memalign(alignment, size);
    errno = before;
    if (!block)
        return ENOMEM;
    *result = block;
    return 0;
}

void *valloc(size_t size)
{
    return take(size, PAGE);
}

void *pvalloc(size_t size)
{
    return take(size > REQUEST_MAX ? size : (size + PAGE - 1) & -(size_t)PAGE, PAGE);
}

size_t malloc_usable_size(void *block)
{
    return block ? *size_of(block) : 0;
}
