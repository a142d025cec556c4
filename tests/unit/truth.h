/*
 * A stack as this library and as libgcc's unwinder sees it, from the same function. libgcc tells
 * the truth here: exceptions need it.
 */
#ifndef ACRE_TESTS_UNIT_TRUTH_H
#define ACRE_TESTS_UNIT_TRUTH_H

#include "base/base.h"
#include "modes/stack.h"

#include <stdbool.h>
#include <unwind.h>

enum { TRUTH_MOST = 320 };

struct view_of_stack {
    uintptr_t frames[TRUTH_MOST];
    size_t count;
};

enum { TRUTH_THREADS = 64 };

/* What a thread has seen, by this library and by libgcc. The first frame of each is in the function
 * that looks. Not thread-local itself: that would take room from each thread's stack. */
struct views_of_stack {
    struct view_of_stack seen, truth;
};

static ALWAYS_INLINE struct views_of_stack *own_views(void)
{
    static struct views_of_stack views[TRUTH_THREADS];
    static unsigned taken; /* [any] */
    static __thread struct views_of_stack *own;
    if (own == NULL)
        own = &views[__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED) % TRUTH_THREADS];
    return own;
}

#define seen (own_views()->seen)
#define truth (own_views()->truth)

static inline _Unwind_Reason_Code note_truth(struct _Unwind_Context *context, void *ignored)
{
    int is_exact = 0; /* not after a call: where a signal arrived */
    uintptr_t address = _Unwind_GetIPInfo(context, &is_exact);
    (void)ignored;
    if (address != 0 && truth.count < TRUTH_MOST)
        truth.frames[truth.count++] = address + (uintptr_t)is_exact;
    return _URC_NO_REASON;
}

/* Looks at the stack in both ways. */
#define LOOK_AT_STACK()                                                                            \
    do {                                                                                           \
        seen.count = stack_take(seen.frames, TRUTH_MOST);                                          \
        truth.count = 0;                                                                           \
        _Unwind_Backtrace(note_truth, NULL);                                                       \
        __asm__ volatile(""); /* a call, no jump */                                                \
    } while (0)

/* The first frame that differs, those in the looking function aside; -1 if none does. */
static inline int truth_differs(void)
{
    if (seen.count == 0 || truth.count == 0)
        return 0;
    size_t i = 1;
    while (i < seen.count && i < truth.count && seen.frames[i] == truth.frames[i])
        i++;
    return i == seen.count && i == truth.count ? -1 : (int)i;
}

#endif
