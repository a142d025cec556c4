/*
 * Stacks are right: those of functions with and without frame pointers, which note their return
 * addresses as they run; and at each instruction of these functions, compared with libgcc's
 * unwinder. Also on stacks of all kinds, in signal handlers, children and threads, while libraries
 * are opened and closed, with any frame pointer, and at the end of what can be read.
 */
#include "test.h"
#include "modes/stack.h"
#include "chains.h"
#include "child.h"
#include "common/random.h"
#include "in_thread.h"
#include "sanitized.h"
#include "step.h"
#include "truth.h"

#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void begin_test(void);
SUITE(stack, .begin = begin_test);

enum {
    LENGTH = 12,       /* of most chains */
    STACK = 512 << 10, /* bytes of a stack of our own */
    MIXES = 60,        /* chains of all kinds of functions */
    THREADS = 4,
    CHAINS = 300, /* of each thread */
    OPENED = 6,   /* times that a library is opened */
};

static chain_run *const runs[] = {chain_run_framed, chain_run_bare};
enum { RUNS = COUNT_OF(runs) };

/* libgcc opens itself at its first call. */
static void begin_test(void)
{
    LOOK_AT_STACK();
}

/* ---- chains ---- */

static __attribute__((noinline)) void look(struct chain *chain)
{
    chain->returns[chain->depth++] = (uintptr_t)__builtin_return_address(0);
    LOOK_AT_STACK();
}

/* The index of the frame at which the frames of the chain begin, in their order; -1 if nowhere. */
static int place_of(const struct chain *chain)
{
    for (size_t at = 0; at + chain->depth <= seen.count; at++) {
        size_t same = 0;
        while (same < chain->depth &&
               seen.frames[at + same] == chain->returns[chain->depth - 1 - same])
            same++;
        if (same == chain->depth)
            return (int)at;
    }
    return -1;
}

/* A chain of random links, all alike if `only` is one of them. */
static struct chain make_chain(struct random *random, size_t only, size_t length,
                               enum chain_link links[CHAIN_MOST])
{
    for (size_t i = 0; i < length; i++)
        links[i] = (enum chain_link)(only < LINKS ? only : random_below(random, LINKS));
    return (struct chain){.links = links, .length = length, .leaf = look};
}

/* True if a chain of that kind is seen as it is. */
static bool sees_chain(struct random *random, chain_run *run, size_t only)
{
    enum chain_link links[CHAIN_MOST];
    struct chain chain = make_chain(random, only, LENGTH, links);
    run(&chain);
    return place_of(&chain) == 1 && truth_differs() < 0;
}

TEST_LOOP(all_kinds_of_functions_are_left, 0, RUNS *LINKS)
{
    struct random random = {1};
    ck_assert(sees_chain(&random, runs[_i % RUNS], (size_t)_i / RUNS));
}

TEST_LOOP(functions_of_all_kinds_mix, 0, RUNS)
{
    struct random random = {2};
    for (int i = 0; i < MIXES; i++)
        ck_assert(sees_chain(&random, runs[_i], LINKS));
}

static size_t asked_for;

static __attribute__((noinline)) void look_up_to(struct chain *chain)
{
    chain->returns[chain->depth++] = (uintptr_t)__builtin_return_address(0);
    for (size_t i = 0; i < TRUTH_MOST; i++)
        seen.frames[i] = 1;
    seen.count = stack_take(seen.frames, asked_for);
}

TEST_LOOP(as_many_frames_as_asked_for_are_stored, 0, RUNS)
{
    static const size_t most[] = {0, 1, 2, 17, 64, 200};
    struct random random = {3};
    for (size_t i = 0; i < COUNT_OF(most); i++) {
        enum chain_link links[CHAIN_MOST];
        struct chain chain = make_chain(&random, LINK_PLAIN, 250, links);
        chain.leaf = look_up_to;
        asked_for = most[i];
        runs[_i](&chain);
        ck_assert_uint_eq(seen.count, most[i]);
        for (size_t f = 1; f < most[i]; f++)
            ck_assert_uint_eq(seen.frames[f], chain.returns[chain.depth - f]);
        ck_assert_uint_eq(seen.frames[most[i]], 1);
    }
}

TEST(errno_stays_and_nothing_is_allocated)
{
    uintptr_t frames[64];
    size_t before = mallinfo2().uordblks;
    errno = EXDEV;
    size_t count = stack_take(frames, COUNT_OF(frames));
    int error = errno;
    size_t after = mallinfo2().uordblks; /* Check's own assertions may allocate */
    ck_assert_uint_gt(count, 2);
    ck_assert_int_eq(error, EXDEV);
    ck_assert_uint_eq(after, before);
}

/* ---- signals ---- */

static void look_in_handler(int signal_number)
{
    (void)signal_number;
    LOOK_AT_STACK();
}

static __attribute__((noinline)) void be_interrupted(struct chain *chain)
{
    chain->returns[chain->depth++] = (uintptr_t)__builtin_return_address(0);
    raise(SIGUSR1);
    __asm__ volatile(""); /* no jump to raise */
}

/* In a handler, on the same stack and on another one. */
TEST_LOOP(a_handler_sees_what_it_interrupted, 0, 2 * RUNS)
{
    static char other[STACK];
    enum chain_link links[CHAIN_MOST];
    struct random random = {4};
    struct chain chain = make_chain(&random, LINKS, LENGTH, links);
    stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};
    struct sigaction action = {.sa_handler = look_in_handler,
                               .sa_flags = _i < RUNS ? SA_ONSTACK : 0};

    ck_assert_int_eq(sigaltstack(&stack, NULL), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    chain.leaf = be_interrupted;
    runs[_i % RUNS](&chain);
    ck_assert_int_gt(place_of(&chain), 1);
    ck_assert_int_lt(truth_differs(), 0);
}

static size_t instructions, wrong;

static void look_at_instruction(void)
{
    LOOK_AT_STACK();
    instructions++;
    wrong += truth_differs() >= 0;
}

static __attribute__((noinline)) void do_nothing(struct chain *chain)
{
    __asm__ volatile("" : : "r"(chain) : "memory");
}

#define NO_LOOKS_AT_STEPS (UNDER_SANITIZER ? "steps go through the sanitizer's code" : NO_STEPS)

/* A signal may arrive at any instruction: where a function begins, sets up its frame, ends. Not
 * those of functions that align their stack: while they do, the frame is counted from a register
 * that is not followed. */
TEST_LOOP_UNLESS(NO_LOOKS_AT_STEPS, at_each_instruction_the_stack_is_seen, 0, RUNS)
{
    static const enum chain_link links[] = {LINK_ALLOCA, LINK_PLAIN,     LINK_LARGE, LINK_ARGUMENTS,
                                            LINK_LARGE,  LINK_ARGUMENTS, LINK_PLAIN, LINK_ALLOCA};
    struct chain chain = {.links = links, .length = COUNT_OF(links), .leaf = do_nothing};
    step_look = look_at_instruction;
    stepping = 1;
    step_begin();
    runs[_i](&chain);
    step_end();
    ck_assert_uint_gt(instructions, 200);
    ck_assert_uint_eq(wrong, 0);
}

/* ---- stacks of the program's own making ---- */

static struct chain *chain_there;
static chain_run *run_there;
static ucontext_t back;

static void run_chain_there(void)
{
    run_there(chain_there);
}

/* Pages for a stack, with one without access at each end. */
static char *make_stack(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, STACK + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    ck_assert_int_eq(mprotect(pages + page, STACK, PROT_READ | PROT_WRITE), 0);
    return pages + page;
}

static void run_on(char *stack, chain_run *run, struct chain *chain)
{
    ucontext_t there;
    ck_assert_int_eq(getcontext(&there), 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK;
    there.uc_link = &back;
    chain_there = chain;
    run_there = run;
    makecontext(&there, run_chain_there, 0);
    ck_assert_int_eq(swapcontext(&back, &there), 0);
}

TEST_LOOP(a_coroutine_has_its_own_stack, 0, RUNS)
{
    enum chain_link links[CHAIN_MOST];
    struct random random = {6};
    struct chain chain = make_chain(&random, LINKS, LENGTH, links);
    run_on(make_stack(), runs[_i], &chain);
    ck_assert_int_eq(place_of(&chain), 1);
    ck_assert_int_lt(truth_differs(), 0);
    ck_assert_uint_le(seen.count, chain.depth + 4);
}

/* ---- code without tables ---- */

/* Calls function(argument) with the frame pointer `fp`, or with its own. */
typedef void call_with(void (*function)(struct chain *), struct chain *argument, uintptr_t fp);

#ifdef __aarch64__
/* stp x29, x30, [sp, -16]!; mov x29, x2; mov x3, x0; mov x0, x1; blr x3; ldp x29, x30, [sp], 16;
 * ret */
static const uint32_t code[] = {0xa9bf7bfd, 0xaa0203fd, 0xaa0003e3, 0xaa0103e0,
                                0xd63f0060, 0xa8c17bfd, 0xd65f03c0};
static const uint32_t own_frame[] = {0x910003fd}; /* mov x29, sp */
enum { FRAME_AT = 4, AFTER_CALL = 20, ABOVE_RECORD = 0 };
#elif defined(__riscv)
/* addi sp, sp, -16; sd ra, 8(sp); sd s0, 0(sp); mv s0, a2; mv a5, a0; mv a0, a1; jalr a5; ld ra,
 * 8(sp); ld s0, 0(sp); addi sp, sp, 16; ret */
static const uint32_t code[] = {0xff010113, 0x00113423, 0x00813023, 0x00060413,
                                0x00050793, 0x00058513, 0x000780e7, 0x00813083,
                                0x00013403, 0x01010113, 0x00008067};
static const uint32_t own_frame[] = {0x01010413}; /* addi s0, sp, 16 */
enum { FRAME_AT = 12, AFTER_CALL = 28, ABOVE_RECORD = 16 };
#else
/* push %rbp; mov %rdx, %rbp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax; pop %rbp; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xd5, 0x48, 0x89, 0xf8,
                                     0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
static const unsigned char own_frame[] = {0x48, 0x89, 0xe5}; /* mov %rsp, %rbp */
enum { FRAME_AT = 1, AFTER_CALL = 12, ABOVE_RECORD = 0 };
#endif

/* The frame pointer that leads to two words. */
static uintptr_t leading_to(const uintptr_t *record)
{
    return (uintptr_t)record + ABOVE_RECORD;
}

static call_with *make_code(bool with_frame)
{
    call_with *function;
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    memcpy(page, code, sizeof(code));
    if (with_frame)
        memcpy(page + FRAME_AT, own_frame, sizeof(own_frame));
    ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    __builtin___clear_cache(page, page + sizeof(code));
    memcpy(&function, &page, sizeof(function));
    return function;
}

static call_with *made;
static uintptr_t frame_pointer;

static __attribute__((noinline)) void look_through_made(struct chain *chain)
{
    chain->returns[chain->depth++] = (uintptr_t)__builtin_return_address(0);
    made(look, chain, frame_pointer);
    __asm__ volatile("");
}

static uintptr_t address_after_call(void)
{
    uintptr_t start;
    memcpy(&start, &made, sizeof(start));
    return start + AFTER_CALL;
}

/* Code that is made at run time, with a frame pointer, as most does that. */
TEST_LOOP(code_without_tables_is_left_by_its_frame_pointer, 0, RUNS)
{
    enum chain_link links[CHAIN_MOST];
    struct random random = {7};
    struct chain chain = make_chain(&random, LINKS, LENGTH, links);
    chain.leaf = look_through_made;
    made = make_code(true);
    runs[_i](&chain);
    /* `look` noted the last one; the functions between it and the chain note only their returns */
    uintptr_t noted = chain.returns[--chain.depth];
    ck_assert_uint_eq(noted, address_after_call());
    ck_assert_uint_eq(seen.frames[1], noted);
    ck_assert_int_eq(place_of(&chain), 3);
}

/* True if nothing is seen beyond the code without tables, by that frame pointer. */
static bool ends_with(uintptr_t fp)
{
    struct chain chain = {0};
    frame_pointer = fp;
    look_through_made(&chain);
    return seen.count == 2 && seen.frames[1] == address_after_call();
}

TEST(whatever_the_frame_pointer_is)
{
    static uintptr_t data[4];
    /* `here` and `inside` serve as return addresses, too: 0 precedes them, which is no call */
    uintptr_t words[6] = {0}, *here = &words[2];
    uintptr_t *block = calloc(8, sizeof(*block)), *inside = &block[2];
    here[0] = leading_to(here);
    here[1] = 1;
    made = make_code(false);
    static const uintptr_t odd[] = {0,
                                    1,
                                    7,
                                    8,
                                    4096,
                                    UINTPTR_MAX,
                                    UINTPTR_MAX - 7,
                                    (uintptr_t)1 << 63,
                                    (uintptr_t)1 << 47,
                                    (uintptr_t)-4096};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        ck_assert(ends_with(odd[i]));
    ck_assert(ends_with(leading_to(data)));
    ck_assert(ends_with(leading_to(block)));
    ck_assert(ends_with(leading_to(here)));
    ck_assert(ends_with(leading_to(here) + 1));
    const uintptr_t no_returns[] = {0,
                                    1,
                                    8,
                                    100,
                                    4095,
                                    4104,
                                    UINTPTR_MAX,
                                    (uintptr_t)here,
                                    (uintptr_t)inside,
                                    address_after_call() - 4};
    for (size_t i = 0; i < COUNT_OF(no_returns); i++) {
        here[1] = no_returns[i];
        ck_assert(ends_with(leading_to(here)));
    }
    free(block);
}

/* A frame pointer that leads to itself: its frame is seen once. */
TEST(a_frame_is_not_left_to_itself)
{
    uintptr_t here[2] = {leading_to(here), 0};
    struct chain chain = {0};
    made = make_code(false);
    here[1] = address_after_call();
    frame_pointer = leading_to(here);
    look_through_made(&chain);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_uint_eq(seen.frames[2], here[1]);
}

static size_t ends_wrong;
static uintptr_t stack_end;

/* The two words that a frame pointer leads to are the last ones, or one is not there. */
static int try_end_of_stack(struct chain *chain)
{
    for (uintptr_t fp = stack_end - 64; fp <= stack_end + 64; fp++) {
        bool nothing_more = ends_with(fp);
        ends_wrong += fp > stack_end - 16 + ABOVE_RECORD && !nothing_more;
    }
    return (int)chain->depth;
}

TEST(what_follows_the_stack_is_not_read)
{
    struct chain chain = {0};
    char *stack = make_stack();
    made = make_code(false);
    stack_end = (uintptr_t)stack + STACK;
    run_on(stack, try_end_of_stack, &chain);
    ck_assert_uint_eq(ends_wrong, 0);
}

/* ---- threads and children ---- */

static void *see_chains(void *seed)
{
    struct random random = {(uintptr_t)seed};
    size_t failed = 0;
    for (int i = 0; i < CHAINS; i++)
        failed += !sees_chain(&random, runs[i % RUNS], LINKS);
    return (void *)failed;
}

TEST(threads_share_what_they_find)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = begin_thread(see_chains, (void *)(i + 8));
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_ptr_null(end_thread(threads[i]));
}

static int see_in_child(void)
{
    return see_chains((void *)12) != NULL;
}

TEST(a_child_sees_its_stack)
{
    ck_assert_int_eq(result_in_child(see_in_child), 0);
}

TEST_UNLESS(NO_BARE_FORKS, a_child_of_vfork_sees_its_stack)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(see_in_child());
    ck_assert_int_eq(result_of(child), 0);
}

/* ---- libraries ---- */

typedef int call_back(void (*function)(void *), void *argument);

/* Opens a library that lies beside this program. */
static void *open_library(const char *name, call_back **function)
{
    char path[PATH_MAX + 64] = "";
    ck_assert_int_gt(readlink("/proc/self/exe", path, PATH_MAX), 0);
    char *folder = dirname(path);
    sprintf(folder + strlen(folder), "/.libs/%s", name);
    void *library = dlopen(path, RTLD_NOW);
    ck_assert_msg(library != NULL, "%s", dlerror());
    *(void **)function = dlsym(library, "call_back");
    return library;
}

static void look_from_library(void *ignored)
{
    (void)ignored;
    LOOK_AT_STACK();
}

/* Two libraries take turns at one place. They are alike, but for the size of a frame. */
TEST(another_library_at_the_place_of_one_that_was_closed)
{
    static const char *const names[] = {"libcallback_small.so", "libcallback_large.so"};
    call_back *places[2] = {NULL, NULL};
    for (int i = 0; i < OPENED; i++) {
        call_back *function;
        void *library = open_library(names[i % 2], &function);
        places[i % 2] = function;
        function(look_from_library, NULL);
        ck_assert_int_lt(truth_differs(), 0);
        ck_assert_uint_gt(seen.count, 4);
        dlclose(library);
    }
    if (places[0] != places[1])
        printf("not tried: the libraries lie at different places\n");
}

static bool close_no_more; /* atomic */

static void *open_and_close(void *ignored)
{
    while (!__atomic_load_n(&close_no_more, __ATOMIC_RELAXED)) {
        call_back *function;
        dlclose(open_library("libcallback_small.so", &function));
    }
    return ignored;
}

TEST(stacks_are_seen_while_a_library_comes_and_goes)
{
    call_back *function;
    pthread_t thread = begin_thread(open_and_close, NULL);
    for (int i = 0; i < OPENED; i++) {
        void *library = open_library("libcallback_large.so", &function);
        function(look_from_library, NULL);
        ck_assert_int_lt(truth_differs(), 0);
        dlclose(library);
        ck_assert_ptr_null(see_chains((void *)13));
    }
    __atomic_store_n(&close_no_more, true, __ATOMIC_RELAXED);
    end_thread(thread);
}

static size_t seen_beside_lock;

static void *take_beside_lock(void *ignored)
{
    uintptr_t frames[64];
    seen_beside_lock = stack_take(frames, COUNT_OF(frames));
    return ignored;
}

/* The dynamic linker holds its lock meanwhile. */
static int take_under_lock(struct dl_phdr_info *info, size_t size, void *ignored)
{
    (void)info;
    (void)size;
    (void)ignored;
    run_thread(take_beside_lock, NULL);
    return 1;
}

TEST(the_lock_of_the_dynamic_linker_is_not_taken)
{
    dl_iterate_phdr(take_under_lock, NULL);
    ck_assert_uint_gt(seen_beside_lock, 2);
}
