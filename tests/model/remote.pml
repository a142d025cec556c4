/*
 * Remote frees: the owner of an arena and two threads that free its blocks. See "The models" at the
 * end of doc/remote.md. Each transition names the code that it stands for (file: function).
 *
 * Memory is weakly ordered, as on arm64:
 *
 * - A store lies in its thread's buffer, which has one place for each variable, until the process
 *   `memory` carries it over, in any order. A thread reads its own buffer first.
 * - A read-modify-write reads memory and puts the new value into the buffer. Until that has arrived
 *   no other thread's read-modify-write of the variable begins, and no other store to it arrives
 *   (the store-exclusive would have failed).
 * - A release store is issued when the thread's buffer is empty.
 * - A sequentially consistent load waits until the thread's earlier sequentially consistent stores
 *   have arrived; an acquire load does not.
 * - Loads are not delayed: in the code acquire, a fence, an address or one variable orders them.
 *
 * Defines:
 *   TWO_SLABS       the two states are of two slabs of different classes, else of one slab
 *   COLLECTS=1      the owner collects all that is pending, never one class
 *   COLLECTS=2      it collects one class, never all; without the define it does both
 *   DOUBLE_FREE=0   the program frees block 0 of the slab twice, the second time ordered after the
 *                   first, each time by any thread
 *   DOUBLE_FREE=1   the same with block 1, which the owner frees first
 *   SAME_INSTANT=1  the owner and another thread free a block in the same instant
 *   SAME_INSTANT=2  the two other threads do
 *   BUG_...         seeded bugs, which the model must find
 */
#define FREE   0
#define LIVE   1
#define CACHED 2
#define REMOTE 3

#define NONE 255 /* an empty place of a buffer */

/* The bit of a class in `classes`. With one slab both classes share a bit. */
#ifdef TWO_SLABS
#define BIT(class)  (class)
#define ALL_CLASSES 3
#else
#define BIT(class)  1
#define ALL_CLASSES 1
#endif

#ifndef COLLECTS
#define COLLECTS 3
#endif

#ifdef TWO_SLABS
#define SLABS   2
#define SLAB(i) (i)
#else
#define SLABS   1
#define SLAB(i) 0
#endif

/*
 * Classes 1 and 2, 0 for no slab. Memory has four cells; a block of class 1 has one, a block of
 * class 2 two. So a slab's second block begins elsewhere if the slab has the other class.
 */
#ifdef TWO_SLABS
#define ADDRESS(class, i)      (i)
#define CELLS(class, i)        (1 << (i))
#define STARTS(class, address) ((class) != 0)
#define NUMBER(class, address) (address)
#define SLAB_AT(address)       (address)
#else
#define ADDRESS(class, i)      ((class) * (i))
#define CELLS(class, i)        ((class) == 1 -> 1 << (i) : 3 << (2 * (i)))
#define STARTS(class, address) ((class) == 1 -> (address) < 2 : (class) == 2 && (address) != 1)
#define NUMBER(class, address) ((address) / (class))
#define SLAB_AT(address)       0
#endif

/* ---- memory ---- */

byte state[2];
byte geometry[SLABS]; /* of struct slab: the class, 0 for none */
bit slab_pending[SLABS];
bit heap_pending;
byte classes; /* remote->pending_classes: the bits of classes */

/* ---- the owner's buffer ---- */

byte owner_state[2] = NONE;
byte owner_geometry[SLABS] = NONE;
bit owner_clears_slab[SLABS]; /* an exchange with 0 has not arrived yet */
bit owner_clears_heap;
byte owner_clears_classes; /* bits whose clearing has not arrived yet */

#define OWNER_STATES_ARRIVED (owner_state[0] == NONE && owner_state[1] == NONE)
#ifdef TWO_SLABS
#define OWNER_GEOMETRY_ARRIVED (owner_geometry[0] == NONE && owner_geometry[1] == NONE)
#define OWNER_CLEARS_ARRIVED \
    (!owner_clears_slab[0] && !owner_clears_slab[1] && !owner_clears_heap && !owner_clears_classes)
#else
#define OWNER_GEOMETRY_ARRIVED (owner_geometry[0] == NONE)
#define OWNER_CLEARS_ARRIVED \
    (!owner_clears_slab[0] && !owner_clears_heap && !owner_clears_classes)
#endif
#define OWNER_ARRIVED (OWNER_STATES_ARRIVED && OWNER_GEOMETRY_ARRIVED && OWNER_CLEARS_ARRIVED)

#define OWNER_READS(i) (owner_state[i] != NONE -> owner_state[i] : state[i])

/* ---- the other threads' buffers ---- */

byte sets_remote[2] = NONE; /* number of the state that becomes REMOTE */
byte sets_slab[2] = NONE;   /* the slab whose bit becomes 1 */
bit sets_heap[2];
byte sets_class[2];         /* the bit of `classes` that becomes 1, 0 for none */
byte writes_data[2] = NONE; /* address of the block of the program's last store */

#define SENDER_ARRIVED(t)                                                                   \
    (sets_remote[t] == NONE && sets_slab[t] == NONE && !sets_heap[t] && sets_class[t] == 0)
#define QUIET(t) (!busy[t] && SENDER_ARRIVED(t) && writes_data[t] == NONE)


#define STATE_ARRIVES(n)                                                                    \
    d_step { owner_state[n] != NONE && sets_remote[0] != n && sets_remote[1] != n ->        \
             state[n] = owner_state[n]; owner_state[n] = NONE }
#define GEOMETRY_ARRIVES(s)                                                                 \
    d_step { owner_geometry[s] != NONE -> geometry[s] = owner_geometry[s];                  \
             owner_geometry[s] = NONE }
#define CLEAR_ARRIVES(s)                                                                    \
    d_step { owner_clears_slab[s] -> slab_pending[s] = 0; owner_clears_slab[s] = 0 }
#define SENDER_ARRIVES(t)                                                                   \
       d_step { sets_remote[t] != NONE -> state[sets_remote[t]] = REMOTE;                   \
                sets_remote[t] = NONE }                                                     \
    :: d_step { sets_slab[t] != NONE -> slab_pending[sets_slab[t]] = 1; sets_slab[t] = NONE } \
    :: d_step { sets_heap[t] -> heap_pending = 1; sets_heap[t] = 0 }                        \
    :: d_step { sets_class[t] != 0 -> classes = classes | sets_class[t]; sets_class[t] = 0 } \
    :: writes_data[t] != NONE -> writes_data[t] = NONE

/* Carries stores from the buffers to memory, one at a time and in any order. */
active proctype memory()
{
end:
    do
    :: STATE_ARRIVES(0)
    :: STATE_ARRIVES(1)
    :: GEOMETRY_ARRIVES(0)
    :: CLEAR_ARRIVES(0)
#ifdef TWO_SLABS
    :: GEOMETRY_ARRIVES(1)
    :: CLEAR_ARRIVES(1)
#endif
    :: d_step { owner_clears_heap -> heap_pending = 0; owner_clears_heap = 0 }
    :: d_step { owner_clears_classes != 0 -> classes = classes & ~owner_clears_classes;
                owner_clears_classes = 0 }
    :: SENDER_ARRIVES(0)
    :: SENDER_ARRIVES(1)
    od
}

/* ---- the truth about the program ---- */

byte live_cells;        /* bit c: cell c is in a live block */
byte class[SLABS];      /* the class of each slab, as its owner knows it */
byte inbox[2] = NONE;   /* address of a block that the owner has handed to a thread to free */
byte freed = NONE;      /* DOUBLE_FREE: address that was freed and not handed out again */
byte shared = NONE;     /* SAME_INSTANT=1: address that the owner frees as well */
bit shared_is_live;     /* SAME_INSTANT: neither of the two frees has begun */
bit won;                /* SAME_INSTANT=2: one of the two frees has succeeded */

/* The free that a thread is in. */
bit busy[2];
byte freeing[2] = NONE; /* the address */
bit wrong[2];           /* it is a double free */
bit reused[2];          /* wrong: the address was handed out again since the first free */
bit released[2];        /* wrong: the slab was released after the thread's look-up */

/* ---- a thread that frees ---- */

/* L3. lib/arena/remote.c: set_pending for remote->pending_classes */
#ifdef BUG_CLASS_BIT_FIRST
#define L3_WAITS (sets_remote[t] == NONE)
#else
#define L3_WAITS (!sets_heap[t])
#endif
inline set_class()
{
    if
    :: L3_WAITS && (classes & bit_of_class)
    :: L3_WAITS && !(classes & bit_of_class) ->
        d_step { SENDER_ARRIVED(t) && sets_class[1 - t] == 0 && owner_clears_classes == 0 ->
                 sets_class[t] = bit_of_class }
    fi
}

/* A free that is `wrong` ends in lib/paths/free.c: free_slow, misuse. */
proctype sender(byte t)
{
    byte number; /* of the state */
    byte slab;
    byte bit_of_class; /* by the geometry that was read */

end:
    do
    /* The thread gets a block, stores to it for the last time, and calls free. */
    :: d_step {
           inbox[t] != NONE && SENDER_ARRIVED(t) && writes_data[t] == NONE ->
           busy[t] = 1;
           freeing[t] = inbox[t];
           inbox[t] = NONE;
           slab = SLAB_AT(freeing[t]);
           if
           :: wrong[t] && !shared_is_live -> skip
           :: else ->
               number = NUMBER(class[slab], freeing[t]);
               live_cells = live_cells & ~(CELLS(class[slab], number));
#if defined(SAME_INSTANT)
               shared_is_live = 0
#elif !defined(DOUBLE_FREE)
               writes_data[t] = freeing[t]
#endif
           fi
       } -> break
#ifdef DOUBLE_FREE
    /* The thread frees an address again, after it was told of the first free (release, acquire). */
    :: d_step {
           t == 1 && freed != NONE && OWNER_ARRIVED && SENDER_ARRIVED(t) && writes_data[t] == NONE ->
           busy[t] = 1;
           wrong[t] = 1;
           freeing[t] = freed;
           freed = NONE;
           slab = SLAB_AT(freeing[t])
       } -> break
#endif
    od;

    /* lib/paths/free.c: free_other: loads slab->geometry (acquire), derives the block's number. */
    atomic {
        released[t] = wrong[t] && owner_geometry[slab] != NONE; /* the word is out of date */
        if
        :: STARTS(geometry[slab], freeing[t]) ->
            number = NUMBER(geometry[slab], freeing[t]);
            bit_of_class = BIT(geometry[slab])
        :: else -> number = NONE
        fi
    }
    if
    :: number == NONE -> assert(wrong[t]); goto done
    :: else
    fi;

#ifdef BUG_BITS_FIRST
    slab_pending[slab] = 1;
    heap_pending = 1;
    classes = classes | bit_of_class;
#endif

    /* S. lib/arena/remote.c: remote_free, the compare-and-swap, also a release. Not followed: a
     * free of a block that was handed out again, and the race at the end of "Misuse" in
     * doc/remote.md. */
end_s:
    if
    :: d_step {
           SENDER_ARRIVED(t) && sets_remote[1 - t] != number &&
#ifndef BUG_S_RELAXED
               writes_data[t] == NONE &&
#endif
#ifndef BUG_UNORDERED
               !(wrong[t] && released[t]) &&
#endif
               !(wrong[t] && reused[t]) && state[number] == LIVE ->
#ifdef BUG_S_NOT_ATOMIC
           skip
#else
           sets_remote[t] = number
#endif
       }
    :: d_step { sets_remote[1 - t] != number && state[number] != LIVE -> number = NONE }
    fi;
    if
    :: number == NONE -> assert(wrong[t]); goto done
    :: else
    fi;
#ifdef BUG_S_NOT_ATOMIC /* a load, which found LIVE, and a store */
    d_step { SENDER_ARRIVED(t) && sets_remote[1 - t] != number -> sets_remote[t] = number }
#endif
#ifdef SAME_INSTANT
    assert(!won); /* at most one of the two frees succeeds */
    won = (SAME_INSTANT == 2);
#endif
#ifdef DOUBLE_FREE
    assert(!wrong[t] || released[t]); /* every double free is reported */
#endif

#ifndef BUG_BITS_FIRST
#ifdef BUG_CLASS_BIT_FIRST
    set_class();
#endif
#ifdef BUG_L1_ACQUIRE
#define L1_WAITS
#else
#define L1_WAITS sets_remote[t] == NONE && /* a sequentially consistent load waits for S */
#endif
    /* L1. lib/arena/remote.c: set_pending for heap->pending */
    if
    :: L1_WAITS slab_pending[slab]
    :: L1_WAITS !slab_pending[slab] ->
        d_step { SENDER_ARRIVED(t) && sets_slab[1 - t] != slab && !owner_clears_slab[slab] ->
                 sets_slab[t] = slab }
    fi;

    /* L2. lib/arena/remote.c: set_pending for remote->pending. The load waits for the fetch-or. */
    if
    :: sets_slab[t] == NONE && heap_pending
    :: sets_slab[t] == NONE && !heap_pending ->
        d_step { SENDER_ARRIVED(t) && !sets_heap[1 - t] && !owner_clears_heap -> sets_heap[t] = 1 }
    fi;

#ifndef BUG_CLASS_BIT_FIRST
    set_class();
#endif
#endif

#ifdef DOUBLE_FREE
    /* The thread tells others that it has freed the block (release). */
    if
    :: d_step { SENDER_ARRIVED(t) && writes_data[t] == NONE && !wrong[t] && !reused[t] &&
                freed == NONE -> freed = freeing[t] }
    :: true
    fi;
#endif

done:
    atomic {
        busy[t] = 0;
        freeing[t] = NONE;
        wrong[t] = 0;
        reused[t] = 0;
        released[t] = 0;
        number = 0;
        slab = 0;
        bit_of_class = 0
    }
    goto end
}

/* ---- the owner ---- */

byte window;          /* struct bin: bit i: state i is FREE and may be taken */
byte magazine = NONE; /* struct bin: number of the one CACHED block */
byte held;            /* bit i: the program's code in the owner's thread has block i */

/* malloc hands a block out. */
inline hand_out(i)
{
    owner_state[i] = LIVE;
    address = ADDRESS(class[SLAB(i)], i);
    /* no two live blocks overlap */
    assert((live_cells & CELLS(class[SLAB(i)], i)) == 0);
    /* all stores to the block in its last life have arrived */
    assert(writes_data[0] != address && writes_data[1] != address);
    live_cells = live_cells | CELLS(class[SLAB(i)], i);
    held = held | (1 << i);
    if :: freed == address -> freed = NONE :: else fi;
    if :: shared == address -> shared = NONE :: else fi;
    if :: freeing[0] == address || inbox[0] == address -> reused[0] = 1 :: else fi;
    if :: freeing[1] == address || inbox[1] == address -> reused[1] = 1 :: else fi;
    address = 0
}

/* lib/paths/alloc.h: alloc_from_bin, the magazine. */
inline malloc_from_magazine()
{
    d_step {
        magazine != NONE && owner_state[magazine] == NONE ->
        number = magazine;
        magazine = NONE;
        hand_out(number);
        number = 0
    }
}

/* lib/paths/alloc.h: alloc_from_bin, the window. Any block of it; there, the lowest. */
inline malloc_from_window(i)
{
    d_step {
        magazine == NONE && (window & (1 << i)) && owner_state[i] == NONE ->
        window = window & ~(1 << i);
        hand_out(i)
    }
}

/* lib/slab/slab.c: bin_open_window. One step, since only the owner changes a FREE state. */
inline open_window()
{
    d_step {
        window == 0 ->
        if :: class[SLAB(0)] != 0 && OWNER_READS(0) == FREE -> window = 1 :: else fi;
        if :: class[SLAB(1)] != 0 && OWNER_READS(1) == FREE -> window = window | 2 :: else fi
    }
}

/* lib/paths/free.h: free_own_block. */
inline give_own(i)
{
    if
    :: magazine == NONE -> magazine = i; owner_state[i] = CACHED
    :: else -> owner_state[i] = FREE
    fi
}

/* lib/paths/free.h: free_find_in_slab, free_own_block, for a live block. One step, since no other
 * thread frees it. */
inline free_own(i)
{
    d_step {
        (held & (1 << i)) && owner_state[i] == NONE ->
        assert(OWNER_READS(i) == LIVE); /* no free of a live block is reported */
        held = held & ~(1 << i);
        live_cells = live_cells & ~(CELLS(class[SLAB(i)], i));
        give_own(i);
#ifdef DOUBLE_FREE
        if
        :: freed == NONE && i == DOUBLE_FREE -> freed = ADDRESS(class[SLAB(i)], i)
        :: else
        fi
#endif
    }
}

/* lib/paths/free.h: free_find_in_slab refuses an address that was freed before. */
inline free_own_again()
{
    d_step {
        freed != NONE && STARTS(class[SLAB_AT(freed)], freed) ->
        assert(OWNER_READS(NUMBER(class[SLAB_AT(freed)], freed)) != LIVE);
        freed = NONE
    }
}

/* lib/paths/free.h: free_find_in_slab, free_own_block, in two steps, for a block that another
 * thread frees in the same instant. */
inline free_own_shared()
{
    d_step { /* free_find_in_slab */
        shared != NONE ->
        if
        :: shared_is_live ->
            number = NUMBER(class[SLAB_AT(shared)], shared);
            live_cells = live_cells & ~(CELLS(class[SLAB_AT(shared)], number));
            shared_is_live = 0
        :: else
        fi;
        number = NONE;
        if
        :: STARTS(class[SLAB_AT(shared)], shared) ->
            number = NUMBER(class[SLAB_AT(shared)], shared);
            if
            :: OWNER_READS(number) != LIVE -> number = NONE
            :: else
            fi
        :: else
        fi
    }
    if
    :: number == NONE -> shared = NONE /* reported */
    :: d_step { number != NONE && owner_state[number] == NONE -> give_own(number); shared = NONE }
    fi;
    number = 0
}

/* The program hands a block to another thread (release). */
inline send(i, t)
{
    d_step {
        (held & (1 << i)) && OWNER_ARRIVED && inbox[t] == NONE && !wrong[t] ->
        held = held & ~(1 << i);
        inbox[t] = ADDRESS(class[SLAB(i)], i)
    }
}

/* SAME_INSTANT=2: the program hands a block to both threads, and both free it. */
inline send_to_both(i)
{
    d_step {
        (held & (1 << i)) && OWNER_ARRIVED && inbox[0] == NONE && inbox[1] == NONE && !busy[0] &&
            !busy[1] ->
        held = held & ~(1 << i);
        inbox[0] = ADDRESS(class[SLAB(i)], i);
        inbox[1] = inbox[0];
        wrong[0] = 1;
        wrong[1] = 1;
        shared_is_live = 1;
        won = 0
    }
}

/* SAME_INSTANT=1: the program hands a block to a thread, and the owner frees it as well. */
inline send_and_free(i, t)
{
    d_step {
        (held & (1 << i)) && OWNER_ARRIVED && inbox[t] == NONE && !busy[t] && shared == NONE ->
        held = held & ~(1 << i);
        inbox[t] = ADDRESS(class[SLAB(i)], i);
        wrong[t] = 1;
        shared = inbox[t];
        shared_is_live = 1
    }
}

inline fence()
{
    OWNER_ARRIVED /* lib/base/base.h: fence_full */
}

/* lib/slab/slab.c: take_remote, for one state. */
inline take_remote(i)
{
    if
    :: OWNER_READS(i) != REMOTE
    :: d_step { OWNER_READS(i) == REMOTE && owner_state[i] == NONE -> owner_state[i] = FREE }
    fi
}

inline take_remote_of(s)
{
    if
    :: SLAB(0) == s -> take_remote(0)
    :: else
    fi;
    if
    :: SLAB(1) == s -> take_remote(1)
    :: else
    fi
}

/* X1. lib/arena/remote.c: collect_heap, the fetch-and. */
inline clear_slab(s)
{
    d_step { OWNER_ARRIVED && sets_slab[0] != s && sets_slab[1] != s -> owner_clears_slab[s] = 1 }
}

/* X2. lib/arena/remote.c: remote_collect, the exchange. */
inline clear_heap()
{
    d_step { OWNER_ARRIVED && !sets_heap[0] && !sets_heap[1] -> owner_clears_heap = 1 }
}

/* X3. lib/arena/remote.c: remote_collect, the exchange; remote_collect_class, the fetch-and. */
inline clear_classes(bits)
{
    d_step { OWNER_ARRIVED && sets_class[0] == 0 && sets_class[1] == 0 ->
             owner_clears_classes = bits }
}

/* lib/arena/remote.c: collect_heap, for the bit of one slab; lib/slab/slab.c: slab_collect. */
inline collect_slab(s)
{
    if
    :: !slab_pending[s] /* relaxed load */
    :: slab_pending[s] ->
#ifndef BUG_CLEAR_AFTER_SCAN
        clear_slab(s);
#ifndef BUG_NO_FENCE_SLAB
        fence();
#endif
#endif
        if
        :: class[s] == 0 /* a late bit: the slab was released */
        :: class[s] != 0 -> take_remote_of(s)
        fi;
#ifdef BUG_CLEAR_AFTER_SCAN
        clear_slab(s);
#endif
        fence()
    fi
}

/* lib/arena/remote.c: remote_collect. */
inline collect()
{
    heap_pending; /* lib/arena/remote.h: remote_pending */
    clear_classes(ALL_CLASSES);
#ifndef BUG_HEAP_BIT_LAST
    clear_heap();
#ifndef BUG_NO_FENCE_HEAP
    fence();
#endif
#endif
    collect_slab(0);
#ifdef TWO_SLABS
    collect_slab(1);
#endif
#ifdef BUG_HEAP_BIT_LAST
    clear_heap();
#endif
    fence()
}

/* lib/arena/remote.c: slabs_of_class. */
inline collect_slab_of(s, c)
{
    if
    :: class[s] == 0 || BIT(class[s]) == BIT(c) -> collect_slab(s)
    :: BIT(class[s]) != BIT(c)
    fi
}

/* lib/arena/remote.c: remote_collect_class. The heaps' bits stay. */
inline collect_class(c)
{
    classes & BIT(c); /* lib/arena/remote.h: remote_pending_class */
#ifndef BUG_CLASS_BIT_LAST
    clear_classes(BIT(c));
#ifndef BUG_CLASS_UNORDERED
    fence(); /* remote_begin */
#endif
#endif
    if
    :: heap_pending ->
#ifdef BUG_CLASS_CLEARS_HEAP
        clear_heap();
        fence();
#endif
        collect_slab_of(0, c);
#ifdef TWO_SLABS
        collect_slab_of(1, c)
#endif
    :: !heap_pending
    fi;
#ifdef BUG_CLASS_BIT_LAST
    clear_classes(BIT(c));
#endif
    fence()
}

/* The slab is released while a double free is between its look-up and S. */
inline note_release()
{
    if :: wrong[0] && busy[0] -> released[0] = 1 :: else fi;
    if :: wrong[1] && busy[1] -> released[1] = 1 :: else fi
}

/* lib/slab/slab.c: bin_leave_slab, is_empty, release; lib/heap/heap.c: heap_give. */
inline release_slab(s)
{
    d_step { /* bin_leave_slab */
        class[s] != 0 ->
        if :: SLAB(0) == s -> window = window & ~1 :: else fi;
        if :: SLAB(1) == s -> window = window & ~2 :: else fi
    }
    if /* is_empty, one state after the other */
    :: SLAB(0) == s && OWNER_READS(0) == LIVE
    :: else ->
        if
        :: SLAB(1) == s && OWNER_READS(1) == LIVE
        :: else ->
            if /* uncache */
            :: magazine != NONE && SLAB(magazine) == s -> magazine = NONE
            :: else
            fi;
            take_remote_of(s);
            /* heap_give: geometry, release */
            d_step {
                OWNER_ARRIVED ->
                owner_geometry[s] = 0;
                class[s] = 0;
                note_release()
            }
        fi
    fi
}

/* lib/base/states.c: states_reset; lib/heap/heap.c: heap_take. */
inline reset_state(s, i)
{
    if
    :: SLAB(i) == s -> d_step { owner_state[i] == NONE -> owner_state[i] = FREE }
    :: SLAB(i) != s
    fi
}

/* lib/heap/heap.c: heap_take; lib/slab/slab.c: bin_make_slab. Of any class: a slab of another class
 * may get the same units and lines. */
inline make_slab(s)
{
    class[s] == 0 ->
    reset_state(s, 0);
    reset_state(s, 1);
    if
    :: d_step { OWNER_ARRIVED -> owner_geometry[s] = 1; class[s] = 1 }
#ifndef TWO_SLABS
    :: d_step { OWNER_ARRIVED -> owner_geometry[s] = 2; class[s] = 2 }
#endif
    fi
}

/* lib/slab/slab.c: bin_is_valid. */
#define OWNER_IS_VALID                                                                          \
    ((magazine == NONE || OWNER_READS(magazine) == CACHED) &&                                   \
     (!(window & 1) || OWNER_READS(0) == FREE) && (!(window & 2) || OWNER_READS(1) == FREE))

/* No store is on its way, no free has begun, and a REMOTE block lacks a bit. */
#define HAS_BITS(i)                                                                             \
    (class[SLAB(i)] == 0 || state[i] != REMOTE ||                                               \
     (slab_pending[SLAB(i)] && heap_pending && (classes & BIT(class[SLAB(i)]))))
#define NOTIFICATION_LOST                                                                       \
    (OWNER_ARRIVED && QUIET(0) && QUIET(1) && !(HAS_BITS(0) && HAS_BITS(1)))

active proctype owner()
{
    byte number;
    byte address;

    atomic {
        run sender(0);
        run sender(1)
#ifdef TWO_SLABS
        class[0] = 1; class[1] = 2; geometry[0] = 1; geometry[1] = 2
#endif
    }

end:
    do
    :: !OWNER_IS_VALID -> assert(OWNER_IS_VALID)
    :: NOTIFICATION_LOST -> assert(!NOTIFICATION_LOST)
#ifndef TWO_SLABS
    :: malloc_from_magazine()
    :: free_own(0)
    :: free_own(1)
    :: release_slab(0)
    :: make_slab(0)
#endif
    :: malloc_from_window(0)
    :: malloc_from_window(1)
    :: open_window()
#if defined(DOUBLE_FREE)
#if DOUBLE_FREE == 0
    :: send(0, 0)
#endif
    :: free_own_again()
#elif SAME_INSTANT == 1
    :: send_and_free(0, 0)
    :: send_and_free(1, 0)
    :: free_own_shared()
#elif SAME_INSTANT == 2
    :: send_to_both(0)
    :: send_to_both(1)
#else
    :: send(0, 0)
    :: send(1, 1)
#ifdef TWO_SLABS
    :: send(0, 1)
    :: send(1, 0)
#endif
#endif
#if COLLECTS & 1
    :: collect()
#endif
#if COLLECTS & 2
    :: collect_class(1)
#ifdef TWO_SLABS
    :: collect_class(2)
#endif
#endif
    od
}
