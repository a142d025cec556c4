/*
 * The states of blocks, one byte each, and the scans over them. Pure functions over arrays; no OS.
 *
 * `states` is 64-byte aligned in every function, and reads reach to the end of the last group
 * of 64. Another thread may change a state from LIVE, WIDE or SAMPLED to REMOTE during a scan:
 * scans see either. Under ThreadSanitizer the scans read bytes as relaxed atomics; otherwise SSE2
 * or NEON where there is one, and a portable fallback (SWAR over uint64_t).
 */
#ifndef ACRE_LIB_STATES_H
#define ACRE_LIB_STATES_H

#include "base/base.h"

enum block_state {
    BLOCK_FREE = 0,   /* may be handed out; all zero, as fresh pages are */
    BLOCK_LIVE = 1,   /* the program holds it */
    BLOCK_CACHED = 2, /* in its owner's magazine */
    BLOCK_REMOTE = 3, /* freed by a thread that is not the owner; the owner collects it */
    BLOCK_PURGED = 4, /* as FREE, but its pages were given back: taken when there is no FREE one */
    BLOCK_WIDE = 5,   /* as LIVE: the program holds it and the REST blocks that follow it, as one */
    BLOCK_REST = 6,   /* a place that a block before it has taken; see slab_wide.c */
    BLOCK_QUARANTINED = 7, /* freed, and kept back (modes/hardened.h) */
    BLOCK_SAMPLED = 8, /* as LIVE: the program holds it, and the heap profile may have a sample of
                          it (modes/profile.h) */
    BLOCK_END = 9,     /* no block: the sentinel after a slab's last one, and what follows it */
};

enum { STATES_GROUP = 64 }; /* states that one window covers */

/* Reads one state. Another thread may be changing it. */
static inline uint8_t state_get(const uint8_t *state)
{
    return __atomic_load_n(state, __ATOMIC_RELAXED);
}

/* Stores one state; one byte store, the truth about the block from then on. */
static inline void state_set(uint8_t *state, uint8_t value)
{
    __atomic_store_n(state, value, __ATOMIC_RELAXED);
}

/* True of a block that the program holds. */
static inline bool state_is_live(uint8_t state)
{
    return state == BLOCK_LIVE || state == BLOCK_WIDE || state == BLOCK_SAMPLED;
}

/* Makes states[0..count-1] FREE and the rest of the last group, up to states[64 x groups - 1],
 * BLOCK_END. */
void states_reset(uint8_t *states, size_t count, size_t groups);

/* The states of one group as a word: bit i is set if states[i] is `value`, for i in 0..63. */
uint64_t states_match(const uint8_t *states, uint8_t value);

/* How many of states[0..count-1] are `value`. */
size_t states_count(const uint8_t *states, size_t count, uint8_t value);

/* The lowest index below count whose state is `value`; count if there is none. */
size_t states_find(const uint8_t *states, size_t count, uint8_t value);

/* A word with bit g set if any of the states of group g is `value`; count is at most 4096. */
uint64_t states_summary(const uint8_t *states, size_t count, uint8_t value);

#endif
