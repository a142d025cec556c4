/*
 * The heap profile: samples of what the program allocates, each with its stack.
 *
 * 1. Poisson sampling by bytes: each thread counts down a number of bytes, drawn from an
 *    exponential distribution of mean `interval`; the block in which it ends is a sample. A block
 *    of s bytes is one with probability p = 1 - exp(-s / interval) and stands for 1 / p blocks, so
 *    that sums over samples are unbiased (as in tcmalloc and jemalloc).
 * 2. A sampled block in a slab is SAMPLED, not LIVE, so the short path of free leaves it to
 *    free_slow. Its sample ends before the block is given back: no address is in two samples.
 * 3. When all slots are in use, the interval doubles, and each sample stays with the probability
 *    p(new) / p(old); then it stands for 1 / p(new) blocks.
 *
 * While the profile is on, the table of size classes is diverted, so that each malloc comes to
 * alloc_slow; while it is off, the short paths have no instruction for it. Samples outlive
 * profile_stop: frees go on ending them. Programs outside read the profile (acre/inspect.h).
 *
 * Lock: LOCK_RANK_PROFILE, the innermost one; stacks are taken before it. The mode word, the slots
 * that have an address, the sites and the stacks are the truth. All else is rebuilt from them in a
 * child of fork, if a lost thread held the lock. All tables lie in one mapping.
 */
#ifndef ACRE_LIB_PROFILE_H
#define ACRE_LIB_PROFILE_H

#include "base/base.h"
#include "base/option.h"

/* A live sample. Written under the lock, and its address last; 0: not in use. */
struct profile_slot {
    uint64_t address, size; /* of the block; bytes that it has */
    double weight;          /* blocks that it stands for */
    uint64_t time;          /* ms of the monotonic clock */
    uint32_t site;          /* index */
    int32_t thread;         /* id */
    uint32_t next;          /* in its bucket, or of those not in use: index + 1; 0: none */
};

/* One stack and size. Site 0: all whose stack was lost. Estimates. */
struct profile_site {
    uint32_t stack, next;           /* index of the stack; in its bucket: index + 1 */
    uint64_t size;                  /* bytes of a block; site 0: 0 */
    double blocks, bytes;           /* allocated in all since the start */
    double peak_blocks, peak_bytes; /* live at the peak */
};

/* frames[first .. first+depth-1], the innermost first. Stack 0 has none. */
struct profile_stack {
    uint32_t first, depth, hash, next; /* next in its bucket: index + 1 */
};

/* [lock], and read from outside; marked_at is also written from there, by acre-profile. */
struct profile {
    uint64_t interval;       /* bytes, now; 0: off */
    uint64_t first_interval; /* as asked for */
    uint32_t session;        /* number of starts */
    uint32_t changing;       /* odd while the peak is counted, or a start clears the profile */
    uint64_t started_at, stopped_at, marked_at, peak_at;       /* ms; 0: not yet */
    double live_bytes, live_blocks, peak_bytes;                /* estimates */
    uint64_t taken, ended, thinned, lost_stacks;               /* samples since the start */
    uint32_t slot_limit, site_limit, stack_limit, frame_limit; /* room */
    uint32_t slots_used, sites_used, stacks_used, frames_used; /* from 0 up */
    struct profile_slot *slots;                                /* NULL: never started */
    struct profile_site *sites;
    struct profile_stack *stacks;
    uintptr_t *frames;
};

extern struct profile profile;

/*
 * [lock, any reads] The mode word. 0: off. Else the low 48 bits are the interval, and the upper 16
 * change with each start.
 */
extern uint64_t profile_mode;

extern uint64_t profile_samples; /* [lock, any reads] live samples */

/* Of each thread. [owner] */
struct profile_thread {
    uint64_t mode;      /* the mode word when `countdown` was drawn */
    uint64_t countdown; /* bytes until a sample */
    uint64_t generator; /* state of its random numbers; 0: not yet seeded */
};

extern __thread struct profile_thread profile_thread __attribute__((tls_model("initial-exec")));

/* Starts a profile; the one before is forgotten. `interval` is 1 (each block is a sample)
 * to 64 GiB. 0, or EINVAL or ENOMEM. */
int profile_start(size_t interval);

/* Takes no more samples. 0, or EINVAL if the profile is off. */
int profile_stop(void);

/* Sets the mark: later samples count as taken since it. 0, or EINVAL if the profile is off. */
int profile_mark(void);

/* [lock, any reads] The value of OPTION_PROFILE when profile_follow_option last read it, or a start
 * or stop set it. */
extern uint64_t profile_followed;

/* Starts or stops as OPTION_PROFILE says. */
void profile_follow_option(void);

/* Does so if the option has changed since then; a program outside may have changed it. */
static inline void profile_tick(void)
{
    if (UNLIKELY(option_value(OPTION_PROFILE) !=
                 __atomic_load_n(&profile_followed, __ATOMIC_RELAXED)))
        profile_follow_option();
}

/* True while samples are taken. */
static inline bool profile_is_on(void)
{
    return UNLIKELY(__atomic_load_n(&profile_mode, __ATOMIC_RELAXED) != 0);
}

/* True if the thread may allocate `bytes` without a sample in the mode `mode`, which is not 0;
 * then profile_count counts them, once they are allocated. Else profile_draw decides. */
static ALWAYS_INLINE bool profile_may_skip(uint64_t mode, size_t bytes)
{
    return LIKELY(profile_thread.mode == mode && profile_thread.countdown > bytes);
}

static ALWAYS_INLINE void profile_count(size_t bytes)
{
    profile_thread.countdown -= bytes;
}

/* Counts a block of `bytes` bytes; true if it is to be a sample: profile_add follows, in the same
 * thread, before it counts another block. False if the profile is off. */
bool profile_draw(size_t bytes);

/* Takes the sample: the block at p, which was counted as one of `size` bytes. */
void profile_add(const void *p, size_t size);

/* Ends the sample of the block at p, if there is one. To be called before it is given back. */
void profile_end_sample(const void *p);

/* The same for a block that has no state to tell whether it is a sample. */
static inline void profile_end(const void *p)
{
    if (UNLIKELY(__atomic_load_n(&profile_samples, __ATOMIC_RELAXED) != 0))
        profile_end_sample(p);
}

/* The stack that allocated the block at p, if that is a sample: copies up to `most` frames, the
 * innermost first, and returns their number. *thread is the thread's id. */
size_t profile_stack_of(const void *p, uintptr_t *frames, size_t most, int *thread);

/* Checks slots, sites, stacks and sums against each other. */
bool profile_is_valid(void);

#endif
