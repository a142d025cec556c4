/*
 * Forks: how a child notices that it is one, and which thread survived: doc/fork.md.
 *
 * The fork generation counts the forks between the process's first image and this one. What a lost
 * thread held is recognised by its older generation: lock words (lock.h) and the status of arenas
 * (arena.h) carry one. A fork is noticed by a page that the system wipes in the child, if the
 * system can; the child handler reads it, and so does lock_acquire. Without a handler the survivor
 * is missing, what it holds is not known, until it takes a lock.
 */
#ifndef ACRE_LIB_FORK_H
#define ACRE_LIB_FORK_H

#include "base/base.h"

/* The word of the page that the system wipes in a child. */
enum fork_page {
    FORK_WIPED,  /* in a child: the fork is not counted yet */
    FORK_ARMING, /* a thread is counting it */
    FORK_ARMED,  /* no fork since it was set */
};

enum {
    FORK_SURVIVOR_MISSING = 1,
    FORK_GENERATION_SHIFT = 1, /* the bits above the flag */
    FORK_NAME_ALIGNMENT = 8,   /* of the addresses that name threads */
};

/* The bits that a thread's name may have: there is room for no more in a lock's word. */
#define FORK_NAME_BITS ((UINT64_C(1) << 48) - 2)

struct fork_state {
    /* [any, release] the generation and the flag FORK_SURVIVOR_MISSING. The generation changes only
     * while no thread of the process holds a lock. */
    CACHE_ALIGNED uint32_t forks;
    /* The next three are written by the survivor before `forks`, and read if the flag is clear. */
    uint32_t survivor_birth; /* generation in which the survivor was first seen */
    uint64_t survivor;       /* its name, see fork_thread_name; 0 in the first image */
    void *survivor_held;     /* what on_fork returned */
    void *(*on_fork)(void);  /* [constant] see fork_begin; NULL before */
    uint32_t *page;          /* [constant] the page's word, enum fork_page; NULL if there is none */
};

extern struct fork_state fork_state;

static inline uint32_t fork_generation(void)
{
    return __atomic_load_n(&fork_state.forks, __ATOMIC_RELAXED) >> FORK_GENERATION_SHIFT;
}

/*
 * Makes the page, at the first call. In each child the survivor calls `on_fork` before it takes a
 * lock; `on_fork` takes no lock and returns what the survivor holds, for fork_find_held. The first
 * call is made before threads exist: other libraries may have threads, and fork, before the
 * constructor runs.
 */
void fork_begin(void *(*on_fork)(void));

/* The child handler, for pthread_atfork. Async-signal-safe. */
void fork_child(void);

/* Counts the fork if this process is a child in which no thread has; notes the survivor if it is
 * missing and the caller is it. */
COLD void fork_count(void);

/* Calls fork_count if it has something to do. For lock_acquire. */
static inline void fork_notice(void)
{
    /* acquire: a thread that sees the page armed sees the fork counted */
    if (UNLIKELY((fork_state.page != NULL &&
                  __atomic_load_n(fork_state.page, __ATOMIC_ACQUIRE) != FORK_ARMED) ||
                 (__atomic_load_n(&fork_state.forks, __ATOMIC_RELAXED) & FORK_SURVIVOR_MISSING) !=
                     0))
        fork_count();
}

/* The calling thread's name, FORK_NAME_BITS, not 0: unique among living threads and kept by fork.
 * Notes the generation in which the thread is first seen. */
uint64_t fork_thread_name(void);

/*
 * The name of a thread: the address of a word in its TLS block, a multiple of FORK_NAME_ALIGNMENT.
 * Where that has more than 48 bits (five levels of page tables, and a stack that the program has
 * mapped up there) the thread gets a number, in *number, which is 0 at first. No address is a
 * name with a number in it.
 */
uint64_t fork_name(uintptr_t address, uint32_t *number);

/* True if the thread `name`, which was alive in the generation with these low 16 bits, does not
 * exist in this process. */
bool fork_lost(uint64_t name, uint16_t generation);

/*
 * What the survivor held when it forked, NULL in the first image. False, with *held NULL, while the
 * survivor is missing: then it holds nothing of an older generation.
 */
bool fork_find_held(void **held);

#endif
