/*
 * Purging for an owner that does not collect, and wide blocks: the owner of a slab, a thread that
 * frees its blocks, and a helper that purges their pages. See "The models" at the end of
 * doc/remote.md. Each transition names the code that it stands for (file: function).
 *
 * Memory is weakly ordered, as in remote.pml. So the stores of REST and WIDE, which the code does
 * not order, arrive in any order, and so do those that free such a block. The helper's madvise is
 * in its buffer like a store.
 *
 * The slab has PLACES blocks of one class; a wide block has two places or more. There is no window
 * (any FREE place may be taken) and no magazine (only the owner changes CACHED). The three levels
 * of pending bits are one bit; the other two are the subject of remote.pml. Which pages a run of
 * blocks fills depends on sizes; here it may be any neighbouring places of the run, or none.
 *
 * Defines:
 *   PLACES          3 or 4
 *   SEQUENTIAL      a store arrives before any thread takes another step
 *   FORK            one fork, by the owner or by another thread: the others are lost at any step,
 *                   with the stores that have not arrived
 *   RELEASE         the owner releases the slab when it is empty, and makes it anew
 *   SAME_INSTANT    a misuse: the owner and the other thread free a block in the same instant. A
 *                   block may lose its contents then, see "Misuse" in doc/remote.md
 *   LOSES_CONTENTS  that is no error
 *   BUG_...         seeded bugs, which the model must find
 */
#ifndef PLACES
#define PLACES 3
#endif

/* enum block_state; CACHED is not used */
#define FREE   0
#define LIVE   1
#define REMOTE 3
#define PURGED 4
#define WIDE   5
#define REST   6

#define NONE 255 /* an empty place of a buffer */

#if PLACES == 4
#define EACH(what)   what(0); what(1); what(2); what(3)
#define EVERY(what)  (what(0) && what(1) && what(2) && what(3))
#define UNION(what)  (what(0) | what(1) | what(2) | what(3))
#else
#define EACH(what)   what(0); what(1); what(2)
#define EVERY(what)  (what(0) && what(1) && what(2))
#define UNION(what)  (what(0) | what(1) | what(2))
#endif

/* ---- memory ---- */

byte state[PLACES];
bit pending;          /* the bits of all levels */
bit purged_for_owner; /* of struct slab */
bit collecting;       /* remote->collections is odd */
bit purging;          /* of struct remote */
bit locked;           /* the heap lock; the owner has it for a moment only */
#ifdef RELEASE
bit made = 1;         /* geometry is not 0; changed and read under the lock */
#else
#define made true
#endif

/* ---- the owner's buffer ---- */

byte owner_state[PLACES] = NONE;
byte owner_collecting = NONE;
bit owner_clears_pending; /* a fetch-and has not arrived yet */
bit owner_clears_note;    /* purged_for_owner = false */

#define STATE_ARRIVED(n) (owner_state[n] == NONE)
#define OWNER_ARRIVED                                                                       \
    (EVERY(STATE_ARRIVED) && owner_collecting == NONE && !owner_clears_pending &&           \
     !owner_clears_note)
#define OWNER_READS(n) (owner_state[n] != NONE -> owner_state[n] : state[n])

/* ---- the freeing thread's buffer ---- */

byte sets_remote = NONE; /* number of the state that becomes REMOTE */
bit sets_pending;

#define SENDER_ARRIVED (sets_remote == NONE && !sets_pending)

/* ---- the helper's buffer ---- */

byte helper_purging = NONE;
byte helper_pages;   /* bit i: pages of place i are to be purged */
byte helper_purged;  /* bit i: state i becomes PURGED */
bit helper_notes;    /* purged_for_owner = true */

#define HELPER_ARRIVED                                                                      \
    (helper_purging == NONE && helper_pages == 0 && helper_purged == 0 && !helper_notes)

/* ---- the truth about the program ---- */

byte size[PLACES];    /* places of the live block that begins there, or 0 */
byte held;            /* bit i: the owner has it, not another thread */
byte inbox = NONE;    /* number of a block that the owner has handed to the thread to free */
bit sender_is_busy;
bit helper_is_busy;
bit forked;
byte ended;           /* number of lost threads that take no step any more */
bit owner_is_lost;
#ifdef SAME_INSTANT
byte shared = NONE;   /* number of a block that both threads free */
byte shared_size;     /* its places */
bit shared_is_live;   /* neither of the two frees has begun */
#endif

#ifdef SEQUENTIAL
#define STEPS provided (OWNER_ARRIVED && SENDER_ARRIVED && HELPER_ARRIVED)
#else
#define STEPS
#endif

#define CELLS(n) (((1 << size[n]) - 1) << (n))
#define LIVE_CELLS UNION(CELLS)

/* lib/slab/slab.h: slab_wide_places. In one step, where nobody changes any of them. */
#if PLACES == 4
#define BEHIND_2(reads, n) ((n) < PLACES - 1 && reads((n) + 1) == REST -> 2 : 1)
#define BEHIND_1(reads, n)                                                                  \
    ((n) < PLACES - 1 && reads((n) + 1) == REST -> 1 + BEHIND_2(reads, (n) + 1) : 1)
#define WIDE_PLACES(reads, n)                                                               \
    ((n) < PLACES - 1 && reads((n) + 1) == REST -> 1 + BEHIND_1(reads, (n) + 1) : 1)
#else
#define BEHIND_1(reads, n) ((n) < PLACES - 1 && reads((n) + 1) == REST -> 2 : 1)
#define WIDE_PLACES(reads, n)                                                               \
    ((n) < PLACES - 1 && reads((n) + 1) == REST -> 1 + BEHIND_1(reads, (n) + 1) : 1)
#endif
#define MEMORY_READS(n) state[n]

/* The states of the live block at n have arrived. */
#define HAS_STATES(n)                                                                       \
    (state[n] == (size[n] == 1 -> LIVE : WIDE) &&                                           \
     (size[n] == 1 || WIDE_PLACES(MEMORY_READS, n) == size[n]))
#define BEFORE(n) ((n) > 0 -> state[(n) - ((n) > 0)] : FREE)

/* ---- carrying stores to memory ---- */

#define STATE_ARRIVES(n)                                                                    \
    d_step { owner_state[n] != NONE && sets_remote != n && !(helper_purged & (1 << (n))) -> \
             state[n] = owner_state[n]; owner_state[n] = NONE }
/* Only the owner changes states of blocks that it may take or that are live. */
#define PURGED_ARRIVES(n)                                                                   \
    d_step { (helper_purged & (1 << (n))) && sets_remote != n ->                            \
             assert(!made || releasing || state[n] == REMOTE);                              \
             state[n] = PURGED; helper_purged = helper_purged & ~(1 << (n)) }
#ifdef RELEASE
bit releasing; /* the owner has found the slab empty */
#else
#define releasing false
#endif

#ifdef FORK
inline lose_others()
{
    forked = 1;
    sets_remote = NONE;
    sets_pending = 0;
    sender_is_busy = 0;
    helper_purging = NONE;
    helper_pages = 0;
    helper_purged = 0;
    helper_notes = 0;
    helper_is_busy = 0;
    inbox = NONE;
    held = 0
}

/* A block whose states have not arrived is known only to the owner, which is lost. */
inline lose_block(n)
{
    if
    :: size[n] != 0 && !HAS_STATES(n) ->
        assert(!EVERY(STATE_ARRIVED));
        size[n] = 0
    :: else
    fi
}

/* lib/slab/slab.c: slab_rebuild, for one state. */
#ifdef BUG_REBUILD_KEEPS_REST
#define IN_WIDE(n) (state[n] == WIDE || state[n] == REST)
#else
#define IN_WIDE(n) (state[n] == WIDE || (in_wide && state[n] == REST))
#endif
inline rebuild_state(n)
{
    owner_state[n] = NONE; /* lost with the owner */
    in_wide = IN_WIDE(n);
    if
    :: state[n] != LIVE && !in_wide -> state[n] = FREE
    :: else
    fi;
    assert(size[n] == 0 || HAS_STATES(n)); /* no live block is lost */
    assert(state[n] != REST || BEFORE(n) == REST || BEFORE(n) == WIDE)
}
#endif

active proctype memory()
{
#ifdef FORK
    bit in_wide;

#endif
end:
    do
    :: STATE_ARRIVES(0)
    :: STATE_ARRIVES(1)
    :: STATE_ARRIVES(2)
    :: PURGED_ARRIVES(0)
    :: PURGED_ARRIVES(1)
    :: PURGED_ARRIVES(2)
#if PLACES == 4
    :: STATE_ARRIVES(3)
    :: PURGED_ARRIVES(3)
#endif
    :: d_step { owner_collecting != NONE -> collecting = owner_collecting; owner_collecting = NONE }
    :: d_step { owner_clears_pending -> pending = 0; owner_clears_pending = 0 }
    :: d_step { owner_clears_note -> purged_for_owner = 0; owner_clears_note = 0 }
    :: d_step { sets_remote != NONE -> state[sets_remote] = REMOTE; sets_remote = NONE }
    :: d_step { sets_pending -> pending = 1; sets_pending = 0 }
    :: d_step { helper_purging != NONE -> purging = helper_purging; helper_purging = NONE }
    :: d_step { helper_notes -> purged_for_owner = 1; helper_notes = 0 }
    :: d_step {
           helper_pages != 0 ->
#ifndef LOSES_CONTENTS
           assert((helper_pages & LIVE_CELLS) == 0); /* no block loses its contents */
#endif
           helper_pages = 0
       }
#ifdef FORK
    /* A thread that is not the owner forks. In the child a thread rebuilds the owner's slab from
     * the states. The steps after that are not followed. */
    :: d_step {
           !forked ->
           lose_others();
           EACH(lose_block);
           EACH(rebuild_state);
           owner_collecting = NONE;
           owner_clears_pending = 0;
           owner_clears_note = 0;
           owner_is_lost = 1
       } -> break
#endif
    od
}

/* ---- the thread that frees ---- */

active proctype sender() STEPS
{
    {
end:
        do
        /* S. lib/paths/free.c: free_other, free_other_wide; lib/arena/remote.c: remote_free, the
         * compare-and-swap. Only the thread that frees it changes the state of a live block. */
        :: d_step {
               inbox != NONE && SENDER_ARRIVED ->
               sender_is_busy = 1;
#ifdef SAME_INSTANT
               if
               :: shared_is_live ->
                   shared_is_live = 0;
                   size[inbox] = 0
               :: else
               fi;
               if
               :: (shared_size == 1 && state[inbox] == LIVE) ||
                      (shared_size > 1 && state[inbox] == WIDE) ->
                   sets_remote = inbox
               :: else -> sender_is_busy = 0 /* reported */
               fi;
#else
               /* no free of a live block is reported, and a wide block has all its places */
               assert(state[inbox] == (size[inbox] == 1 -> LIVE : WIDE));
               assert(WIDE_PLACES(MEMORY_READS, inbox) == size[inbox]);
               size[inbox] = 0;
               sets_remote = inbox;
#endif
               inbox = NONE
           }
           /* L1 to L3. lib/arena/remote.c: set_pending. L1 waits for S. */
           if
           :: !sender_is_busy
           :: sender_is_busy && sets_remote == NONE && pending
           :: sender_is_busy && sets_remote == NONE && !pending ->
               d_step { SENDER_ARRIVED && !owner_clears_pending -> sets_pending = 1 }
           fi;
           sender_is_busy = 0
        od
    } unless { forked -> ended++ }
}

/* ---- the helper ---- */

/* lib/slab/slab_purge.c: continues. */
#ifdef BUG_RUNS_OVER_PURGED
#define CONTINUES(n) (state[n] == REMOTE || state[n] == REST || state[n] == PURGED)
#else
#define CONTINUES(n) (state[n] == REMOTE || state[n] == REST)
#endif

/* lib/slab/slab_purge.c: set_purged, a compare-and-swap (release) of each place from `lowest`
 * on. */
#ifdef BUG_PURGED_OVER_REST
#define IS_SWAPPED(n) (state[n] == REMOTE || state[n] == REST)
#else
#define IS_SWAPPED(n) (state[n] == REMOTE)
#endif
inline store_purged()
{
    do
    :: d_step {
           lowest < limit && HELPER_ARRIVED ->
           if
           :: IS_SWAPPED(lowest) -> helper_purged = helper_purged | (1 << lowest)
           :: else
           fi;
           lowest++
       }
    :: lowest == limit -> break
    od
}

/* If the first place is REST, begins with its block: lib/slab/slab_purge.c: purge_blocks. */
inline go_to_block()
{
    do
    :: lowest > first && state[lowest] == REST -> lowest--
    :: else -> break
    od
}

/* madvise. */
inline give_pages_back()
{
    d_step { HELPER_ARRIVED -> helper_pages = (1 << limit) - (1 << lowest) }
}

/* lib/slab/slab_purge.c: purge_blocks, of places first .. end_of_run-1. */
inline purge_blocks()
{
    atomic { /* align_up, align_down */
        lowest = first;
        do
        :: lowest < end_of_run - 1 -> lowest++
        :: break
        od;
        limit = end_of_run;
        do
        :: limit > lowest -> limit--
        :: break
        od
    }
    if
    :: lowest == limit /* the run fills no page */
    :: lowest < limit ->
#ifdef BUG_PAGES_LAST
        d_step { HELPER_ARRIVED -> helper_notes = 1 }
        last = lowest;
        go_to_block();
        store_purged();
        lowest = last;
        last = 0;
        give_pages_back()
#else
        give_pages_back();
#ifndef BUG_NOTE_LAST
        d_step { HELPER_ARRIVED -> helper_notes = 1 } /* release */
#endif
        go_to_block();
        store_purged();
#ifdef BUG_NOTE_LAST
        atomic { HELPER_ARRIVED -> helper_notes = 1 }
#endif
#endif
    fi;
    atomic { lowest = 0; limit = 0 }
}

/* lib/slab/slab_purge.c: slab_purge_for_owner, purge_runs. */
inline purge_runs()
{
    first = 0;
    do
    :: first < PLACES && state[first] != REMOTE -> first++
    :: first < PLACES && state[first] == REMOTE ->
        end_of_run = first + 1;
        do
        :: end_of_run < PLACES && CONTINUES(end_of_run) -> end_of_run++
        :: else -> break
        od;
        purge_blocks();
        d_step { first = end_of_run; end_of_run = 0 }
    :: first == PLACES -> first = 0; break
    od
}

active proctype helper() STEPS
{
    byte first, end_of_run, lowest, limit;
#ifdef BUG_PAGES_LAST
    byte last;
#endif

    {
end:
        do
        /* lib/arena/remote.c: purge_heap, purge_slab */
        :: pending -> /* relaxed load */
            d_step { !locked -> locked = 1; helper_is_busy = 1; helper_purging = 1 }
#ifndef BUG_HELPER_HAS_NO_FENCE
            HELPER_ARRIVED; /* fence_full */
#endif
            if
#ifndef BUG_HELPER_DOES_NOT_LOOK
            :: collecting
#endif
            :: else ->
                if
                :: made -> purge_runs()
                :: else
                fi
            fi;
            atomic { HELPER_ARRIVED -> helper_purging = 0 } /* release */
            d_step { HELPER_ARRIVED -> locked = 0; helper_is_busy = 0 }
        od
    } unless {
        d_step { forked -> ended++; first = 0; end_of_run = 0; lowest = 0; limit = 0 }
    }
}

/* ---- the owner ---- */

bit purged; /* of struct slab */
#ifdef FORK
bit other_generation; /* remote->generation */
#else
#define other_generation false
#endif

/* In the child the owner only collects and takes PURGED blocks back. */
#define MAY_TAKE(i) (owner_state[i] == NONE && state[i] == FREE && made && !forked)
#define MAY_FREE(i) ((held & (1 << (i))) && !forked)

/* malloc hands a block out, of places i .. i+places-1. No two live blocks overlap. */
#define MASK(i, places) (((1 << (places)) - 1) << (i))
inline hand_out(i, places)
{
    assert((LIVE_CELLS & MASK(i, places)) == 0);
    size[i] = places;
    held = held | (1 << (i))
#ifdef SAME_INSTANT
    /* a free of a block that was handed out again is not followed */
    ;
    if :: inbox >= i && inbox < i + places -> inbox = NONE :: else fi;
    if :: shared >= i && shared < i + places -> shared = NONE :: else fi
#endif
}

/* lib/paths/alloc.h: alloc_from_bin, the window. */
inline malloc_place(i)
{
    d_step {
        MAY_TAKE(i) ->
        owner_state[i] = LIVE;
        hand_out(i, 1)
    }
}

/* lib/slab/slab_wide.c: take_in_slab, make_wide. */
inline malloc_wide_2(i)
{
    d_step {
        MAY_TAKE(i) && MAY_TAKE(i + 1) ->
        owner_state[i + 1] = REST;
        owner_state[i] = WIDE;
        hand_out(i, 2)
    }
}

inline malloc_wide_3(i)
{
    d_step {
        MAY_TAKE(i) && MAY_TAKE(i + 1) && MAY_TAKE(i + 2) ->
        owner_state[i + 1] = REST;
        owner_state[i + 2] = REST;
        owner_state[i] = WIDE;
        hand_out(i, 3)
    }
}

/* lib/paths/free.h: free_own_block; lib/paths/free.c: free_own_wide; lib/slab/slab.c: slab_give_back,
 * free_places. */
inline free_own(i)
{
    d_step {
        MAY_FREE(i) && owner_state[i] == NONE && (size[i] < 2 || owner_state[i + 1] == NONE) &&
            (size[i] < 3 || owner_state[i + 2] == NONE) ->
        assert(OWNER_READS(i) == (size[i] == 1 -> LIVE : WIDE)); /* it is not reported */
        assert(size[i] == 1 || WIDE_PLACES(OWNER_READS, i) == size[i]);
        owner_state[i] = FREE;
        if :: size[i] > 1 -> owner_state[i + 1] = FREE :: else fi;
        if :: size[i] > 2 -> owner_state[i + 2] = FREE :: else fi;
        held = held & ~(1 << i);
        size[i] = 0
    }
}

#ifdef SAME_INSTANT
/* The program hands a block to the other thread, and the owner frees it as well. */
inline send_and_free(i)
{
    d_step {
        MAY_FREE(i) && OWNER_ARRIVED && inbox == NONE && shared == NONE ->
        held = held & ~(1 << i);
        inbox = i;
        shared = i;
        shared_size = size[i];
        shared_is_live = 1
    }
}

/* As free_own, in two steps. */
inline free_shared()
{
    d_step {
        shared != NONE && EVERY(STATE_ARRIVED) ->
        if :: shared_is_live -> shared_is_live = 0; size[shared] = 0 :: else fi;
        if
        :: state[shared] == (shared_size == 1 -> LIVE : WIDE)
        :: else -> shared = NONE /* reported */
        fi
    }
    if
    :: d_step {
           shared != NONE ->
           owner_state[shared] = FREE;
           if :: shared_size > 1 -> owner_state[shared + 1] = FREE :: else fi;
           if :: shared_size > 2 -> owner_state[shared + 2] = FREE :: else fi;
           shared = NONE
       }
    :: shared == NONE
    fi
}
#endif

/* The program hands a block to the other thread (release). */
inline send(i)
{
    d_step {
        MAY_FREE(i) && OWNER_ARRIVED && inbox == NONE ->
        held = held & ~(1 << i);
        inbox = i
    }
}

/* lib/slab/slab_purge.c: slab_purge, for one place. No other thread purges FREE blocks. */
inline purge_own(i)
{
    d_step {
        MAY_TAKE(i) ->
        purged = 1;
        owner_state[i] = PURGED
    }
}

inline fence()
{
    OWNER_ARRIVED /* lib/base/base.h: fence_full */
}

/* lib/slab/slab.c: free_places for each place in `from`, lowest first. What it would read
 * after a place comes next here as well. */
#ifdef BUG_REST_STAYS
#define IS_BEHIND(i) false
#else
#define IS_BEHIND(i) (behind && OWNER_READS(i) == REST)
#endif
inline free_if(i, from)
{
    if
    :: d_step {
           (OWNER_READS(i) == from || IS_BEHIND(i)) && owner_state[i] == NONE ->
           owner_state[i] = FREE;
           behind = 1
       }
    :: d_step { OWNER_READS(i) != from && !IS_BEHIND(i) -> behind = 0 }
    fi
}

inline free_all(from)
{
    free_if(0, from);
    free_if(1, from);
    free_if(2, from);
#if PLACES == 4
    free_if(3, from);
#endif
    behind = 0
}

/* lib/slab/slab.c: bin_open_window, take_back_purged. Here also while there are FREE places. */
inline take_back_purged()
{
    d_step { purged -> purged = 0 }
    free_all(PURGED)
}

/* lib/heap/heap_set.c: heap_set_lock. Nobody else has the lock, but a lost thread. */
#ifdef FORK
#define MAY_LOCK (!locked || forked)
#else
#define MAY_LOCK !locked
#endif

/* lib/arena/remote.c: remote_begin. */
inline remote_begin()
{
    d_step { owner_collecting == NONE -> owner_collecting = 1 }
#ifndef BUG_OWNER_HAS_NO_FENCE
    fence();
#endif
    if
#ifndef BUG_OWNER_DOES_NOT_WAIT
    :: purging -> d_step { MAY_LOCK -> locked = 0; purging = 0 }
#endif
    :: else
    fi
}

/* lib/arena/remote.c: remote_end. */
inline remote_end()
{
#ifdef BUG_COLLECTIONS_RELAXED
    d_step { owner_collecting == NONE -> owner_collecting = 0 }
#else
    d_step { OWNER_ARRIVED -> owner_collecting = 0 }
#endif
}

/* lib/slab/slab.c: slab_collect, take_remote. */
inline slab_collect()
{
    free_all(REMOTE);
    if
    :: d_step { purged_for_owner -> owner_clears_note = 1; purged = 1 }
    :: !purged_for_owner
    fi
}

/* lib/arena/remote.c: remote_collect, collect_heap. */
inline collect()
{
    pending || other_generation;
    remote_begin();
#ifdef FORK
    if
    :: other_generation -> other_generation = 0; slab_collect()
    :: else
    fi;
#endif
    if
    :: pending ->
        d_step { OWNER_ARRIVED && !sets_pending -> owner_clears_pending = 1 } /* X1 */
        fence();
        if
        :: made -> slab_collect()
        :: else
        fi
    :: !pending
    fi;
    remote_end()
}

#ifdef FORK
/* The owner forks. Stores of the other threads that have not arrived are lost. */
inline fork()
{
    d_step { !forked && OWNER_ARRIVED -> other_generation = 1; lose_others() }
    ended == 2
}
#endif

#ifdef RELEASE
#define IS_EMPTY_PLACE(n) (OWNER_READS(n) != LIVE && OWNER_READS(n) != WIDE)

/* lib/slab/slab.c: is_empty, release; lib/heap/heap_set.c: heap_set_give. Making a slab:
 * lib/heap/heap_set.c: heap_set_take; lib/base/states.c: states_reset; lib/slab/slab.c:
 * slab_fill. */
inline release()
{
    d_step { made && EVERY(IS_EMPTY_PLACE) -> releasing = 1 }
    free_all(REMOTE);
    d_step { OWNER_ARRIVED && !locked -> made = 0; releasing = 0; purged = 0 }
}

#define RESETS(n) owner_state[n] = FREE
inline make_slab()
{
    d_step { !made && OWNER_ARRIVED && !locked -> EACH(RESETS) }
    d_step { OWNER_ARRIVED && !locked -> made = 1 }
    owner_clears_note = 1
}
#endif

/* ---- properties that hold whenever the owner is in no call ---- */

/* A live block has its states, as the owner reads them. */
#define IS_KEPT(n)                                                                          \
    (size[n] == 0 || (OWNER_READS(n) == (size[n] == 1 -> LIVE : WIDE) &&                    \
                      WIDE_PLACES(OWNER_READS, n) == size[n]))

/* While no store is on its way and no call has begun, each place that is not FREE will be found. */
#define QUIET                                                                               \
    (OWNER_ARRIVED && SENDER_ARRIVED && HELPER_ARRIVED && !sender_is_busy && !helper_is_busy)
#define NOTICED (pending || other_generation)
#define IS_FOUND(n)                                                                         \
    ((state[n] != REMOTE || NOTICED) &&                                                     \
     (state[n] != PURGED || purged || (purged_for_owner && NOTICED)) &&                     \
     (state[n] != REST || BEFORE(n) == REST || BEFORE(n) == WIDE || BEFORE(n) == REMOTE ||  \
      BEFORE(n) == PURGED))
#define IS_SOUND (EVERY(IS_KEPT) && (!QUIET || !made || EVERY(IS_FOUND)))

active proctype owner() STEPS
{
    bit behind; /* free_all: the place before it became FREE */

    {
end:
    do
    :: !IS_SOUND -> assert(IS_SOUND)
    :: malloc_place(0)
    :: malloc_place(1)
    :: malloc_place(2)
    :: malloc_wide_2(0)
    :: malloc_wide_2(1)
    :: malloc_wide_3(0)
    :: free_own(0)
    :: free_own(1)
    :: free_own(2)
    :: purge_own(0)
    :: purge_own(1)
    :: purge_own(2)
#ifdef SAME_INSTANT
    :: send_and_free(0)
    :: send_and_free(1)
    :: send_and_free(2)
    :: free_shared()
#else
    :: send(0)
    :: send(1)
    :: send(2)
#endif
#if PLACES == 4
    :: malloc_place(3)
    :: malloc_wide_2(2)
    :: malloc_wide_3(1)
    :: free_own(3)
    :: purge_own(3)
#ifdef SAME_INSTANT
    :: send_and_free(3)
#else
    :: send(3)
#endif
#endif
    :: take_back_purged()
    :: collect()
#ifdef FORK
    :: fork()
#endif
#ifdef RELEASE
    :: release()
    :: make_slab()
#endif
    od
    } unless {
        d_step { owner_is_lost -> behind = 0 }
    }
}
