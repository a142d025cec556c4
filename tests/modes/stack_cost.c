/*
 * What a stack costs: stack_take, libgcc's _Unwind_Backtrace and glibc's backtrace, on the same two
 * stacks; a rule that is not in the cache; and frame pointers alone, where they are. The least of
 * many rounds, in ns. Run by hand.
 */
#include "modes/eh_frame.h"
#include "modes/loaded.h"
#include "modes/stack.h"

#include <execinfo.h>
#include <stdio.h>
#include <time.h>
#include <unwind.h>

enum { MOST = 64, ROUNDS = 3000, CALLS = 20, SHALLOW = 5, DEEP = 45 };

static uintptr_t frames[MOST];
static size_t count;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void by_frame_pointers(void)
{
    const uintptr_t *fp = __builtin_frame_address(0);
    for (count = 0; count < MOST && fp[0] > (uintptr_t)fp && fp[0] - (uintptr_t)fp < MIB; count++) {
        frames[count] = fp[1];
        fp = (const uintptr_t *)fp[0];
    }
}

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *ignored)
{
    (void)ignored;
    if (count < MOST)
        frames[count++] = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

static void by_libgcc(void)
{
    count = 0;
    _Unwind_Backtrace(note, NULL);
}

static void by_glibc(void)
{
    void *addresses[MOST];
    count = (size_t)backtrace(addresses, MOST);
}

/* The rules of the frames of the last stack, as where the cache has none. */
static void by_tables(void)
{
    struct readable memory = {.to = UINTPTR_MAX};
    struct loaded image;
    uintptr_t source;
    for (size_t i = 0; i < count; i++)
        if (loaded_find(&memory, frames[i] - 1, &image))
            eh_frame_rule(&memory, image.tables, frames[i] - 1, &source);
}

static void by_stack_take(void)
{
    count = stack_take(frames, MOST);
}

static const struct {
    const char *name;
    void (*run)(void);
} ways[] = {
    {"frame pointers", by_frame_pointers},
    {"_Unwind_Backtrace", by_libgcc},
    {"backtrace", by_glibc},
    {"stack_take", by_stack_take},
    {"rules alone", by_tables},
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static double least(void (*run)(void))
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < CALLS; i++)
            run();
        double each = (now() - start) / CALLS;
        if (each < best)
            best = each;
    }
    return best;
}

struct figures {
    double ns[WAYS];
    size_t count[WAYS];
};

static __attribute__((noinline)) int descend(int depth, struct figures *figures)
{
    volatile char room[48];
    room[0] = (char)depth;
    if (depth != 0)
        return descend(depth - 1, figures) + room[0];
    for (int i = 0; i < WAYS; i++) {
        figures->ns[i] = least(ways[i].run);
        figures->count[i] = count;
    }
    return 1;
}

int main(void)
{
    struct figures shallow, deep;
    descend(SHALLOW, &shallow);
    descend(DEEP, &deep);
    for (int i = 0; i < WAYS; i++)
        printf("%-18s %6.0f ns for %zu frames, %6.0f for %zu, %5.1f for each further one\n",
               ways[i].name, shallow.ns[i], shallow.count[i], deep.ns[i], deep.count[i],
               (deep.ns[i] - shallow.ns[i]) / (DEEP - SHALLOW));
    return 0;
}
