/* What the tests of guarded blocks share: the guard's start with a handler of the program's in
 * place, and guarded blocks when they are wanted. */
#ifndef ACRE_TESTS_UNIT_GUARDED_H
#define ACRE_TESTS_UNIT_GUARDED_H

#include "base/option.h"
#include "base/os.h"
#include "modes/guard.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 4096, DEFAULT_INTERVAL = 1000000 };

static sigjmp_buf after_fault;
static volatile sig_atomic_t faults; /* that came to the program's handler */

static inline void on_signal(int number)
{
    (void)number;
    faults++;
    siglongjmp(after_fault, 1);
}

static inline void start(uint64_t interval)
{
    char text[32];
    snprintf(text, sizeof text, "%ju", (uintmax_t)interval);
    ck_assert_int_eq(option_set_text("guard", text), 0);
    guard_start();
    guard_thread.generator = 12345; /* the same numbers in each run */
    guard_thread.countdown = (int64_t)interval;
}

/* With a handler of the program's in place. */
static inline void begin_guard(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    begin_without_decay();
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    start(DEFAULT_INTERVAL);
    ck_assert_uint_eq(os_page_size(), PAGE);
}

/* The next allocation is to be a guarded one. */
static inline void make_due(void)
{
    if (guard_thread.generator == 0)
        guard_thread.generator = 1;
    guard_thread.countdown = 1;
}

static NOINLINE __attribute__((unused)) char *guarded(size_t size)
{
    make_due();
    char *block = alloc_block(size);
    ck_assert(guard_has(block));
    return block;
}

/* A guarded block at its page's end, or its start. */
static inline char *guarded_at(size_t size, bool end)
{
    for (;;) {
        char *block = guarded(size);
        if (((uintptr_t)block % PAGE != 0) == end)
            return block;
        free_block(block);
    }
}

static inline uintptr_t page_of(const void *p)
{
    return align_down((uintptr_t)p, PAGE);
}

/* Writes to p: a fault leads to on_signal, and back. */
static inline void touch(void *p)
{
    if (sigsetjmp(after_fault, 1) == 0)
        *(volatile char *)p = 1;
}

#endif
