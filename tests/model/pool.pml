/*
 * The pool of arenas: threads that begin and end, adoption, borrowing, and remote frees meanwhile.
 * See "The models" at the end of doc/remote.md. Each transition names the code that it stands for
 * (file: function).
 *
 * An arena has one block and one pending bit. Any thread may free a live block, also one that
 * another thread allocated. Memory is weakly ordered, as in remote.pml; where remote.pml shows why
 * a store has its order, it arrives at once here.
 *
 * Defines: THREADS (2 or 3; 3 with one arena only) and ARENAS (1 or 2). BUG_... are seeded bugs,
 * which the model must find.
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef ARENAS
#define ARENAS 2
#endif

/* For every thread, for every arena. */
#if THREADS == 3
#define ALL_THREADS(what) (what(0) && what(1) && what(2))
#else
#define ALL_THREADS(what) (what(0) && what(1))
#endif
#if ARENAS == 2
#define BOTH(what, t) (what(t, 0) && what(t, 1))
#else
#define BOTH(what, t) what(t, 0)
#endif

#define FREE   0
#define LIVE   1
#define CACHED 2
#define REMOTE 3

#define POOLED   1
#define OWNED    2
#define BORROWED 3

#define NONE 255 /* no arena, no thread; an empty place of a buffer */

/* ---- memory ---- */

byte state[ARENAS];
bit pending[ARENAS];  /* struct remote */
byte status[ARENAS];  /* struct arena; 0: not made */
byte lock = NONE;     /* pool.lock: its holder */
bit listed[ARENAS];   /* pool.list, read and written under the lock */

/* ---- the threads' buffers ---- */

#define AT(t, a) ((t) * ARENAS + (a))

byte put_state[THREADS * ARENAS] = NONE;
byte put_status[THREADS * ARENAS] = NONE;

#define ARENA_ARRIVED(t, a) (put_state[AT(t, a)] == NONE && put_status[AT(t, a)] == NONE)
#define ARRIVED(t)          BOTH(ARENA_ARRIVED, t)

#define READ_STATE(t, a)    (put_state[AT(t, a)] != NONE -> put_state[AT(t, a)] : state[a])
#define READ_STATUS(t, a)   (put_status[AT(t, a)] != NONE -> put_status[AT(t, a)] : status[a])

#define ARRIVES(t, a)                                                                           \
       d_step { put_state[AT(t, a)] != NONE -> state[a] = put_state[AT(t, a)];                  \
                put_state[AT(t, a)] = NONE }                                                    \
    :: d_step { put_status[AT(t, a)] != NONE -> status[a] = put_status[AT(t, a)];               \
                put_status[AT(t, a)] = NONE }

/* Carries stores from the buffers to memory, one at a time and in any order. */
active proctype memory()
{
end:
    do
    :: ARRIVES(0, 0)
    :: ARRIVES(1, 0)
#if ARENAS == 2
    :: ARRIVES(0, 1)
    :: ARRIVES(1, 1)
#endif
#if THREADS == 3
    :: ARRIVES(2, 0)
#endif
    od
}

/* ---- the truth about threads and the program ---- */

byte own[THREADS] = NONE;    /* thread_state.arena, NONE for arena_none */
bit live[ARENAS];           /* the block is the program's */
byte hands[ARENAS] = NONE;  /* the thread that has the arena, from hold to arena_retire */
bit busy[THREADS];          /* inside malloc, free or the exit hook */

/* ---- the lock and the pool ---- */

/* lib/base/lock.c: lock_acquire; lib/arena/arena.c: pool_lock. */
inline pool_lock()
{
    d_step { lock == NONE -> lock = t }
}

#define LIST_AGREES(t, a) (listed[a] == (READ_STATUS(t, a) == POOLED))

/* lib/arena/arena.c: pool_unlock; lib/base/lock.c: lock_release. The list agrees with the
 * status. */
inline pool_unlock()
{
    atomic {
#ifndef BUG_UNLOCK_RELAXED
        ARRIVED(t) ->
#endif
        assert(BOTH(LIST_AGREES, t));
        lock = NONE
    }
}

/* lib/arena/arena.c: hold, set_status. */
inline hold(a, as)
{
    d_step {
        assert(hands[a] == NONE); /* two threads never have one arena */
        hands[a] = t;
        put_status[AT(t, a)] = as
    }
}

#define IS_NOT_LISTED(t, a) (!listed[a])
#define IS_MADE(t, a)       (READ_STATUS(t, a) != 0)

/* lib/arena/arena.c: arena_adopt, arena_make. Adopts any pooled arena; there, the one pooled
 * last. */
inline arena_adopt(result)
{
    pool_lock();
    if
    :: listed[0] -> result = 0; listed[0] = 0
#if ARENAS == 2
    :: listed[1] -> result = 1; listed[1] = 0
#endif
    :: BOTH(IS_NOT_LISTED, t) && READ_STATUS(t, 0) == 0 -> result = 0
#if ARENAS == 2
    :: BOTH(IS_NOT_LISTED, t) && READ_STATUS(t, 0) != 0 && READ_STATUS(t, 1) == 0 -> result = 1
#endif
    :: BOTH(IS_NOT_LISTED, t) && BOTH(IS_MADE, t) -> result = NONE /* no memory for an arena */
    fi;
    if
    :: result != NONE -> hold(result, OWNED)
    :: else
    fi;
    pool_unlock()
}

/* lib/arena/arena.c: arena_retire. */
inline arena_retire(a)
{
    pool_lock();
    d_step {
        put_status[AT(t, a)] == NONE ->
        assert(hands[a] == t);
        put_status[AT(t, a)] = POOLED;
        listed[a] = 1;
        hands[a] = NONE
    }
    pool_unlock()
}

/* ---- steps of the thread that has an arena ---- */

/* lib/arena/remote.c: remote_collect, collect_heap; lib/slab/slab.c: take_remote. */
inline collect(a)
{
    if
    :: !pending[a] /* lib/arena/remote.h: remote_pending */
    :: pending[a] ->
        d_step { ARRIVED(t) -> pending[a] = 0 } /* the exchange and its fence: see remote.pml */
        if
        :: READ_STATE(t, a) != REMOTE
        :: READ_STATE(t, a) == REMOTE -> put_state[AT(t, a)] = FREE
        fi
    fi
}

/* lib/arena/arena.c: arena_flush; lib/slab/slab.c: bin_flush. */
inline arena_flush(a)
{
    assert(hands[a] == t);
    if
    :: READ_STATE(t, a) != CACHED
    :: d_step { READ_STATE(t, a) == CACHED && put_state[AT(t, a)] == NONE ->
                put_state[AT(t, a)] = FREE }
    fi;
    collect(a)
}

/* In the magazine or the window: only the thread that has the arena stores to such a state. */
#define IS_OWNERS(value) ((value) == FREE || (value) == CACHED)

/* malloc hands the block out. */
inline hand_out(a)
{
    assert(!live[a]); /* no block twice */
    live[a] = 1;
    put_state[AT(t, a)] = LIVE
}

/* lib/paths/alloc.c: take_block, refill; lib/paths/alloc.h: alloc_from_bin. */
inline take_block(a)
{
    assert(hands[a] == t);
    if
    :: IS_OWNERS(READ_STATE(t, a))
    :: !IS_OWNERS(READ_STATE(t, a)) -> collect(a)
    fi;
    if
    :: d_step { IS_OWNERS(READ_STATE(t, a)) && put_state[AT(t, a)] == NONE -> hand_out(a) }
    :: !IS_OWNERS(READ_STATE(t, a)) /* another slab serves */
    fi
}

/* lib/paths/free.h: free_find_in_slab, free_own_block. */
inline free_own(a)
{
    d_step {
        put_state[AT(t, a)] == NONE ->
        assert(hands[a] == t);
        assert(READ_STATE(t, a) == LIVE);
        put_state[AT(t, a)] = CACHED
    }
}

/* ---- steps of any thread ---- */

/* lib/arena/arena.c: arena_borrow. */
inline arena_borrow(a)
{
    if
#ifndef BUG_BORROW_UNCHECKED
    :: READ_STATUS(t, a) != POOLED -> got = 0 /* relaxed load: true or not by now */
#endif
    :: READ_STATUS(t, a) == POOLED ->
        pool_lock();
        d_step {
            if
#ifdef BUG_BORROW_UNCHECKED
            :: true ->
#else
            :: READ_STATUS(t, a) == POOLED ->
#endif
                got = 1;
#ifndef BUG_BORROW_LISTED
                listed[a] = 0
#endif
            :: else -> got = 0
            fi
        }
        if
        :: got -> hold(a, BORROWED)
        :: else
        fi;
        pool_unlock()
#ifdef BUG_BORROW_UNCHECKED
    :: else -> got = 0
#endif
    fi
}

/* lib/arena/idle.c: idle_count_freed over the bound, or idle_trim for one arena. */
inline drain(a)
{
    arena_borrow(a);
    if
    :: got -> arena_flush(a); arena_retire(a)
    :: else
    fi;
    got = 0
}

/* lib/paths/free.c: free_other; lib/arena/remote.c: remote_free; lib/arena/idle.c: idle_count_freed. */
inline free_other(a)
{
    atomic { ARRIVED(t) -> assert(state[a] == LIVE); state[a] = REMOTE } /* S */
    if /* L1 and L2 */
    :: pending[a]
    :: !pending[a] -> pending[a] = 1
    fi;
    if
    :: drain(a) /* if enough was freed to it */
    :: true
    fi
}

/* The program frees a block. A thread that another one has told of it (acquire) sees all stores
 * that the other made before. */
#define TOLD(a) (live[a] && ALL_THREADS(ARRIVED))

inline free_block(a)
{
    d_step { (own[t] == a -> live[a] : TOLD(a)) -> live[a] = 0; busy[t] = 1 }
    if
    :: own[t] == a -> free_own(a)
    :: else -> free_other(a)
    fi;
    busy[t] = 0
}

/* While no thread is inside the library: no notification is lost, and no arena. */
#define HAS_NOT_0(t)   (own[t] != 0)
#define HAS_NOT_1(t)   (own[t] != 1)
#define IS_QUIET(t) (!busy[t] && ARRIVED(t))
#define IS_KEPT(t, a)                                                                           \
    ((state[a] != REMOTE || pending[a]) &&                                                      \
     (status[a] == 0 || (status[a] == POOLED && listed[a]) || !ALL_THREADS(HAS_NOT_##a)))

proctype thread(byte t)
{
    byte a;
    bit got;
    bit ended;       /* thread_state.ended */

end:
    do
    :: t == 0 && ALL_THREADS(IS_QUIET) && !BOTH(IS_KEPT, t) -> assert(BOTH(IS_KEPT, t))

    :: free_block(0)
#if ARENAS == 2
    :: free_block(1)
#endif

    /* malloc. lib/paths/alloc.c: alloc_class; lib/arena/thread.c: thread_get_arena */
    :: own[t] != NONE -> busy[t] = 1; take_block(own[t]); busy[t] = 0
    :: own[t] == NONE && !ended ->
        busy[t] = 1;
        arena_adopt(own[t]);
        if
        :: own[t] != NONE -> take_block(own[t])
        :: else
        fi;
        busy[t] = 0
    /* malloc in a destructor after the exit hook borrows an arena */
    :: own[t] == NONE && ended ->
        busy[t] = 1;
        arena_adopt(a);
        if
        :: a != NONE ->
            take_block(a);
#ifndef BUG_ENDED_KEEPS
            arena_retire(a)
#endif
        :: else
        fi;
        a = 0;
        busy[t] = 0

    /* lib/arena/idle.c: idle_trim, of the others' arenas */
    :: busy[t] = 1; drain(0); busy[t] = 0
#if ARENAS == 2
    :: busy[t] = 1; drain(1); busy[t] = 0
#endif

    /* lib/arena/thread.c: thread_end */
    :: own[t] != NONE && !ended ->
        busy[t] = 1;
        ended = 1;
        a = own[t];
#ifndef BUG_EXIT_KEEPS
        own[t] = NONE;
#endif
        arena_retire(a);
        a = 0;
        busy[t] = 0
    /* the thread ends, another one begins */
    :: ended -> ended = 0
    od
}

init
{
    atomic {
        run thread(0);
        run thread(1)
#if THREADS == 3
        ;run thread(2)
#endif
    }
}
