/*
 * Preloaded, takes the stack at every PERIODth malloc, by this library, by libgcc's unwinder and by
 * frame pointers alone. When the program ends, one line is appended to the file STACKS_OUTPUT:
 *
 *     taken N same N whole N depth N libgcc N pointers N
 *
 * stacks taken; as libgcc sees them; that end where there is no caller; frames in all, likewise by
 * libgcc and by frame pointers. malloc is that of libc.
 */
#include "base/os.h"
#include "modes/eh_frame.h"
#include "modes/loaded.h"
#include "modes/stack.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

enum { MOST = 250, PERIOD = 16 };

void *__libc_malloc(size_t size);

static uint64_t mallocs, taken, same, whole, depth, depth_libgcc, depth_pointers; /* atomic */
static __thread bool busy;                                                        /* taking one */

struct frames {
    uintptr_t at[MOST];
    size_t count;
};

static void add(uint64_t *counter, uint64_t by)
{
    __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *argument)
{
    struct frames *frames = argument;
    int is_exact = 0;
    uintptr_t address = _Unwind_GetIPInfo(context, &is_exact);
    if (address != 0 && frames->count < MOST)
        frames->at[frames->count++] = address + (uintptr_t)is_exact;
    return _URC_NO_REASON;
}

/* True if the frame of that return address has no caller. */
static bool is_outermost(uintptr_t address)
{
    struct readable memory = {.to = UINTPTR_MAX};
    struct loaded image;
    uintptr_t source, pc = address - 1;
    return loaded_find(&memory, pc, &image) && image.tables != 0 &&
           eh_frame_rule(&memory, image.tables, pc, &source).address == FRAME_OUTERMOST;
}

/* How many frames there are by frame pointers: up the stack, to what is code. */
static size_t count_by_pointers(const uintptr_t *fp)
{
    size_t count = 0;
    struct readable memory = {.to = UINTPTR_MAX};
    struct loaded image;
    while (count < MOST && (uintptr_t)fp % sizeof(*fp) == 0 &&
           readable_has(&memory, (uintptr_t)fp, 2 * sizeof(*fp)) &&
           loaded_find(&memory, fp[1], &image)) {
        count++;
        if (fp[0] <= (uintptr_t)fp || fp[0] - (uintptr_t)fp > MIB)
            break;
        fp = (const uintptr_t *)fp[0];
    }
    return count;
}

static __attribute__((noinline)) void take(void)
{
    struct frames own, truth = {.count = 0};
    own.count = stack_take(own.at, MOST);
    _Unwind_Backtrace(note, &truth);
    /* those of this library are in the one only */
    size_t left_out = 0;
    while (left_out < truth.count && own.count != 0 && truth.at[left_out] != own.at[0])
        left_out++;
    truth.count -= left_out;
    add(&taken, 1);
    add(&same, own.count == truth.count || own.count == MOST
                   ? memcmp(own.at, truth.at + left_out, truth.count * sizeof(own.at[0])) == 0
                   : 0);
    add(&whole, own.count == MOST || (own.count != 0 && is_outermost(own.at[own.count - 1])));
    add(&depth, own.count);
    add(&depth_libgcc, truth.count);
    add(&depth_pointers, count_by_pointers(__builtin_frame_address(0)));
}

void *malloc(size_t size)
{
    if (__atomic_fetch_add(&mallocs, 1, __ATOMIC_RELAXED) % PERIOD == 0 && !busy) {
        busy = true;
        take();
        busy = false;
    }
    return __libc_malloc(size);
}

__attribute__((destructor)) static void write_counts(void)
{
    char line[200];
    const char *path = getenv("STACKS_OUTPUT");
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    int length = snprintf(line, sizeof(line),
                          "taken %llu same %llu whole %llu depth %llu libgcc %llu pointers %llu\n",
                          (unsigned long long)taken, (unsigned long long)same,
                          (unsigned long long)whole, (unsigned long long)depth,
                          (unsigned long long)depth_libgcc, (unsigned long long)depth_pointers);
    if (fd >= 0) {
        os_write(fd, line, (size_t)length);
        close(fd);
    }
}
