/*
 * Slabs that are one block each and are resized where they are, another thread that frees such
 * blocks and purges free units meanwhile, and a fork at any step. See "The models" in doc/fork.md.
 * Each transition names the code that it stands for (file: function).
 *
 * The heap of one arena has three units and two descriptors. A block is a slab of 1 or 2 units; its
 * class is their number. Thread 0 is the arena's owner: it allocates, resizes, frees and collects.
 * Thread 1 frees the owner's blocks and purges free units. A fork keeps one of them, at whatever
 * step it is; the other one takes no further step. When the survivor's call has ended it starts
 * another thread in the lost one's place; in the owner's place, that thread adopts the arena and
 * rebuilds it. Noticing the fork, the lost lock and the orphan is the subject of fork.pml and takes
 * no step here.
 *
 * Stores reach memory at once and in order, as in fork.pml. There is one pending bit for each slab
 * and one for each class. The free units are one variable, since they are read under the lock only.
 *
 * Defines:
 *   FORKS         0 to 2: the most forks, each by the child of the last
 *   SAME_INSTANT  thread 1 may free a block while its owner resizes it, which is a misuse
 *   BUG_...       seeded bugs, which the model must find
 */
#ifndef FORKS
#define FORKS 1
#endif

/* enum block_state, of the only block of a slab */
#define FREE   0
#define LIVE   1
#define REMOTE 2

#define NOBODY 2 /* slab_of: heap_nobody */
#define NONE   7 /* no thread, no unit */
#define GONE   6 /* the holder of a lock is a lost thread */

/* ---- memory ---- */

/* struct heap_set */
byte holder = NONE;        /* lock */
bit looked_at = 1;         /* every slab was looked at in this generation */
bit pending_class[3];      /* pending_classes */

/* struct heap */
byte free_units = 7;       /* bit i: unit i */
byte slab_of[3] = NOBODY;
bit pending[2];

/* struct slab */
byte geometry[2];          /* 4 * first_unit + units, 0 for none */
byte class[2];
byte state[2];             /* in the line of states */

#define FIRST(g) ((g) / 4)
#define UNITS(g) ((g) % 4)

/* Units first to limit-1, and those of a slab, as bits. */
#define RUN(first, limit) ((1 << (limit)) - (1 << (first)))
#define RUN_OF(g)         (RUN(FIRST(g), FIRST(g) + UNITS(g)))

/* ---- the truth about threads and the program ---- */

bit dead[2];           /* the thread does not exist */
bit busy[2];           /* inside a call */
bit losing[2];         /* the thread has a block that is LIVE, or is becoming so, and not the
                          program's */
bit orphan;            /* the owner was lost */
byte live[3];          /* units that the program relies on of its block there, 0 for none */
byte resizing = NONE;  /* the unit of the block that the owner is resizing */
byte forks;            /* number so far */
byte lost_blocks;      /* the most blocks that may be lost */
bit final;             /* no further call begins: all blocks must be accounted for */

/* The units that the program relies on, as bits. */
#define RELIED_ON                                                                               \
    (live[0] * 2 - (live[0] -> 1 : 0) | (live[1] * 2 - (live[1] -> 1 : 0)) << 1 |               \
     (live[2] * 2 - (live[2] -> 1 : 0)) << 2)

/* No unit is in two slabs. No live block is lost, freed or too short, and any thread that frees it
 * finds it by its address. */
#define HOLDS(s, unit)                                                                          \
    (geometry[s] != 0 && FIRST(geometry[s]) == (unit) && UNITS(geometry[s]) >= live[unit] &&    \
     state[s] == LIVE)
#define IS_KEPT(unit)                                                                           \
    (live[unit] == 0 || (slab_of[unit] == 0 && HOLDS(0, unit)) ||                               \
     (slab_of[unit] == 1 && HOLDS(1, unit)))
#define IS_SOUND                                                                                \
    ((RUN_OF(geometry[0]) & RUN_OF(geometry[1])) == 0 && IS_KEPT(0) && IS_KEPT(1) && IS_KEPT(2))

active proctype watch()
{
end_watch:
    atomic { !IS_SOUND -> assert(IS_SOUND) }
}

/* ---- the heap lock ---- */

/* The derived data agree with the geometry words. A unit may be nobody's until the owner has shown
 * its slab. */
#define IS_FREE(unit) ((free_units >> (unit)) & 1)
#define LEADS_WELL(unit)                                                                        \
    (slab_of[unit] == NOBODY || ((RUN_OF(geometry[slab_of[unit]]) >> (unit)) & 1))
#define AGREES                                                                                  \
    (free_units == 7 - RUN_OF(geometry[0]) - RUN_OF(geometry[1]) && LEADS_WELL(0) &&            \
     LEADS_WELL(1) && LEADS_WELL(2))
#define IS_SHOWN(unit) (slab_of[unit] != NOBODY || IS_FREE(unit))

/* lib/heap/heap.c: point_units. */
inline point_units(first, limit, s)
{
    unit = first;
    do
    :: unit < limit -> slab_of[unit] = s; unit++
    :: else -> break
    od;
    unit = 0
}

/* lib/heap/heap.c: claim_slab. */
inline claim_slab(s)
{
    from = geometry[s];
    free_units = free_units & (7 - RUN_OF(from));
    point_units(FIRST(from), FIRST(from) + UNITS(from), s);
    from = 0
}

inline hide(u)
{
    d_step {
        if
        :: IS_FREE(u) -> slab_of[u] = NOBODY
        :: else
        fi
    }
}

/* lib/heap/heap.c: heap_rebuild. */
inline heap_rebuild()
{
#ifndef BUG_NOT_REBUILT
#ifdef BUG_REBUILD_HIDES
    slab_of[0] = NOBODY;
    slab_of[1] = NOBODY;
    slab_of[2] = NOBODY;
#endif
    free_units = 7; /* free_everything */
    claim_slab(0);
    claim_slab(1);
    hide(0);
    hide(1);
    hide(2);
    assert(IS_SHOWN(0) && IS_SHOWN(1) && IS_SHOWN(2));
#endif
    assert(AGREES)
}

/* lib/heap/heap_set.c: heap_set_lock, heap_set_rebuild_locked. */
inline heap_lock()
{
    if
    :: d_step { holder == NONE -> holder = t; assert(AGREES) }
    :: d_step { holder == GONE -> holder = t }
        heap_rebuild()
    fi
}

/* lib/arena/arena.c: arena_rebuild. */
inline lock_and_rebuild()
{
    d_step { holder == NONE || holder == GONE -> holder = t }
    heap_rebuild()
}

inline heap_unlock()
{
    d_step { assert(holder == t); holder = NONE }
}

/* ---- slabs ---- */

/* lib/heap/heap.c: give_units, for units first to limit-1. */
inline give_units(first, limit)
{
    point_units(first, limit, NOBODY);
    free_units = free_units | RUN(first, limit)
}

/* lib/heap/heap_set.c: heap_set_give; lib/heap/heap.c: heap_give. */
inline heap_set_give(s)
{
    heap_lock();
    from = geometry[s];
    geometry[s] = 0;
    give_units(FIRST(from), FIRST(from) + UNITS(from));
    from = 0;
    heap_unlock()
}

/* lib/slab/slab.c: release. */
inline release(s)
{
    if
    :: state[s] == REMOTE -> state[s] = FREE /* take_remote */
    :: state[s] != REMOTE
    fi;
    heap_set_give(s)
}

/* lib/heap/heap.c: take_units, for free units. */
inline take_units(first, limit)
{
    d_step {
        assert((free_units & RUN(first, limit)) == RUN(first, limit));
        free_units = free_units - RUN(first, limit)
    }
}

/* True if units first to first+count-1 are free. */
#define ARE_FREE(first, count)                                                                  \
    ((first) + (count) <= 3 &&                                                                  \
     (free_units & RUN(first, (first) + (count))) == RUN(first, (first) + (count)))

/* lib/paths/alloc.c: alloc_class; lib/slab/slab.c: bin_make_slab; lib/heap/heap.c: heap_take. A
 * block of `units`. */
inline allocate()
{
    heap_lock();
    d_step {
        s = (geometry[0] == 0 -> 0 : (geometry[1] == 0 -> 1 : NONE)); /* free_slabs */
        first = (ARE_FREE(0, units) -> 0
                                    : (ARE_FREE(1, units) -> 1 : (ARE_FREE(2, units) -> 2 : NONE)))
    }
    if
    :: s != NONE && first != NONE ->
        take_units(first, first + units);
        state[s] = FREE; /* states_reset */
        losing[t] = 1;
        geometry[s] = 4 * first + units;
        heap_unlock();
        class[s] = units; /* slab_fill */
        point_units(first, first + units, s); /* heap_show_slab */
        state[s] = LIVE; /* take_block */
        d_step { live[first] = units; losing[t] = 0 }
    :: else -> heap_unlock()
    fi
}

/* lib/paths/alloc.c: alloc_resize, resize_slab_in_place; lib/slab/slab.c: slab_resize;
 * lib/heap/heap.c: heap_resize. The block at unit `first` is to have `units`. */
inline resize()
{
    s = slab_of[first];
    assert(s != NOBODY);
    if
    :: state[s] == LIVE -> /* free_find_own */
        d_step { was = class[s]; assert(was == UNITS(geometry[s])) } /* usable_size */
#ifndef BUG_NO_LOCK
        heap_lock();
#endif
        if
        :: units > was ->
            if
#ifdef BUG_TAKES_UNSEEN
            :: first + units <= 3 ->
                free_units = free_units & (7 - RUN(first + was, first + units));
#else
            :: ARE_FREE(first + was, units - was) ->
                take_units(first + was, first + units); /* take_units_at */
#endif
#ifdef BUG_TAKES_FIRST
                heap_unlock();
                heap_lock();
#endif
#ifdef BUG_WITHDRAWN
                geometry[s] = 0;
#endif
                geometry[s] = 4 * first + units;
                point_units(first + was, first + units, s)
            :: else -> units = was
            fi
        :: units < was ->
#ifdef BUG_GIVES_FIRST
            give_units(first + units, first + was);
            heap_unlock();
            heap_lock();
#endif
            geometry[s] = 4 * first + units;
            give_units(first + units, first + was)
        :: units == was /* the program relied on less than it has */
        fi;
#ifndef BUG_NO_LOCK
        heap_unlock();
#endif
        class[s] = units; /* slab_resize: the owner's own fields */
        was = 0
    :: state[s] != LIVE /* a misuse, which is reported */
    fi;
    d_step {
        if
        :: live[first] != 0 -> live[first] = units /* the call returns the block */
        :: else
        fi;
        resizing = NONE
    }
}

/* lib/paths/free.h: free_own_block; lib/paths/free.c: free_check_slab. The block at unit
 * `first`. */
inline free_own()
{
    s = slab_of[first];
    assert(s != NOBODY);
    d_step { assert(state[s] == LIVE); state[s] = FREE }
    losing[t] = 0;
    release(s)
}

/* lib/arena/remote.c: remote_free; lib/paths/free.c: free_other. The geometry may have changed when
 * the state is changed. */
inline free_other()
{
    s = slab_of[first];
    assert(s != NOBODY);
    from = geometry[s];
    assert(from != 0 && FIRST(from) == first);
#ifdef BUG_FREES_BY_GEOMETRY
    if
    :: from == geometry[s] -> state[s] = REMOTE
    :: else
    fi;
#else
    d_step { assert(state[s] == LIVE); state[s] = REMOTE }
#endif
    losing[t] = 0;
    pending[s] = 1;
    pending_class[UNITS(from)] = 1;
    from = 0
}

/* lib/arena/remote.c: collect_heap; lib/slab/slab.c: slab_collect, slab_check. */
inline collect_slab(s)
{
    if
    :: geometry[s] != 0 && state[s] == REMOTE -> release(s)
    :: geometry[s] == 0 || state[s] != REMOTE
    fi
}

/* lib/arena/remote.c: remote_collect_class, for class `units`. */
inline collect_pending(s)
{
    if
    :: pending[s] && class[s] == units -> pending[s] = 0; collect_slab(s)
    :: else
    fi
}

inline collect_class()
{
    pending_class[units] = 0;
    collect_pending(0);
    collect_pending(1)
}

/* lib/arena/remote.c: remote_collect. It looks at each slab once in a generation, and so finds
 * blocks that a lost thread has freed without setting the bits. */
inline collect_all()
{
    d_step { pending_class[1] = 0; pending_class[2] = 0 }
    if
#ifndef BUG_LOOKS_AT_BITS
    :: !looked_at -> looked_at = 1; collect_slab(0); collect_slab(1)
#endif
    :: else ->
        if :: pending[0] -> pending[0] = 0; collect_slab(0) :: else fi;
        if :: pending[1] -> pending[1] = 0; collect_slab(1) :: else fi
    fi
}

/* lib/arena/idle.c: idle_trim; lib/heap/heap_set.c: heap_set_purge; lib/heap/heap.c: heap_purge. Of an arena that
 * another thread has. */
inline purge()
{
    heap_lock();
    due = free_units;
    d_step { assert((due & (RELIED_ON)) == 0); due = 0 } /* no block loses its contents */
    heap_unlock()
}

/* lib/arena/arena.c: rebuild_slab; lib/slab/slab.c: slab_rebuild, slab_fill. */
#ifdef BUG_KEEPS_CLASS
#define REBUILT_UNITS(s) class[s]
#else
#define REBUILT_UNITS(s) UNITS(geometry[s])
#endif

inline rebuild_slab(s)
{
    if
    :: geometry[s] != 0 && state[s] != LIVE -> heap_set_give(s)
    :: geometry[s] != 0 && state[s] == LIVE ->
        class[s] = REBUILT_UNITS(s);
        if
        :: d_step { state[s] == LIVE }
        :: state[s] != LIVE -> state[s] = FREE; release(s)
        fi
    :: geometry[s] == 0
    fi
}

/* lib/arena/arena.c: arena_adopt, arena_rebuild. */
inline adopt()
{
    lock_and_rebuild();
    heap_unlock();
    rebuild_slab(0);
    rebuild_slab(1);
    orphan = 0
}

/* ---- threads ---- */

#define BEGINS(t) (!final && !busy[t])

inline returns()
{
    d_step { busy[t] = 0; losing[t] = 0; s = 0; first = 0; units = 0 }
}

/* The program resizes the block at unit u. It no longer relies on units that it gives up. */
inline begin_resize(u, count)
{
    d_step {
        BEGINS(0) && live[u] != 0 && live[u] != count ->
        busy[0] = 1;
        first = u;
        units = count;
        resizing = u;
        if :: live[u] > count -> live[u] = count :: else fi
    }
}

inline begin_free(u)
{
    d_step {
#ifdef SAME_INSTANT
        BEGINS(t) && live[u] != 0 ->
#else
        BEGINS(t) && live[u] != 0 && resizing != u ->
#endif
        busy[t] = 1;
        losing[t] = 1;
        live[u] = 0;
        first = u
    }
}

/* A slab that is neither the program's nor free was a lost thread's. */
#define IS_LOST(s) ((geometry[s] != 0 && live[FIRST(geometry[s])] == 0) -> 1 : 0)

proctype owner()
{
    byte t = 0;
    byte s, first, units, unit, from, was;

end_begin:
    {
        if
        :: d_step { BEGINS(0) && orphan -> busy[0] = 1 }
            adopt();
            returns()
        :: !orphan
        fi;
end_outside:
        do
        :: d_step { BEGINS(0) -> busy[0] = 1; units = 1 } allocate(); returns()
        :: d_step { BEGINS(0) -> busy[0] = 1; units = 2 } allocate(); returns()

        :: begin_resize(0, 1) resize(); returns()
        :: begin_resize(0, 2) resize(); returns()
        :: begin_resize(1, 1) resize(); returns()
        :: begin_resize(1, 2) resize(); returns()

        :: begin_free(0) free_own(); returns()
        :: begin_free(1) free_own(); returns()
        :: begin_free(2) free_own(); returns()

        :: d_step { BEGINS(0) && pending_class[1] -> busy[0] = 1; units = 1 }
            collect_class(); returns()
        :: d_step { BEGINS(0) && pending_class[2] -> busy[0] = 1; units = 2 }
            collect_class(); returns()
        :: d_step { BEGINS(0) && (pending[0] || pending[1] || !looked_at) -> busy[0] = 1 }
            collect_all(); returns()

        :: atomic {
               BEGINS(0) && !busy[1] ->
               busy[0] = 1;
               final = 1;
               collect_all();
               heap_lock();
               heap_unlock();
               assert(IS_LOST(0) + IS_LOST(1) <= lost_blocks);
               returns()
           }
        od
    } unless { dead[0] };

    d_step {
        s = 0; first = 0; units = 0; unit = 0; from = 0; was = 0;
        busy[0] = 0; losing[0] = 0; resizing = NONE
    }
end_gone:
    do
    :: d_step { !busy[1] && !final -> dead[0] = 0 } goto end_begin
    od
}

proctype other()
{
    byte t = 1;
    byte s, first, units, unit, from;
    byte due;

end_outside:
    {
end_begin:
        do
        :: begin_free(0) free_other(); returns()
        :: begin_free(1) free_other(); returns()
        :: begin_free(2) free_other(); returns()
        :: d_step { BEGINS(1) -> busy[1] = 1 } purge(); returns()
        od
    } unless { dead[1] };

    d_step {
        s = 0; first = 0; units = 0; unit = 0; from = 0; due = 0;
        busy[1] = 0; losing[1] = 0
    }
end_gone:
    do
    :: d_step { !busy[0] && !final -> dead[1] = 0 } goto end_outside
    od
}

/* Brings the truth about a lost thread up to date. */
inline lose(l)
{
    if
    :: !dead[l] ->
        dead[l] = 1;
        lost_blocks = lost_blocks + losing[l];
        if :: holder == l -> holder = GONE :: else fi;
        if :: l == 0 -> orphan = 1 :: else fi
    :: else
    fi
}

active proctype fork()
{
    atomic {
        run owner();
        run other()
    }
end_forks:
    do
    :: d_step { !final && forks < FORKS && !dead[0] -> forks++; looked_at = 0; lose(1) }
    :: d_step { !final && forks < FORKS && !dead[1] -> forks++; looked_at = 0; lose(0) }
    od
}
