/*
 * The limit on what acre holds (OPTION_LIMIT): all that may get pages without a further call of the
 * system, touched or not. These are units in slabs, free ones that may have pages, headers and open
 * states of heaps, LARGE blocks, the dirty part of their stock, and metadata.
 *
 * 1. `taken` counts what acre begins to hold, and nothing that it gives back. It may go up to
 *    `allowed`; else limit_take refuses.
 * 2. Then the caller, which holds no lock, counts what is held, part by part, each under its lock.
 *    Up to 15/16 of the limit all is allowed at once. From there on what is idle goes back first,
 *    and only a step is allowed, so that the count is repeated as the process grows.
 *
 * 3. Where the program is to be called at a share of the limit (arena/soft_limit.h), no more is
 *    allowed at once than is left up to the share, and above it 1/16 of it: so a count finds that
 *    the share is crossed, and also that use has fallen by 1/8 of it and rises again.
 *
 * So the limit holds: what was taken before a count began is in the count; what was taken later is
 * in `taken`. Therefore limit_take is called under the lock under which the part is counted, and
 * limit_count after the part has become visible to a count.
 */
#ifndef ACRE_LIB_LIMIT_H
#define ACRE_LIB_LIMIT_H

#include "base/base.h"

/* [any, seq_cst] */
extern struct limit {
    CACHE_ALIGNED uint64_t bytes; /* the limit; 0: none, and nothing is counted */
    uint64_t taken;               /* bytes that acre began to hold, or more */
    uint64_t allowed;             /* what `taken` may become */
    uint64_t followed;            /* the value of OPTION_LIMIT that `bytes` comes from */
    uint64_t read_at;             /* ms: when the group was looked at last */
    uint64_t share;               /* per cent of it at which the program is called; 0: it is not */
    uint64_t crossed;             /* 1: use was above the share, and no count has found since that
                                     it fell */
} limit;

static inline bool limit_is_on(void)
{
    return UNLIKELY(__atomic_load_n(&limit.bytes, __ATOMIC_SEQ_CST) != 0);
}

bool limit_has_room(size_t bytes);
/* Takes bytes, if there is room. */
bool limit_take(size_t bytes);
/* Counts bytes that are held in any case. */
void limit_count(size_t bytes);
/* Has the next limit_take refuse: what is held may have grown uncounted. */
void limit_forget(void);

/*
 * After a count of `held` bytes that began when `taken` was `begun`: true if a request of `size`
 * bytes is within the limit, and then it may be taken. If not `purged`, false also near the limit:
 * the caller gives back what is idle and counts again. If `purged`, the first refusal is reported.
 */
bool limit_allow(uint64_t begun, size_t held, size_t size, bool purged);

/* True if `size` bytes, where `held` bytes are held, cross the share; of several threads that find
 * so with `note`, for one alone. Not if the limit has no room for them whatever is given back. */
bool limit_crosses(size_t held, size_t size, bool note);
/* Sets the share; it counts as not crossed. */
void limit_set_share(unsigned percent);

/* Follows the option at once, and the group once a second. `now` is os_now_ms(). */
void limit_tick(uint64_t now);

extern const char *limit_root; /* in tests: the directory that stands for `/` */

#endif
