/*
 * Single-stepping by the trap flag of x86-64: an operation runs, and after each of its instructions
 * a function looks at what a child forked there would find. Tests that step are
 * TEST_UNLESS(NO_STEPS, ...): they do not run on other machines, nor where the code calls a runtime
 * that could not be called again from the handler.
 */
#ifndef ACRE_TESTS_UNIT_STEP_H
#define ACRE_TESTS_UNIT_STEP_H

#include "test.h"
#include "base/base.h"

#include <signal.h>
#include <ucontext.h>

static void (*step_look)(void);
static volatile sig_atomic_t stepping;
static volatile sig_atomic_t steps; /* instructions so far */

/* For `look`, in a child that it has forked: the operation goes on there without steps. */
static inline void step_end(void)
{
    stepping = 0;
}

#if defined(__x86_64__) && !defined(ACRE_TSAN)

#define NO_STEPS NULL

enum { TRAP_FLAG = 0x100 }; /* of the flags register: Intel SDM volume 1, 3.4.3 */

static const greg_t *step_registers;

/* True if the next instruction begins with these bytes: Intel SDM volume 2. */
static inline bool step_comes(unsigned char first, unsigned char second)
{
    const unsigned char *code = (const unsigned char *)step_registers[REG_RIP];
    return code[0] == first && code[1] == second;
}

/* For `look`: true if the system call of that number, SYS_..., is about to be made. */
static inline bool step_comes_call(long number)
{
    return step_comes(0x0f, 0x05) && step_registers[REG_RAX] == number;
}

static inline void step_on_trap(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (stepping) {
        steps++;
        step_registers = registers;
        step_look();
    }
    if (!stepping)
        registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static inline void step_begin(void)
{
    struct sigaction action = {.sa_sigaction = step_on_trap, .sa_flags = SA_SIGINFO};

    ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t" /* past the red zone */
                     "pushfq\n\t"
                     "orl %0, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 128(%%rsp), %%rsp"
                     :
                     : "i"(TRAP_FLAG)
                     : "memory", "cc");
}

#else

#define NO_STEPS "steps need x86-64, and no ThreadSanitizer"

static inline bool step_comes(unsigned char first, unsigned char second)
{
    return first == second;
}

static inline bool step_comes_call(long number)
{
    return number < 0;
}

static inline void step_begin(void)
{
    ck_abort_msg(NO_STEPS);
}

#endif

/* For `look`: true if a spinning loop is about to pause. */
static inline bool step_comes_pause(void)
{
    return step_comes(0xf3, 0x90);
}

/* Runs `operation`, and `look` after each instruction; returns how many there were. */
static inline int step_through(void (*operation)(void), void (*look)(void))
{
    step_look = look;
    steps = 0;
    stepping = 1;
    step_begin();
    operation();
    step_end();
    return steps;
}

#endif
