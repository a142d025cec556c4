/* Making system calls fail: see intercept.h. */
#include "check.h"

#include "intercept.h"
#include "plan.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

struct plan *plan;

/* ---- the errors ---- */

/* Instead of an errno code. */
enum {
    SHORT = -1, /* what is transferred is less than was asked for */
    HALF = -2,  /* ENOMEM, after a part of the range was changed */
};

enum { ERRORS_MOST = 24 };

/* The errors that the manual gives for each call of the library, but for those that its arguments
 * exclude (no address outside the process, no file system without a feature). ENOSYS and EPERM,
 * which a sandbox gives for any call, follow. */
static const struct call {
    unsigned number;
    const char *name;
    bool pages;
    short errors[ERRORS_MOST]; /* until 0 */
} calls[] = {
    {SYS_mmap, "mmap", true, {ENOMEM, EAGAIN, EEXIST, EINVAL}},
    {SYS_munmap, "munmap", true, {ENOMEM, EINVAL}},
    {SYS_mprotect, "mprotect", true, {ENOMEM, HALF, EACCES, EINVAL}},
    {SYS_mremap, "mremap", true, {ENOMEM, EAGAIN, EFAULT, EINVAL}},
    {SYS_madvise, "madvise", true, {EAGAIN, HALF, ENOMEM, EINVAL, EACCES, EBADF, EIO}},
    {SYS_mincore, "mincore", false, {EAGAIN, EFAULT, EINVAL, ENOMEM}},
    {SYS_getrandom, "getrandom", false, {EAGAIN, SHORT, EINTR, EFAULT, EINVAL}},
    {SYS_personality, "personality", false, {EINVAL}},
    {SYS_prlimit64, "prlimit64", false, {EFAULT, EINVAL, ESRCH}},
    {SYS_futex, "futex", false, {EAGAIN, EINTR, ETIMEDOUT, EFAULT, EINVAL}},
    {SYS_clock_gettime, "clock_gettime", false, {EINVAL, EFAULT}},
    {SYS_prctl, "prctl", false, {EINVAL, EFAULT}},
    {SYS_openat,
     "openat",
     false,
     {ENOENT, EACCES, EMFILE, ENFILE, ENOSPC, EROFS, EEXIST, EINTR, ELOOP, ENAMETOOLONG, ENOMEM,
      ENOTDIR, EISDIR, EDQUOT, ENODEV, ENXIO, EOVERFLOW, ETXTBSY, EINVAL}},
    {SYS_read, "read", false, {EIO, SHORT, EAGAIN, EINTR, EBADF, EISDIR, EINVAL, EFAULT}},
    {SYS_write,
     "write",
     false,
     {ENOSPC, SHORT, EINTR, EAGAIN, EIO, EBADF, EPIPE, EFBIG, EDQUOT, EDESTADDRREQ, EINVAL,
      EFAULT}},
    {SYS_close, "close", false, {EIO, EINTR, EBADF, ENOSPC, EDQUOT}},
    {SYS_fcntl, "fcntl", false, {EMFILE, EBADF, EINVAL, EAGAIN}},
    {SYS_newfstatat,
     "newfstatat",
     false,
     {ENOENT, EACCES, EBADF, ELOOP, ENAMETOOLONG, ENOMEM, ENOTDIR, EOVERFLOW, EINVAL, EFAULT}},
    {SYS_unlinkat,
     "unlinkat",
     false,
     {ENOENT, EACCES, EBUSY, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOMEM, ENOTDIR, EROFS, EFAULT}},
    {SYS_renameat,
     "renameat",
     false,
     {EACCES, ENOSPC, EROFS, EXDEV, EBUSY, EDQUOT, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT,
      ENOMEM, ENOTDIR, ENOTEMPTY, EINVAL, EFAULT}},
    {PLAN_CALL_THREAD, "pthread_create", false, {EAGAIN, EINVAL}},
    {PLAN_CALL_KEY, "pthread_key_create", false, {EAGAIN, ENOMEM}},
    {PLAN_CALL_SPECIFIC, "pthread_setspecific", false, {ENOMEM, EINVAL}},
    {PLAN_CALL_ACTION, "sigaction", false, {EINVAL, EFAULT}},
};

/* Errors of any system call. */
static const short any_errors[] = {ENOSYS, EPERM};

static const struct call *find_call(unsigned number)
{
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
}

/* Error number `error` of a call; 0 if there is none. */
static int error_of(unsigned number, unsigned error)
{
    const struct call *call = find_call(number);
    unsigned own = 0;
    if (call == NULL)
        return 0;
    while (call->errors[own] != 0)
        own++;
    if (error < own)
        return call->errors[error];
    return number < PLAN_SYSTEM_CALLS && error - own < COUNT_OF(any_errors)
               ? any_errors[error - own]
               : 0;
}

bool intercept_error_lasts(unsigned number, unsigned error)
{
    return error_of(number, error) != EINTR;
}

const char *intercept_error(unsigned number, unsigned error)
{
    int code = error_of(number, error);
    if (code == SHORT)
        return "short";
    if (code == HALF)
        return "ENOMEM half way";
    return code != 0 ? strerrorname_np(code) : NULL;
}

const char *intercept_name(unsigned number)
{
    const struct call *call = find_call(number);
    return call != NULL ? call->name : NULL;
}

bool intercept_is_of_pages(unsigned number)
{
    const struct call *call = find_call(number);
    return call != NULL && call->pages;
}

void intercept_for_each(void (*visit)(unsigned number, const char *name))
{
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        visit(calls[i].number, calls[i].name);
}

/* ---- features that a system may lack ---- */

/* Instead of an errno code. */
enum {
    IGNORED = 0,  /* success, and nothing is done */
    AS_HINT = -1, /* a flag of mmap that is not known: the call is made without it */
};

enum { ANY = 6, SAMES_MOST = 3 }; /* any arguments; values that ask for one feature */

/* What libc's headers may not have. */
enum {
    ADVICE_GUARD_INSTALL = 102,
    ADVICE_GUARD_REMOVE = 103,
    ADVICE_POPULATE = 22,
    SET_VMA = 0x53564d41
};

static const struct feature {
    const char *name;
    bool used;
    short answer;            /* without the feature */
    unsigned number;         /* of the system call */
    unsigned argument;       /* that says what is asked for: from 0, or ANY */
    long values[SAMES_MOST]; /* of it; of AS_HINT the flag */
} features[] = {
    /* before Linux 4.14: doc/fork.md */
    {"MADV_WIPEONFORK", true, EINVAL, SYS_madvise, 2, {MADV_WIPEONFORK}},
    /* before Linux 6.13 */
    {"MADV_GUARD_INSTALL",
     true,
     EINVAL,
     SYS_madvise,
     2,
     {ADVICE_GUARD_INSTALL, ADVICE_GUARD_REMOVE}},
    /* before Linux 4.17 */
    {"MAP_FIXED_NOREPLACE", true, AS_HINT, SYS_mmap, 3, {MAP_FIXED_NOREPLACE}},
    /* a kernel without transparent huge pages */
    {"MADV_HUGEPAGE", true, EINVAL, SYS_madvise, 2, {MADV_HUGEPAGE, MADV_NOHUGEPAGE}},
    {"getrandom", true, ENOSYS, SYS_getrandom, ANY, {0}}, /* before Linux 3.17 */
    {"advice", true, IGNORED, SYS_madvise, ANY, {0}},     /* emulators */
    {"MADV_FREE", false, EINVAL, SYS_madvise, 2, {MADV_FREE}},
    {"MADV_POPULATE_READ", false, EINVAL, SYS_madvise, 2, {ADVICE_POPULATE, ADVICE_POPULATE + 1}},
    {"PR_SET_VMA", false, EINVAL, SYS_prctl, 0, {SET_VMA}},
    {"membarrier", false, ENOSYS, SYS_membarrier, ANY, {0}},
};

const char *intercept_feature(unsigned f, bool *used)
{
    if (f >= COUNT_OF(features))
        return NULL;
    *used = features[f].used;
    return features[f].name;
}

bool intercept_lacks(const char *name)
{
    for (unsigned f = 0; f < COUNT_OF(features); f++)
        if (strcmp(features[f].name, name) == 0)
            return (plan->lacking >> f & 1) != 0;
    check_failed("there is a feature of that name", __func__, __FILE__, __LINE__);
}

/* True if a call asks for that feature. */
static bool asks_for(const struct feature *feature, unsigned number, const long *a)
{
    if (feature->number != number || feature->argument == ANY)
        return feature->number == number;
    for (size_t i = 0; i < SAMES_MOST && feature->values[i] != 0; i++)
        if (feature->answer == AS_HINT ? (a[feature->argument] & feature->values[i]) != 0
                                       : a[feature->argument] == feature->values[i])
            return true;
    return false;
}

/* True if a call asks for what the system lacks, and nothing is to be done; *result is the answer
 * then. Changes the call's arguments where the system would not see one. */
static bool is_lacking(unsigned number, long *a, long *result)
{
    for (unsigned f = 0; f < COUNT_OF(features); f++) {
        const struct feature *feature = &features[f];
        if (!asks_for(feature, number, a))
            continue;
        __atomic_fetch_add(&plan->asked[f], 1, __ATOMIC_RELAXED);
        if ((plan->lacking >> f & 1) == 0)
            continue;
        *result = -feature->answer;
        if (feature->answer != AS_HINT)
            return true;
        a[feature->argument] &= ~feature->values[0];
    }
    return false;
}

/* ---- the plan ---- */

static uintptr_t text, text_end; /* [constant] the library's code */
static uintptr_t base;           /* [constant] where its address 0 is */
static bool over;                /* in this process */

static bool is_library(const void *address)
{
    return (uintptr_t)address >= text && (uintptr_t)address < text_end;
}

bool intercept_is_on(void)
{
    return text != 0;
}

bool intercept_may_fail(size_t failed)
{
    return plan->failed != failed || (plan->how != PLAN_ONCE && plan->failed != 0 && !over);
}

void intercept_end(void)
{
    over = true;
}

void intercept_pass_ms(uint64_t ms)
{
    __atomic_fetch_add(&plan->clock, ms, __ATOMIC_RELAXED);
}

/* Notes that a call fails. */
static void note_failure(unsigned number, uintptr_t place)
{
    if (__atomic_fetch_add(&plan->failed, 1, __ATOMIC_RELAXED) == 0) {
        plan->number = number;
        plan->place = place - base;
    }
}

/* True if a call adds writable memory. */
static bool adds_memory(unsigned number, const long *a)
{
    switch (number) {
    case SYS_mmap:
    case SYS_mprotect:
        return (a[2] & PROT_WRITE) != 0;
    case SYS_mremap:
        return a[2] > a[1];
    default:
        return false;
    }
}

/* True if a call fails, as one before did. */
static bool goes_on(unsigned number, const long *a)
{
    switch (plan->how) {
    case PLAN_SAME_ON:
        return number == plan->number;
    case PLAN_PAGES_ON:
        return intercept_is_of_pages(number);
    case PLAN_MEMORY_ON:
        return adds_memory(number, a);
    default:
        return false;
    }
}

/* Tells calls apart by who called: a hash of all words above `stack` that are addresses in the
 * library, return addresses for the most part. */
static uint64_t path_of(const uintptr_t *stack)
{
    enum { WORDS = 192 }; /* libc has more on each thread's stack */
    uint64_t hash = 0;
    for (size_t i = 0; stack != NULL && i < WORDS; i++)
        if (is_library((void *)stack[i]))
            hash = random_mix(hash ^ (stack[i] - base));
    return hash;
}

/* A call of the library's. */
struct caught {
    unsigned number;
    long *a;                /* its arguments; NULL: a function of libc */
    uintptr_t place;        /* after its instruction */
    const uintptr_t *stack; /* NULL: not known */
};

/* Counts a call. Returns how it fails: an errno code, SHORT, HALF, or 0: it does not. */
static int count_call(const struct caught *call)
{
    bool clock = call->number == SYS_clock_gettime;
    struct plan_calls *calls = &plan->sequences[clock];
    size_t now = __atomic_add_fetch(&calls->count, 1, __ATOMIC_RELAXED);
    int error = 0;
    __atomic_fetch_add(&plan->seen[call->number], 1, __ATOMIC_RELAXED);
    if (plan->learning && now <= PLAN_NOTED)
        calls->noted[now - 1] = (struct plan_call){call->number, call->place - base,
                                                   call->place ^ path_of(call->stack)};
    if (clock == plan->of_clock && now == plan->at) {
        if (plan->how != PLAN_MEMORY_ON || adds_memory(call->number, call->a))
            error = error_of(call->number, plan->error);
    } else if (plan->failed != 0 && !over && goes_on(call->number, call->a)) {
        error = plan->how == PLAN_SAME_ON ? error_of(call->number, plan->error) : ENOMEM;
    }
    if (error != 0)
        note_failure(call->number, call->place);
    return error;
}

/* ---- answering ---- */

static long make(unsigned number, const long *a)
{
    long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -errno : result;
}

static struct {
    pid_t thread; /* waits at its next madvise; 0: none */
    void (*go)(void);
    bool other_waits;
} meeting;

void intercept_meet(void (*go)(void))
{
    meeting.go = go;
    meeting.other_waits = false;
    meeting.thread = gettid();
}

void intercept_met(void)
{
    if (meeting.thread != 0)
        meeting.go();
    meeting.thread = 0;
}

void intercept_meeting_ends(void)
{
    __atomic_store_n(&meeting.other_waits, true, __ATOMIC_RELEASE);
}

static void meet(unsigned number, const long *a)
{
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT)
        intercept_meeting_ends();
    if (number != SYS_madvise || meeting.thread != gettid())
        return;
    meeting.thread = 0;
    meeting.go();
    while (!__atomic_load_n(&meeting.other_waits, __ATOMIC_ACQUIRE))
        sched_yield();
}

/* A call that does less than it was asked for. */
static long make_partly(unsigned number, const long *a)
{
    enum { PAGE = 4096 };
    long part[6];
    memcpy(part, a, sizeof(part));
    if (number == SYS_read)
        return 0;
    if (number == SYS_getrandom) {
        *(char *)a[0] = 1;
        return 1;
    }
    if (number == SYS_write) {
        part[2] = (a[2] + 1) / 2;
        return make(number, part);
    }
    part[1] = (a[1] / 2 + PAGE - 1) / PAGE * PAGE; /* mprotect, madvise */
    make(number, part);
    return -ENOMEM;
}

static long answer(const struct caught *call)
{
    unsigned number = call->number;
    long *a = call->a, result;
    meet(number, a);
    if (is_lacking(number, a, &result))
        return result;
    int error = number < PLAN_SYSTEM_CALLS ? count_call(call) : 0;
    if (error == SHORT || error == HALF)
        return make_partly(number, a);
    if (error != 0) {
        if (number == SYS_close)
            make(number, a); /* Linux closes the descriptor, whatever it says: close(2) */
        return -error;
    }
    switch (number) {
    case SYS_clock_gettime: {
        uint64_t ms = __atomic_load_n(&plan->clock, __ATOMIC_RELAXED);
        *(struct timespec *)a[1] = (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
        return 0;
    }
    case SYS_personality:
        return 0; /* as if addresses were random */
    case SYS_getrandom:
        memset((void *)a[0], 0x5a, (size_t)a[1]);
        return a[1];
    default:
        return make(number, a);
    }
}

static void on_system_call(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    int saved = errno;
    mcontext_t *now = &((ucontext_t *)context)->uc_mcontext;
    struct caught call = {(unsigned)info->si_syscall, NULL, (uintptr_t)info->si_call_addr, NULL};
#if defined(__x86_64__)
    greg_t *r = now->gregs;
    call.a = (long[]){r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
    call.stack = (uintptr_t *)r[REG_RSP];
    r[REG_RAX] = answer(&call);
#elif defined(__aarch64__)
    long a[6];
    memcpy(a, now->regs, sizeof(a));
    call.a = a;
    call.stack = (uintptr_t *)now->sp;
    now->regs[0] = (unsigned long long)answer(&call);
#else
    (void)now, (void)call;
#endif
    errno = saved;
}

/* ---- functions of libc ---- */

/* True if the call of a function of libc, which returns to `caller`, is the library's and fails. */
static int libc_error(enum plan_libc_call number, const void *caller)
{
    struct caught call = {number, NULL, (uintptr_t)caller, NULL};
    return is_library(caller) ? count_call(&call) : 0;
}

/* The libc's own function of that name. */
static void *next_function(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    CHECK(function != NULL);
    return function;
}

#define CALLER __builtin_return_address(0)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int error = libc_error(PLAN_CALL_THREAD, CALLER);
    if (next == NULL)
        next = (typeof(next))(uintptr_t)next_function("pthread_create");
    return error != 0 ? error : next(thread, attributes, start, argument);
}

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    static int (*next)(pthread_key_t *, void (*)(void *));
    int error = libc_error(PLAN_CALL_KEY, CALLER);
    if (next == NULL)
        next = (typeof(next))(uintptr_t)next_function("pthread_key_create");
    return error != 0 ? error : next(key, destructor);
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
    static int (*next)(pthread_key_t, const void *);
    int error = libc_error(PLAN_CALL_SPECIFIC, CALLER);
    if (next == NULL)
        next = (typeof(next))(uintptr_t)next_function("pthread_setspecific");
    return error != 0 ? error : next(key, value);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    static int (*next)(int, const struct sigaction *, struct sigaction *);
    int error = libc_error(PLAN_CALL_ACTION, CALLER);
    if (next == NULL)
        next = (typeof(next))(uintptr_t)next_function("sigaction");
    if (error == 0)
        return next(number, action, old);
    errno = error;
    return -1;
}

/* The library's own thread blocks all signals; a system call that is caught there would end the
 * process. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t changed;
    if (set != NULL && how != SIG_UNBLOCK) {
        changed = *set;
        sigdelset(&changed, SIGSYS);
        set = &changed;
    }
    return syscall(SYS_rt_sigprocmask, how, set, old, _NSIG / 8) == 0 ? 0 : errno;
}

/* ---- beginning ---- */

/* Finds the library's code. */
static int find_text(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (strstr(info->dlpi_name, "libacre.so") == NULL)
        return 0;
    base = info->dlpi_addr;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            text = info->dlpi_addr + segment->p_vaddr;
            text_end = text + segment->p_memsz;
        }
    }
    return 1;
}

/* Sends each system call that an instruction of the library makes to the handler, or kills for it
 * if the plan does not allow it. False if the system has no such filters. */
static bool install_filter(void)
{
#if !defined(__x86_64__) && !defined(__aarch64__)
    return false; /* libc makes the library's system calls there */
#endif
    enum { IP = offsetof(struct seccomp_data, instruction_pointer) };
    enum { NUMBER = offsetof(struct seccomp_data, nr), CODE_MOST = 256 };
    uint32_t high = (uint32_t)(text >> 32);
    if (high != (uint32_t)(text_end >> 32))
        return false;
    struct sock_filter code[CODE_MOST] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)text, 0, 1),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)text_end, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
    };
    unsigned short used = 7;
    for (unsigned i = 0; i < PLAN_SYSTEM_CALLS && plan->confined; i++)
        if (plan->allowed[i]) {
            code[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1);
            code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
            CHECK(used < CODE_MOST - 2);
        }
    uint32_t rest = plan->confined ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP;
    code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, rest);
    struct sock_fprog program = {used, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Takes the vDSO away, so that clocks are read by system calls. The auxiliary vector follows the
 * environment. */
static void hide_vdso(char **environment)
{
    while (*environment != NULL)
        environment++;
    for (ElfW(auxv_t) *entry = (void *)(environment + 1); entry->a_type != AT_NULL; entry++)
        if (entry->a_type == AT_SYSINFO_EHDR)
            entry->a_type = AT_IGNORE;
}

void intercept_make_plan(void)
{
    int made = memfd_create("plan", 0);
    CHECK(made >= 0 && dup2(made, PLAN_FD) == PLAN_FD && close(made) == 0);
    CHECK(ftruncate(PLAN_FD, sizeof(struct plan)) == 0);
    plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, PLAN_FD, 0);
    CHECK(plan != MAP_FAILED);
}

/* In the process of a run, before any constructor: where there is a plan. */
static void begin(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments;
    void *pages = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, PLAN_FD, 0);
    if (pages == MAP_FAILED)
        return;
    plan = pages;
    dl_iterate_phdr(find_text, NULL);
    if (text == 0)
        return;
    struct sigaction action = {.sa_sigaction = on_system_call,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    hide_vdso(environment);
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
    if (!install_filter())
        text = 0;
}

__attribute__((section(".preinit_array"), used)) static void (*const begin_first)(int, char **,
                                                                                  char **) = begin;
