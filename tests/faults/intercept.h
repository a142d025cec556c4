/*
 * Every system call that the library makes, and no other, is led here (by a seccomp filter that
 * looks at the instruction's address, and a handler of SIGSYS): it is counted, and fails if the
 * plan says so, or ends the process if it does not allow it. That begins before the first
 * constructor. The library's clock is the plan's: it stands still unless the program moves it. So
 * is what getrandom gives.
 */
#ifndef ACRE_TESTS_FAULTS_INTERCEPT_H
#define ACRE_TESTS_FAULTS_INTERCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef SYS_renameat /* riscv64 */
#define SYS_renameat SYS_renameat2
#endif

/* Makes the plan, for the processes of runs, too. */
void intercept_make_plan(void);

/* True if calls come by here in this process. */
bool intercept_is_on(void);

/* True if a system call that failed since `failed` (plan->failed then) may be why a request fails
 * now, or if calls fail from some number on. */
bool intercept_may_fail(size_t failed);

/* From here on nothing fails in this process, except a call that is to fail once. */
void intercept_end(void);

/* Moves the library's clock. */
void intercept_pass_ms(uint64_t ms);

/*
 * Has the next madvise of the calling thread call go() first, and then wait until another thread
 * waits for a futex, so that it waits for a lock that the calling thread holds. intercept_met()
 * calls go() if there was no madvise.
 */
void intercept_meet(void (*go)(void));
void intercept_met(void);

/* The other thread will wait for nothing more. */
void intercept_meeting_ends(void);

/* The name of a system call or of a PLAN_CALL_...; NULL if it is not one of the library's. */
const char *intercept_name(unsigned number);

/* True for calls that map, unmap or change pages. */
bool intercept_is_of_pages(unsigned number);

/* Calls visit for each system call of the library that may fail. */
void intercept_for_each(void (*visit)(unsigned number, const char *name));

/* True if the error may come again and again: EINTR, for which a call is made again, does not. */
bool intercept_error_lasts(unsigned number, unsigned error);

/*
 * Feature f of the system, from 0, that later versions have or a system may be built without: its
 * name, NULL after the last one. *used: the library asks for it. With its bit in plan->lacking the
 * system answers as one that does not have it, from the first call on.
 */
const char *intercept_feature(unsigned f, bool *used);

/* True if the feature of that name is lacking in this run. */
bool intercept_lacks(const char *name);

/* The text of a run's error number `error` of a call; NULL if it has no such error. */
const char *intercept_error(unsigned number, unsigned error);

#endif
