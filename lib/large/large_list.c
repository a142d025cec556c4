/* The LARGE list and its lock: see large_list.h. */
#include "large/large_list.h"

#include "base/meta.h"

struct large_list large_list = {.lock = {.rank = LOCK_RANK_LARGE}, .oldest = EXTENT_KEPT};

void large_list_acquire(void)
{
    if (UNLIKELY(lock_acquire(&large_list.lock)))
        extents_rebuild(&large_list.table);
}

void large_list_release(void)
{
    uint64_t stamp = extents_oldest_stamp(&large_list.table);
    if (stamp != __atomic_load_n(&large_list.oldest, __ATOMIC_RELAXED))
        __atomic_store_n(&large_list.oldest, stamp, __ATOMIC_RELAXED);
    if (large_list.table.live_bytes > large_list.peak)
        __atomic_store_n(&large_list.peak, large_list.table.live_bytes, __ATOMIC_RELAXED);
    lock_release(&large_list.lock);
}

bool large_list_acquire_with(size_t spare)
{
    large_list_acquire();
    while (large_list.table.spare < spare) {
        large_list_release();
        struct extent_chunk *chunk = meta_alloc(sizeof(*chunk));
        if (chunk == NULL)
            return false;
        large_list_acquire();
        extents_add_chunk(&large_list.table, chunk);
    }
    return true;
}
