/* Single-stepping: see step.h. */
#include "check.h"

#include "crew.h"
#include "figures.h"
#include "step.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

enum {
    TRAP_FLAG = 0x100,           /* of the flags register: Intel SDM volume 1, 3.4.3 */
    ADDRESSES = 1 << 15,         /* places in the table of addresses, a power of two */
    HANDLER_STACK = 64 << 10,    /* bytes */
    CHILD_HANG_SECONDS = 120,    /* a child that runs that long hangs */
    SCENARIO_HANG_SECONDS = 900, /* a scenario that runs that long hangs, unless it takes all */
    FAILURES_MOST = 5,           /* a scenario with more failed children ends */
};

bool step_all, step_few, step_bare;
uint64_t step_seed;
const char *step_scenario;

/* Code of the test program itself: names of the linker. */
extern const char __executable_start[], etext[];

/* Written by the stepped thread, but for `state`. */
static struct {
    volatile sig_atomic_t on;       /* between step_begin and step_end */
    volatile sig_atomic_t in_child; /* forked by the handler */
    uintptr_t address;              /* of the instruction that comes next */
    size_t forks;                   /* in this process */
    size_t repeats;                 /* visits at which there need not be a fork */
    unsigned failures;              /* children that failed */
    struct random random;
    uintptr_t library, libc;      /* where they are mapped */
    uint32_t state;               /* futex; enum handshake */
    volatile sig_atomic_t losing; /* the thread is to stop for ever, without forks before: */
    size_t lose_at;               /* at this step; 0: at none */
    size_t lose_steps;            /* so far */
} step;

/* Between the stepped thread and the one that forks for it. */
enum handshake {
    RUNNING, /* the thread runs */
    STOPPED, /* it waits in its handler for a fork */
    FINISHED /* there will be no more stops */
};

/* How often each address was visited; open addressing. */
static struct visits {
    uintptr_t address; /* 0: unused */
    size_t count;
} visits[ADDRESSES];

/* ---- which instructions ---- */

static struct visits *visits_of(uintptr_t address)
{
    size_t place = (address * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
    for (;; place++) {
        struct visits *found = &visits[place % ADDRESSES];
        if (found->address == 0)
            found->address = address;
        if (found->address == address)
            return found;
    }
}

static bool is_own_code(uintptr_t address)
{
    return address >= (uintptr_t)__executable_start && address < (uintptr_t)etext;
}

static bool is_library(uintptr_t address)
{
    return address - step.library < FIGURES_TEXT;
}

/* In how many forks so far, in all scenarios, it was this instruction; NULL if it is neither of the
 * library nor of libc. */
static uint8_t *forks_at(uintptr_t address)
{
    if (is_library(address))
        return &figures->forks_at[address - step.library];
    if (address - step.libc < FIGURES_LIBC)
        return &figures->forks_at_libc[address - step.libc];
    return NULL;
}

/* True if there is to be a fork at this instruction. */
static bool is_chosen(uintptr_t address)
{
    const uint8_t *forks = forks_at(address);
    bool seldom = forks != NULL && *forks < STEP_ALWAYS;
    bool first = visits_of(address)->count++ == 0 && !step_few && !step_bare;
    if ((first && seldom) || step_all)
        return true;
    size_t repeats = ++step.repeats;
    return repeats <= STEP_REPEATS || random_below(&step.random, repeats) < STEP_REPEATS;
}

/* ---- the fork ---- */

/* Where the thread stood, for a person. */
static void print_place(const char *what, int number)
{
    Dl_info info;
    const char *file = "?";
    uintptr_t offset = step.address;
    if (dladdr((void *)step.address, &info) != 0) {
        file = info.dli_fname;
        offset -= (uintptr_t)info.dli_fbase;
    }
    fprintf(stderr, "%s: fork %zu, at %s+0x%zx: the child %s %d\n", step_scenario, step.forks, file,
            (size_t)offset, what, number);
}

/* Waits for the child of one fork; a failure is printed and counted. */
static void judge(pid_t child)
{
    int status = wait_for(child);
    if (status == 0)
        return;
    if (WIFSIGNALED(status))
        print_place("died of signal", WTERMSIG(status));
    else
        print_place("failed with status", WEXITSTATUS(status));
    if (++step.failures == FAILURES_MOST)
        _exit(1);
}

static void count_fork(void)
{
    step.forks++;
    figures->forks++;
    uint8_t *forks = forks_at(step.address);
    if (!step_bare && forks != NULL && *forks < UINT8_MAX)
        ++*forks;
}

static void futex_wait(uint32_t expected)
{
    syscall(SYS_futex, &step.state, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void set_state(enum handshake state)
{
    __atomic_store_n(&step.state, state, __ATOMIC_RELEASE);
    syscall(SYS_futex, &step.state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static uint32_t get_state(void)
{
    return __atomic_load_n(&step.state, __ATOMIC_ACQUIRE);
}

/* Has a process forked. True in the child, if this thread is in it. */
static bool fork_now(void)
{
    count_fork();
    if (step_mode == STEP_OTHER) {
        set_state(STOPPED);
        while (get_state() == STOPPED)
            futex_wait(STOPPED);
        return false;
    }
    pid_t child = step_bare ? _Fork() : fork();
    if (child == 0) {
        alarm(CHILD_HANG_SECONDS);
        return true;
    }
    judge(child);
    return false;
}

void step_fork_for_other(void (*run_child)(void))
{
    for (;;) {
        while (get_state() == RUNNING)
            futex_wait(RUNNING);
        if (get_state() == FINISHED)
            return;
        pid_t child = step_bare ? _Fork() : fork();
        if (child == 0) {
            alarm(CHILD_HANG_SECONDS);
            run_child();
        }
        judge(child);
        set_state(RUNNING);
    }
}

void step_limit_time(void)
{
    alarm(step_all ? 0 : SCENARIO_HANG_SECONDS);
}

void step_go_on_in_child(void)
{
    alarm(0);
    pid_t child = fork();
    if (child != 0) {
        _exit(wait_for(child) == 0 ? 0 : 1);
    }
    step_limit_time();
    crew_survived();
}

static void *(*lose_start)(void *);

static void *run_to_be_lost(void *unused)
{
    lose_start(unused);
    set_state(FINISHED);
    return unused;
}

/* How many steps the thread makes, tried in a process of its own. */
static size_t measure(void)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_HANG_SECONDS);
        join(crew_start(run_to_be_lost, NULL));
        figures->measured = step.lose_steps;
        _exit(0);
    }
    check_child(child);
    CHECK(figures->measured != 0);
    return figures->measured;
}

/* The thread runs in a child as it did when it was measured; should it all the same come to its
 * end, nothing is lost. */
void step_lose_thread(void *(*start)(void *))
{
    lose_start = start;
    step.losing = true;
    step.lose_at = 1 + random_below(&step.random, measure());
    step_go_on_in_child();
    crew_start(run_to_be_lost, NULL);
    while (get_state() == RUNNING)
        futex_wait(RUNNING);
    step_go_on_in_child();
    step.losing = false;
    step.state = RUNNING;
}

void step_finish(void)
{
    set_state(FINISHED);
}

unsigned step_failures(void)
{
    return step.failures;
}

size_t step_fork_number(void)
{
    return step.forks;
}

/* ---- the trap ---- */

#ifdef __x86_64__

/* The address of the instruction that the interrupted thread comes to next. */
static uintptr_t next_instruction(const ucontext_t *interrupted)
{
    return (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
}

static void clear_trap_flag(ucontext_t *interrupted)
{
    interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* The flag is in force from the instruction after popfq on. The bytes below the stack pointer may
 * be in use by the function that this is part of. */
static void set_trap_flag(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "pushfq\n\t"
                     "orl %0, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 128(%%rsp), %%rsp"
                     :
                     : "i"(TRAP_FLAG)
                     : "cc", "memory");
}

#else

static uintptr_t next_instruction(const ucontext_t *interrupted)
{
    (void)interrupted;
    return 0;
}

static void clear_trap_flag(ucontext_t *interrupted)
{
    (void)interrupted;
}

static void set_trap_flag(void)
{
}

#endif

/* A step of a thread that may be lost at it. */
static void count_towards_loss(void)
{
    if (++step.lose_steps != step.lose_at)
        return;
    set_state(STOPPED);
    sleep_for_ever();
}

/* In a child whose thread goes on, and after step_end, the flag is taken away. */
static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)signal_number;
    (void)info;
    step.address = next_instruction(context);
    if (step.on && step.losing && !is_own_code(step.address)) {
        count_towards_loss();
    } else if (step.on && !step.in_child && !is_own_code(step.address)) {
        figures->steps++;
        figures->library_steps += is_library(step.address);
        if (is_chosen(step.address) && fork_now())
            step.in_child = true;
    }
    if (!step.on || step.in_child)
        clear_trap_flag(context);
    errno = saved;
}

void step_install(void)
{
    Dl_info info;
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) != 0);
    step.library = (uintptr_t)info.dli_fbase;
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "abort"), &info) != 0);
    step.libc = (uintptr_t)info.dli_fbase;
    step.random.state = step_seed;
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
}

void step_prepare_thread(void)
{
    static char stack[HANDLER_STACK];
    stack_t handler_stack = {.ss_sp = stack, .ss_size = sizeof(stack)};
    CHECK(sigaltstack(&handler_stack, NULL) == 0);
}

void step_begin(void)
{
    step.on = true;
    set_trap_flag();
}

void step_end(void)
{
    step.on = false;
    /* here the flag goes, where it still is set */
    __asm__ volatile("nop" : : : "memory");
}

bool step_in_child(void)
{
    return step.in_child;
}

bool step_is_possible(void)
{
    step_prepare_thread();
    step.address = 0;
    step_begin();
    step_end();
    return step.address != 0;
}
