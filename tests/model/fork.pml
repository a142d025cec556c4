/*
 * Fork: a thread is lost at any step, and the child goes on with the memory that it left. See "The
 * models" in doc/fork.md. Each transition names the code that it stands for (file: function).
 *
 * Two threads share one memory. A fork keeps one of them, the survivor, at whatever step it is (if
 * that is inside a call, a signal handler has forked). The other one takes no further step, so the
 * child has a prefix of its stores. The parent is not followed. In the child the survivor starts
 * another thread in the lost one's place, at the same address. The child handler runs, or does not
 * (_Fork).
 *
 * Stores reach memory at once and in order; weak order is the subject of remote.pml and pool.pml.
 * Arenas exist from the start. An arena has one heap with one unit: a slab of class 1 has two
 * blocks of one cell each, a slab of class 2 one block of both cells. The magazine has one place.
 * The three levels of pending bits are one bit. Steps whose effects only the thread itself can see,
 * and a rebuild forgets, are one step.
 *
 * Defines:
 *   ARENAS     1 or 2
 *   FORKS      1 or 2: the most forks, each by the child of the last
 *   EXIT       threads end, so that arenas are pooled
 *   REUSE      slabs of class 2 are made, too
 *   PURGE      pages are purged, by the owner and for one that does not collect
 *   TRIM       pooled arenas are borrowed and drained; empty heaps of any arena are unmapped
 *   NO_BLOCKS  arenas change hands, and no thread allocates
 *   BUG_...    seeded bugs, which the model must find
 */
#ifndef ARENAS
#define ARENAS 1
#endif
#ifndef FORKS
#define FORKS 1
#endif

#if ARENAS == 2
#define BOTH(what) (what(0) && what(1))
#else
#define BOTH(what) what(0)
#endif

/* enum block_state */
#define FREE   0
#define LIVE   1
#define CACHED 2
#define REMOTE 3
#define PURGED 4
#define END    5

/* enum arena_status */
#define POOLED   1
#define OWNED    2
#define BORROWED 3

/* enum fork_page */
#define WIPED  0
#define ARMING 1
#define ARMED  2

#define NONE 7 /* no arena, no thread, no block */

/* ---- memory ---- */

/* struct fork_state. The first two are the word `forks` and change together. */
byte generation;
bit survivor_missing;
byte survivor = NONE;
byte survivor_birth;
byte survivor_held = NONE; /* the first arena of the chain of those that it held */
byte page = ARMED;

/* struct lock, the two parts of the word: of the arenas' heap locks, and of the pool's. */
#define POOL ARENAS
byte holder[ARENAS + 1] = NONE;
byte taken_in[ARENAS + 1];

/* The pool. */
byte pool_generation;
bit complete = 1;
bit listed[ARENAS] = 1;

/* struct arena */
byte status[ARENAS] = POOLED;
byte status_generation[ARENAS];
bit orphan[ARENAS];
byte held_before[ARENAS] = NONE;

/* The arena's bin. Owner. */
#define NOWHERE 0
#define CURRENT 1
#define LISTED  2
byte place[ARENAS];           /* of the slab */
bit summary[ARENAS];          /* of the slab: it may have FREE blocks */
byte window[ARENAS];          /* bit i: block i is FREE and may be taken */
byte magazine[ARENAS] = NONE; /* the number of a CACHED block */

/* struct heap_set, struct remote and the set's heap */
byte collected_in[ARENAS]; /* generation */
bit pending[ARENAS];
bit unit_is_free[ARENAS] = 1; /* free_units */
bit has_limit[ARENAS] = 1;    /* unit_limit is above the unit */
bit mapped[ARENAS] = 1;       /* the system's mapping of it is there */
bit shown[ARENAS];            /* slab_of leads to the descriptor, not to heap_nobody */
byte geometry[ARENAS];        /* the slab's class, 0 for none */
byte state[2 * ARENAS];

#ifdef PURGE
bit collecting[ARENAS]; /* collections is odd */
bit purging[ARENAS];
bit purged[ARENAS];
bit purged_for_owner[ARENAS];
#endif

/* Thread-local. */
byte birth[2];       /* thread_birth_plus_1 */
byte own[2] = NONE;  /* thread_state.arena */
byte held[2] = NONE; /* thread_state.held */

/* ---- the truth about threads and the program, which the code does not know ---- */

bit dead[2];               /* the thread does not exist */
bit busy[2];               /* inside malloc, free or the exit hook */
byte main_thread;          /* the process's first */
byte forks;                /* number so far */
byte live[2 * ARENAS];     /* the class of the program's block there, 0 for none */
byte moving[2] = NONE;     /* a block that malloc has taken and not yet returned, or that free has
                              been given and has left LIVE so far */
byte lost_blocks;          /* blocks that were `moving` in lost threads */
byte hands[ARENAS] = NONE; /* the thread that has the arena, from hold to arena_retire */
bit left[ARENAS];          /* a lost thread had it: it must be rebuilt before it is used */
bit final;                 /* no further call begins: all that is free is taken */

/* ---- locks ---- */

/* lib/base/fork.c: note_survivor; lib/arena/arena.c: arena_forked. */
#ifdef BUG_BORN_BEFORE
#define BORN_IN(in) generation
#else
#define BORN_IN(in) (in)
#endif

inline note_survivor(in)
{
    survivor_held = held[t];
    d_step {
        if :: birth[t] == 0 -> birth[t] = BORN_IN(in) + 1 :: else fi;
        survivor_birth = birth[t] - 1;
        survivor = t
    }
}

#define FORKS_WORD (2 * generation + survivor_missing)

/* lib/base/fork.c: count. Counts nothing if the word is not `before` any more. */
inline count()
{
    if
    :: first -> note_survivor(before / 2 + 1)
    :: !first
    fi;
    d_step {
        if
        :: FORKS_WORD == before -> generation = before / 2 + 1; survivor_missing = !first
        :: else
        fi
    }
}

/* lib/base/fork.c: fork_count, arm, is_missing_survivor. Begins again after a fork while it waits
 * for another thread's count. */
inline fork_count()
{
    do
    ::
#ifdef BUG_READS_FIRST
        before = FORKS_WORD;
#endif
        if
        :: d_step { page == WIPED -> page = ARMING }
#ifndef BUG_READS_FIRST
            before = FORKS_WORD;
#endif
            first = (main_thread == t); /* os_is_main_thread */
            count();
            if
            :: d_step { page == ARMING -> page = ARMED } break
            :: page != ARMING
            fi
        :: page == ARMED -> break
#ifdef BUG_ARMS_ONCE
        :: page == ARMING -> page != ARMING; break
#else
        :: page == ARMING -> page != ARMING
#endif
        fi
    od;
    before = FORKS_WORD;
    if
    :: before % 2 == 1 && main_thread == t && birth[t] != before / 2 + 1 ->
        note_survivor(before / 2);
        d_step {
            if :: FORKS_WORD == before -> survivor_missing = 0 :: else fi
        }
    :: else
    fi;
    d_step { first = 0; before = 0 }
}

/* lib/base/fork.c: fork_lost. Here a generation has all its bits. */
#ifdef BUG_NEVER_LOST
#define IS_LOST(l) false
#elif defined(BUG_SURVIVOR_LOST)
#define IS_LOST(l) (taken_in[l] != generation)
#elif defined(BUG_NO_BIRTH)
#define IS_LOST(l)                                                                              \
    (taken_in[l] != generation && (survivor_missing || holder[l] != survivor))
#else
#define IS_LOST(l)                                                                              \
    (taken_in[l] != generation &&                                                               \
     (survivor_missing || holder[l] != survivor || taken_in[l] < survivor_birth))
#endif

/* lib/base/fork.h: fork_notice. */
#ifdef BUG_NOT_NOTICED
#define NOTICES false
#else
#define NOTICES (page != ARMED || survivor_missing)
#endif

/* lib/base/lock.c: word_of_self. The word is made before the lock is looked at. */
inline make_word()
{
    if :: birth[t] == 0 -> birth[t] = generation + 1 :: else fi;
    self = generation
}

/* lib/base/lock.c: lock_acquire, take_if_possible, wait_for_holder. A waiter may notice a fork. */
inline lock_acquire(l)
{
    if
    :: NOTICES -> fork_count(); d_step { make_word() }
    :: d_step { !NOTICES -> make_word() }
    fi;
    do
    :: d_step {
           holder[l] == NONE || IS_LOST(l) ->
           was_lost = (holder[l] != NONE);
           holder[l] = t;
           taken_in[l] = self;
           self = 0
       }
       break
    :: holder[l] != NONE && !IS_LOST(l) && NOTICES ->
        fork_count();
        d_step { make_word() }
    od
}

/* lib/base/lock.c: lock_release. */
inline lock_release(l)
{
    d_step {
        assert(holder[l] == t && !IS_LOST(l)); /* lock_is_held */
        holder[l] = NONE;
        taken_in[l] = 0
    }
}

/* ---- the pool ---- */

/* lib/arena/arena.c: is_held. */
#if ARENAS == 2
#define IS_HELD(a) (known_held == (a) || (known_held != NONE && held_before[known_held] == (a)))
#else
#define IS_HELD(a) (known_held == (a))
#endif

/* lib/arena/arena.c: set_status. */
inline set_status(a, as)
{
    d_step { status[a] = as; status_generation[a] = generation }
}

/* lib/arena/arena.c: pool_rebuild, for one arena, by the generation in which it began. */
#ifdef BUG_REBUILDS_FOR_NOW
#define KNOWN_GENERATION generation
#else
#define KNOWN_GENERATION known_generation
#endif

inline rebuild_listing(a)
{
    if
    :: status[a] != POOLED && status_generation[a] != KNOWN_GENERATION && complete ->
        if
        :: IS_HELD(a) -> status_generation[a] = known_generation
        :: !IS_HELD(a) ->
#ifndef BUG_MARK_LAST
            orphan[a] = 1;
#endif
            d_step { status[a] = POOLED; status_generation[a] = known_generation }
#ifdef BUG_MARK_LAST
            orphan[a] = 1
#endif
        fi
    :: else
    fi;
    listed[a] = (status[a] == POOLED)
}

/* lib/arena/arena.c: pool_lock, pool_rebuild; lib/base/fork.c: fork_find_held. */
inline pool_lock()
{
    lock_acquire(POOL);
    if
    :: was_lost || pool_generation != generation || (!complete && !survivor_missing) ->
        d_step { was_lost = 0; known_generation = generation }
        d_step {
#ifdef BUG_ASSUMES_KNOWN
            complete = 1;
#else
            complete = !survivor_missing;
#endif
            known_held = (survivor_missing -> NONE : survivor_held)
        }
        rebuild_listing(0);
#if ARENAS == 2
        rebuild_listing(1);
#endif
        d_step { pool_generation = KNOWN_GENERATION; known_held = 0; known_generation = 0 }
    :: else
    fi
}

inline pool_unlock()
{
    lock_release(POOL)
}

/* lib/arena/arena.c: hold. */
inline hold(a, as)
{
#ifdef BUG_HOLD_LAST
    set_status(a, as);
#endif
    held_before[a] = held[t];
    d_step {
        assert(hands[a] == NONE); /* two threads never have one arena */
        hands[a] = t;
        held[t] = a
    }
#ifndef BUG_HOLD_LAST
    set_status(a, as)
#endif
}

/* ---- heaps ---- */

/* lib/heap/heap.c: heap_rebuild, claim_slab. */
inline heap_rebuild(a)
{
#ifdef BUG_REBUILD_HIDES
    shown[a] = 0;
#endif
    unit_is_free[a] = has_limit[a]; /* free_everything */
    if
    :: geometry[a] != 0 -> unit_is_free[a] = 0; shown[a] = 1
    :: geometry[a] == 0 -> shown[a] = 0
    fi
}

/* lib/heap/heap_set.c: heap_set_lock, heap_set_rebuild_locked. */
inline heap_lock(a)
{
    lock_acquire(a);
    if
#ifndef BUG_HEAP_NOT_REBUILT
    :: was_lost ->
        was_lost = 0;
        heap_rebuild(a)
#endif
    :: else ->
        d_step { /* no holder was lost: the derived data are right */
            was_lost = 0;
            assert(unit_is_free[a] == (has_limit[a] && geometry[a] == 0))
        }
    fi
}

inline heap_unlock(a)
{
    lock_release(a)
}

/* ---- slabs ---- */

#define HAS_NO_LIVE(a) (state[2 * (a)] != LIVE && state[2 * (a) + 1] != LIVE)

/* lib/heap/heap_set.c: heap_set_give; lib/heap/heap.c: heap_give. */
inline heap_set_give(a)
{
    heap_lock(a);
    geometry[a] = 0;
    shown[a] = 0;
    unit_is_free[a] = 1;
    heap_unlock(a)
}

/* lib/slab/slab.c: take_remote, for one state. */
inline take_remote(a, i)
{
    if
    :: d_step { state[2 * (a) + i] == REMOTE -> state[2 * (a) + i] = FREE; summary[a] = 1 }
    :: state[2 * (a) + i] != REMOTE
    fi
}

/* lib/slab/slab.c: slab_check, is_empty, release. */
inline gave_back(a)
{
    if
    :: place[a] != CURRENT ->
        place[a] = LISTED;
        if
        :: HAS_NO_LIVE(a) ->
            magazine[a] = NONE; /* uncache */
            take_remote(a, 0);
            take_remote(a, 1);
            place[a] = NOWHERE;
            heap_set_give(a)
        :: !HAS_NO_LIVE(a)
        fi
    :: place[a] == CURRENT
    fi
}

#ifdef PURGE
/* lib/arena/remote.c: remote_begin, remote_end. */
inline remote_begin(a)
{
    collecting[a] = 1;
    if
#ifndef BUG_OWNER_DOES_NOT_WAIT
    :: purging[a] -> heap_lock(a); purging[a] = 0; heap_unlock(a)
#endif
    :: else
    fi
}

inline remote_end(a)
{
    collecting[a] = 0
}
#else
#define remote_begin(a)
#define remote_end(a)
#endif

/* lib/arena/remote.c: remote_collect, collect_heap; lib/slab/slab.c: slab_collect. */
inline collect(a)
{
    if
    :: pending[a] || collected_in[a] != generation ->
        d_step { looks = pending[a]; pending[a] = 0 }
        remote_begin(a);
        if
        :: collected_in[a] != generation ->
            collected_in[a] = generation;
#ifndef BUG_LOOKS_AT_BITS
            looks = 1
#endif
        :: else
        fi;
        if
        :: looks && geometry[a] != 0 ->
            take_remote(a, 0);
            take_remote(a, 1);
#ifdef PURGE
            if
            :: d_step { purged_for_owner[a] -> purged_for_owner[a] = 0; purged[a] = 1 }
            :: !purged_for_owner[a]
            fi;
            if
            :: summary[a] || purged[a] -> gave_back(a)
#else
            if
            :: summary[a] -> gave_back(a)
#endif
            :: else
            fi
        :: else
        fi;
        looks = 0;
        remote_end(a)
    :: else
    fi
}

/* lib/slab/slab.c: bin_open_window, take_back_purged. */
inline open_window(a)
{
#ifdef PURGE
    d_step {
        if
        :: place[a] == CURRENT && !summary[a] && purged[a] ->
            purged[a] = 0;
            if :: state[2 * (a)] == PURGED -> state[2 * (a)] = FREE; summary[a] = 1 :: else fi;
            if :: state[2 * (a) + 1] == PURGED -> state[2 * (a) + 1] = FREE; summary[a] = 1 :: else fi
        :: else
        fi
    }
#endif
    d_step {
        if
        :: place[a] == CURRENT && summary[a] ->
            summary[a] = 0;
            window[a] = (state[2 * (a)] == FREE -> 1 : 0) + (state[2 * (a) + 1] == FREE -> 2 : 0)
        :: else
        fi
    }
}

/* lib/slab/slab.c: bin_make_slab; lib/heap/heap_set.c: heap_set_take; lib/heap/heap.c:
 * heap_take. */
inline make_slab(a)
{
    heap_lock(a);
#ifdef TRIM
    if
    :: geometry[a] == 0 && !has_limit[a] && !mapped[a] -> /* heap_remap_units */
        mapped[a] = 1;
        has_limit[a] = 1;
        unit_is_free[a] = 1
    :: else
    fi;
#endif
    if
    :: unit_is_free[a] ->
        unit_is_free[a] = 0;
        assert(geometry[a] == 0 && mapped[a]); /* no two slabs overlap */
        if
        :: made = 1
#ifdef REUSE
        :: made = 2
#endif
        fi;
        state[2 * (a)] = FREE; /* states_reset */
        state[2 * (a) + 1] = (made == 1 -> FREE : END);
        geometry[a] = made
    :: !unit_is_free[a]
    fi;
    heap_unlock(a);
    if
    :: made != 0 ->
        d_step { /* slab_fill, make_current */
            made = 0;
            place[a] = CURRENT;
#ifdef PURGE
            purged[a] = 0;
            purged_for_owner[a] = 0;
#endif
            summary[a] = 1
        }
        shown[a] = 1 /* heap_show_slab */
    :: else
    fi
}

/* malloc hands a block out. No two live blocks overlap. */
inline hand_out(a, i)
{
    assert(geometry[a] != 0);
    assert(live[2 * (a) + i] == 0 && live[2 * (a)] != 2);
    assert(geometry[a] == 1 || (i == 0 && live[2 * (a) + 1] == 0));
    state[2 * (a) + i] = LIVE;
    live[2 * (a) + i] = geometry[a];
    moving[t] = 2 * (a) + i
}

/* lib/paths/alloc.c: take_block, refill; lib/paths/alloc.h: alloc_from_bin. */
inline take_block(a)
{
    if
    :: magazine[a] == NONE && window[a] == 0 ->
        open_window(a);
        if :: window[a] == 0 -> collect(a); open_window(a) :: else fi;
        if
        :: d_step { window[a] == 0 && place[a] == LISTED -> place[a] = CURRENT } /* bin_next_slab */
            open_window(a)
        :: else
        fi;
        if :: window[a] == 0 -> make_slab(a); open_window(a) :: else fi
    :: else
    fi;
    if
    :: magazine[a] != NONE ->
        /* the compiler may choose either order; in this one a lost thread leaves more behind */
        d_step { hand_out(a, magazine[a]) }
        magazine[a] = NONE
    :: magazine[a] == NONE && window[a] != 0 ->
        d_step {
            if
            :: window[a] & 1 -> window[a] = window[a] & 2; hand_out(a, 0)
            :: else -> window[a] = 0; hand_out(a, 1)
            fi
        }
    :: magazine[a] == NONE && window[a] == 0 /* no memory */
    fi
}

/* ---- giving back ---- */

/* lib/paths/free.h: free_own_block, of block `x`. */
inline free_own(a)
{
    assert(state[x] == LIVE);
    if
    :: magazine[a] == NONE ->
        d_step { state[x] = CACHED; moving[t] = NONE }
        magazine[a] = x % 2
    :: else ->
        d_step { state[x] = FREE; moving[t] = NONE }
        summary[a] = 1;
        gave_back(a)
    fi
}

/* lib/paths/free.c: free_other; lib/arena/remote.c: remote_free. The unit of a live block leads to
 * its slab. */
inline free_other(a)
{
    assert(shown[a] && geometry[a] != 0);
    d_step { assert(state[x] == LIVE); state[x] = REMOTE; moving[t] = NONE } /* S */
    pending[a] = 1 /* L1 and L2 */
}

/* lib/arena/arena.c: arena_flush; lib/slab/slab.c: bin_flush, bin_leave_slab. */
inline arena_flush(a)
{
    if
    :: magazine[a] != NONE ->
        d_step { state[2 * (a) + magazine[a]] = FREE; magazine[a] = NONE; summary[a] = 1 }
        gave_back(a)
    :: else
    fi;
    if
    :: place[a] == CURRENT ->
        d_step {
            place[a] = NOWHERE;
            if :: window[a] != 0 -> summary[a] = 1 :: else fi;
            window[a] = 0
        }
#ifdef PURGE
        if :: summary[a] || purged[a] -> gave_back(a) :: else fi
#else
        if :: summary[a] -> gave_back(a) :: else fi
#endif
    :: else
    fi;
    collect(a)
}

/* ---- rebuilding an orphan ---- */

/* lib/slab/slab.c: slab_rebuild, for one state. */
#ifdef BUG_KEEPS_CACHED
#define IS_LEFT(value) ((value) == LIVE || (value) == END || (value) == CACHED)
#elif defined(BUG_KEEPS_PURGED)
#define IS_LEFT(value) ((value) == LIVE || (value) == END || (value) == PURGED)
#elif defined(BUG_FREES_LIVE)
#define IS_LEFT(value) ((value) == END)
#else
#define IS_LEFT(value) ((value) == LIVE || (value) == END)
#endif

inline rebuild_state(a, i)
{
    d_step {
        if
        :: !IS_LEFT(state[2 * (a) + i]) -> state[2 * (a) + i] = FREE
        :: else
        fi
    }
}

/* lib/arena/arena.c: arena_rebuild, rebuild_slab; lib/slab/slab.c: slab_rebuild. */
inline arena_rebuild(a)
{
    lock_acquire(a);
    was_lost = 0;
    heap_rebuild(a);
    heap_unlock(a);
    d_step {
        place[a] = NOWHERE;
        summary[a] = 0;
        window[a] = 0;
        magazine[a] = NONE
    }
    remote_begin(a);
    if
    :: geometry[a] != 0 && HAS_NO_LIVE(a) -> heap_set_give(a)
    :: geometry[a] != 0 && !HAS_NO_LIVE(a) ->
#ifdef PURGE
        d_step { purged[a] = 0; purged_for_owner[a] = 0 }
#endif
        rebuild_state(a, 0);
        rebuild_state(a, 1);
        d_step {
            if
            :: state[2 * (a)] == FREE || state[2 * (a) + 1] == FREE ->
                summary[a] = 1;
                place[a] = LISTED
            :: else
            fi
        }
    :: geometry[a] == 0
    fi;
    remote_end(a);
    d_step { orphan[a] = 0; left[a] = 0 }
}

inline rebuild_orphan(a)
{
    if
#ifndef BUG_ARENA_NOT_REBUILT
    :: orphan[a] -> arena_rebuild(a)
#endif
    :: else -> assert(!left[a])
    fi
}

/* ---- arenas change hands ---- */

/* lib/arena/thread.c: thread_get_arena; lib/arena/arena.c: arena_adopt. Adopts any listed arena. */
inline arena_adopt()
{
    pool_lock();
    if
    :: listed[0] -> a = 0; listed[0] = 0
#if ARENAS == 2
    :: listed[1] -> a = 1; listed[1] = 0
#endif
    :: else -> a = NONE
    fi;
    if
    :: a != NONE -> hold(a, OWNED)
    :: else
    fi;
    pool_unlock();
    if
    :: a != NONE -> rebuild_orphan(a); own[t] = a
    :: else
    fi;
    a = 0
}

/* lib/arena/arena.c: arena_retire, arena_retire_as. */
inline arena_retire(a)
{
    pool_lock();
    d_step {
        assert(hands[a] == t && held[t] == a);
        hands[a] = NONE;
        status[a] = POOLED;
        status_generation[a] = generation
    }
    listed[a] = 1;
    held[t] = held_before[a];
    pool_unlock()
}

/* lib/arena/arena.c: arena_borrow. */
inline arena_borrow(a)
{
    if
    :: status[a] != POOLED && status_generation[a] == generation
    :: status[a] == POOLED || status_generation[a] != generation ->
        pool_lock();
        if
        :: status[a] == POOLED -> got = 1; listed[a] = 0; hold(a, BORROWED)
        :: status[a] != POOLED
        fi;
        pool_unlock();
        if
        :: got -> rebuild_orphan(a)
        :: else
        fi
    fi
}

#ifdef PURGE
/* lib/slab/slab_purge.c: purge_blocks, for one block: the system call, the note, the state. */
inline purge_block(a, i, from)
{
    if
    :: state[2 * (a) + i] == from ->
        assert(live[2 * (a) + i] == 0 && live[2 * (a)] != 2); /* no live block loses its contents */
        if :: from == FREE -> purged[a] = 1 :: from == REMOTE -> purged_for_owner[a] = 1 fi;
        d_step { assert(state[2 * (a) + i] != LIVE); state[2 * (a) + i] = PURGED }
    :: state[2 * (a) + i] != from
    fi
}

/* lib/arena/remote.c: remote_purge, purge_slab; lib/slab/slab_purge.c: slab_purge_for_owner. */
inline remote_purge(a)
{
    if
    :: pending[a] ->
        heap_lock(a);
        purging[a] = 1;
        if
#ifdef BUG_HELPER_DOES_NOT_LOOK
        :: geometry[a] != 0 ->
#else
        :: !collecting[a] && geometry[a] != 0 ->
#endif
            purge_block(a, 0, REMOTE);
            purge_block(a, 1, REMOTE)
        :: else
        fi;
        purging[a] = 0;
        heap_unlock(a)
    :: else
    fi
}

/* lib/slab/slab_purge.c: bin_purge, slab_purge. */
inline purge_slabs(a)
{
    if
    :: place[a] == LISTED ->
        purge_block(a, 0, FREE);
        purge_block(a, 1, FREE);
        summary[a] = (state[2 * (a)] == FREE || state[2 * (a) + 1] == FREE)
    :: else
    fi
}
#endif

/* lib/heap/heap_set.c: heap_set_unmap_empty; lib/heap/heap.c: heap_unmap_units. */
inline unmap_empty(a)
{
    heap_lock(a);
    if
    :: geometry[a] == 0 && has_limit[a] ->
        has_limit[a] = 0;
        mapped[a] = 0;
        unit_is_free[a] = 0
    :: else
    fi;
    heap_unlock(a)
}

/* lib/arena/idle.c: gather_empty_heaps and idle_make_room, for one arena. */
inline idle_make_room(a)
{
    if
    :: own[t] == a -> got = 1; arena_flush(a)
    :: own[t] != a ->
        arena_borrow(a);
        if
        :: got -> arena_flush(a)
        :: else
        fi
    fi;
    unmap_empty(a);
    if
    :: got && own[t] != a -> arena_retire(a)
    :: else
    fi;
    got = 0
}

/* ---- the end: everything that is free is taken ---- */

/* Blocks that neither the program nor this thread has. A heap's range that was on its way from or
 * to the system is lost whole. */
#define MISSING(x) ((live[x] == 0 && state[x] != END) -> 1 : 0)
#define COUNT_MISSING(a)                                                                        \
    (geometry[a] != 0 -> MISSING(2 * (a)) + MISSING(2 * (a) + 1)                                \
                      : (mapped[a] && !has_limit[a] -> 0 : 2))
/* No live block is lost or freed. */
#define IS_KEPT(x)                                                                              \
    (live[x] == 0 || (state[x] == LIVE && geometry[(x) / 2] == live[x] && shown[(x) / 2]))

/* Takes all free blocks of an arena, unless another thread has it. */
inline take_all(a)
{
    if
    :: own[t] != a ->
        if
        :: own[t] != NONE -> got = 0; arena_retire(own[t]); own[t] = NONE
        :: else
        fi;
        arena_borrow(a);
        if
        :: got -> got = 0; own[t] = a
        :: else -> assert(hands[a] == 1 - t) /* no arena is lost */
        fi
    :: else
    fi;
    if
    :: own[t] == a ->
        collect(a);
        take_block(a);
        take_block(a);
        missing = missing + COUNT_MISSING(a)
    :: else
    fi
}

/* Every free block can be allocated, except one for each lost thread. A lock is taken first, by
 * which a fork without handlers is noticed. */
inline take_everything()
{
    pool_lock();
    pool_unlock();
    assert(IS_KEPT(0) && IS_KEPT(1));
    take_all(0);
#if ARENAS == 2
    assert(IS_KEPT(2) && IS_KEPT(3));
    take_all(1);
#endif
    assert(missing <= lost_blocks);
    missing = 0
}

/* ---- threads ---- */

#define BEGINS(t) (!final && !busy[t])

inline returns()
{
    d_step { moving[t] = NONE; busy[t] = 0; a = 0; x = 0 }
}

inline free_block(block)
{
    d_step {
        BEGINS(t) && live[block] != 0 && moving[1 - t] != block ->
        busy[t] = 1;
        live[block] = 0;
        moving[t] = block;
        x = block
    }
    if
    :: own[t] == (block) / 2 -> free_own((block) / 2)
    :: own[t] != (block) / 2 -> free_other((block) / 2)
    fi;
    returns()
}

proctype thread(byte t)
{
    byte a;        /* arena */
    byte x;        /* block: its number and twice its arena's */
    byte self;     /* lock_acquire: the generation */
    byte known_held, known_generation; /* pool_rebuild */
    byte made;     /* make_slab: the class */
    byte missing;
    bit was_lost;  /* lock_acquire: the holder */
    byte before;   /* fork_count: the word */
    bit first;     /* fork_count: this is the process's first thread */
    bit looks;     /* collect: something may be REMOTE */
    bit got;       /* arena_borrow */

end_begin:
    {
end_outside:
        do
        /* malloc. lib/paths/alloc.c: alloc_class */
        :: d_step { BEGINS(t) -> busy[t] = 1 }
            if
            :: own[t] == NONE -> arena_adopt()
            :: else
            fi;
#ifndef NO_BLOCKS
            if
            :: own[t] != NONE -> take_block(own[t])
            :: else
            fi;
#endif
            returns()

#ifndef NO_BLOCKS
        :: free_block(0)
        :: free_block(1)
#if ARENAS == 2
        :: free_block(2)
        :: free_block(3)
#endif
#endif

#ifdef PURGE
        /* lib/arena/idle.c: idle_trim and idle_tick, without what TRIM adds */
        :: d_step { BEGINS(t) -> busy[t] = 1 }
            if
            :: own[t] == 0 -> arena_flush(0); purge_slabs(0)
            :: own[t] != 0 -> remote_purge(0)
            fi;
            returns()
#endif

#ifdef TRIM
        :: d_step { BEGINS(t) -> busy[t] = 1 } idle_make_room(0); returns()
#if ARENAS == 2
        :: d_step { BEGINS(t) -> busy[t] = 1 } idle_make_room(1); returns()
#endif
#endif

#ifdef EXIT
        /* lib/arena/thread.c: thread_end. Another thread begins in its place. */
        :: d_step { BEGINS(t) && own[t] != NONE -> busy[t] = 1; a = own[t]; own[t] = NONE }
            arena_retire(a);
            returns()
#endif

        :: atomic {
               BEGINS(t) && forks > 0 && !busy[1 - t] &&
                   (main_thread == t || (page == ARMED && !survivor_missing)) ->
               busy[t] = 1;
               final = 1;
               take_everything();
               returns()
           }
        od
    } unless { dead[t] };

    d_step {
        a = 0; x = 0; self = 0; known_held = 0; known_generation = 0; made = 0; missing = 0;
        was_lost = 0; before = 0; first = 0; looks = 0; got = 0;
        birth[t] = 0; own[t] = NONE; held[t] = NONE; busy[t] = 0
    }
    /* The survivor starts a thread, but not in a call: a signal handler must not. */
end_gone:
    do
    :: d_step { !busy[1 - t] && !final -> dead[t] = 0 } goto end_begin
    od
}

/* The child, by the thread that forked. lib/base/fork.c: fork_child. Nothing interrupts it. */
inline fork_child()
{
    survivor_held = held[t];
    if :: birth[t] == 0 -> birth[t] = BORN_IN(generation + 1) + 1 :: else fi;
    survivor_birth = birth[t] - 1;
    survivor = t;
    survivor_missing = 0;
    generation++;
    page = ARMED
}

/* An arena whose status the lost thread had yet to store is as it was. */
inline lose_arena(a, l)
{
    if
    :: hands[a] == l -> hands[a] = NONE; left[a] = left[a] || status[a] != POOLED
    :: else
    fi
}

/* Brings the truth about a lost thread up to date. */
inline lose(l)
{
    if
    :: !dead[l] ->
        dead[l] = 1;
        if
        :: moving[l] != NONE -> live[moving[l]] = 0; moving[l] = NONE; lost_blocks++
        :: else
        fi;
        lose_arena(0, l);
#if ARENAS == 2
        lose_arena(1, l)
#endif
    :: else
    fi
}

/* fork and _Fork, by either thread. The first fork is by thread 0, since the two are alike. */
active proctype fork()
{
    byte t;

    atomic {
        run thread(0);
        run thread(1)
    }
end_forks:
    do
    :: atomic {
           !final && forks < FORKS && !dead[0] ->
           d_step { main_thread = 0; page = WIPED; forks++; lose(1) }
           if
           :: d_step { fork_child() }
           :: true
           fi
       }
#if FORKS == 2
    :: atomic {
           !final && forks > 0 && forks < FORKS && !dead[1] ->
           t = 1;
           d_step { main_thread = 1; page = WIPED; forks++; lose(0) }
           if
           :: d_step { fork_child() }
           :: true
           fi;
           t = 0
       }
#endif
    od
}
