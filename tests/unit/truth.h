/*
 * A stack as this library and as libgcc's unwinder sees it, from the same function. libgcc tells
 * the truth here: exceptions need it.
 */
#ifndef ACRE_TESTS_UNIT_TRUTH_H
#define ACRE_TESTS_UNIT_TRUTH_H

#include "modes/stack.h"

#include <stdbool.h>
#include <unwind.h>

enum { TRUTH_MOST = 320 };

struct view_of_stack {
    uintptr_t frames[TRUTH_MOST];
    size_t count;
};

/* By this library, and by libgcc. The first frame of each is in the function that looks. */
static __thread struct view_of_stack seen, truth;

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
