/*
 * The allocator's own memory. Purpose and rules: meta.h.
 *
 * A chunk begins with a header that says how much of it is handed out, so that `current` is the
 * only other word: each change is one store (a chunk is complete before `current` names it, a piece
 * is the caller's once `used` has moved past it), and an orphaned lock leaves nothing to rebuild.
 * What does not fit into the rest of a chunk gets a new one; what would waste much of one gets a
 * mapping of its own.
 */
#include "base/meta.h"

#include "base/lock.h"
#include "base/os.h"

#include <assert.h>

enum {
    META_CHUNK = 256 * 1024,           /* bytes; a mapping that pieces are cut from */
    META_CHUNK_LATER = 4 * META_CHUNK, /* bytes, once as many are mapped: each costs two mappings */
    META_PIECE_LIMIT = META_CHUNK / 4, /* bytes; larger pieces have a mapping of their own, so that
                                          at most a quarter of a chunk is left over */
    META_ALIGNMENT_LIMIT = 64 * 1024,  /* bytes; as meta.h says */
};

/* Stands at the start of each chunk. */
struct meta_chunk {
    size_t size; /* bytes; constant */
    size_t used; /* bytes from the chunk's start, this header included; lock */
};

static_assert(META_PIECE_LIMIT + META_ALIGNMENT_LIMIT + sizeof(struct meta_chunk) <= META_CHUNK,
              "every piece fits into an empty chunk");

static struct {
    struct lock lock;
    struct meta_chunk *current; /* the chunk that pieces are cut from; lock */
} meta = {.lock = {.rank = LOCK_RANK_META}};

size_t meta_bytes;

/* Maps `size` bytes between guards, counted. */
static void *map_counted(size_t size)
{
    void *pages = os_map_guarded(size);
    if (pages != NULL)
        __atomic_fetch_add(&meta_bytes, size, __ATOMIC_RELAXED);
    return pages;
}

/* A piece with a mapping of its own. */
static void *alloc_mapping(size_t size, size_t alignment)
{
    size_t page = os_page_size();
    size_t slack = alignment > page ? alignment - page : 0; /* stays mapped, never touched */
    if (size > PTRDIFF_MAX - slack - page)
        return NULL;
    void *pages = map_counted(align_up(size, page) + slack);
    return pages != NULL ? (void *)align_up((uintptr_t)pages, alignment) : NULL;
}

/* Cuts a piece from the current chunk; NULL if there is no chunk or not enough left of it. */
static void *cut_piece(size_t size, size_t alignment)
{
    struct meta_chunk *chunk = meta.current;
    if (chunk == NULL)
        return NULL;
    uintptr_t start = (uintptr_t)chunk;
    uintptr_t piece = align_up(start + chunk->used, alignment);
    if (piece + size > start + chunk->size)
        return NULL;
    __atomic_store_n(&chunk->used, piece + size - start, __ATOMIC_RELAXED);
    return (void *)piece;
}

/* Makes a new chunk the current one. False if there is no memory. */
static bool begin_chunk(void)
{
    size_t size = meta_mapped() < META_CHUNK_LATER ? META_CHUNK : META_CHUNK_LATER;
    struct meta_chunk *chunk = map_counted(size);
    if (chunk == NULL)
        return false;
    chunk->size = size;
    chunk->used = sizeof(*chunk);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&meta.current, chunk, __ATOMIC_RELAXED);
    return true;
}

void *meta_alloc(size_t size, size_t alignment)
{
    ASSERT(is_power_of_two(alignment) && alignment <= META_ALIGNMENT_LIMIT);
    if (size > META_PIECE_LIMIT)
        return alloc_mapping(size, alignment);

    lock_acquire(&meta.lock); /* nothing is derived, so nothing to rebuild if it is orphaned */
    void *piece = cut_piece(size, alignment);
    if (piece == NULL && begin_chunk())
        piece = cut_piece(size, alignment);
    lock_release(&meta.lock);

    /* Where not even a chunk can be had, the piece alone may still fit. */
    return piece != NULL ? piece : alloc_mapping(size, alignment);
}

size_t meta_mapped(void)
{
    return __atomic_load_n(&meta_bytes, __ATOMIC_RELAXED);
}
