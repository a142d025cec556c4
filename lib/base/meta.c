/*
 * The allocator's own memory. Purpose and rules: meta.h.
 *
 * A chunk begins with a header that says how much of it is handed out, so that `current` is the
 * only other word: each change is one store (a chunk is complete before `current` names it, a piece
 * is the caller's once `used` has moved past it), and an orphaned lock leaves nothing to rebuild.
 */
#include "base/meta.h"

#include "base/limit.h"
#include "base/lock.h"
#include "base/os.h"

enum {
    CHUNK = 256 * 1024,      /* bytes */
    CHUNK_LATER = 4 * CHUNK, /* bytes, once that many are mapped: each chunk costs two mappings */
    LARGEST_PIECE = CHUNK / 4,
};

/* Stands at the start of each chunk. */
struct chunk {
    CACHE_ALIGNED size_t size; /* [constant] bytes */
    size_t used;               /* [lock META] bytes from the chunk's start, this header included */
};

static struct {
    struct lock lock;
    struct chunk *current; /* [lock META] pieces are cut from it; NULL at first */
} meta = {.lock = {.rank = LOCK_RANK_META}};

START_DATA size_t meta_bytes;

/* Makes a new chunk the current one. False if there is no memory. */
static bool begin_chunk(size_t size)
{
    struct chunk *chunk = os_map_guarded(size);
    if (chunk == NULL)
        return false;
    chunk->size = size;
    chunk->used = sizeof(*chunk);
    __atomic_store_n(&meta_bytes, meta_bytes + size, __ATOMIC_SEQ_CST);
    limit_count(size);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&meta.current, chunk, __ATOMIC_RELAXED);
    return true;
}

/* Cuts a piece from the current chunk; NULL if not enough is left of it. */
static void *cut_piece(size_t size)
{
    struct chunk *chunk = meta.current;
    if (chunk == NULL || size > chunk->size - chunk->used)
        return NULL;
    void *piece = (char *)chunk + chunk->used;
    __atomic_store_n(&chunk->used, chunk->used + size, __ATOMIC_RELAXED);
    return piece;
}

void *meta_alloc(size_t size)
{
    ASSERT(size <= LARGEST_PIECE);
    size = align_up(size, CACHE_LINE);
    size_t least = align_up(sizeof(struct chunk) + size, os_page_size());

    lock_acquire(&meta.lock); /* nothing is derived, so nothing to rebuild if it is orphaned */
    void *piece = cut_piece(size);
    if (piece == NULL &&
        (begin_chunk(meta_bytes < CHUNK_LATER ? CHUNK : CHUNK_LATER) || begin_chunk(least)))
        piece = cut_piece(size);
    lock_release(&meta.lock);
    return piece;
}

void *meta_map(size_t size)
{
    lock_acquire(&meta.lock);
    void *mapped = os_map_guarded(size);
    if (mapped != NULL) {
        os_huge_pages(mapped, size, false);
        __atomic_store_n(&meta_bytes, meta_bytes + size, __ATOMIC_SEQ_CST);
        limit_count(size);
    }
    lock_release(&meta.lock);
    return mapped;
}
