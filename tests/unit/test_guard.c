/*
 * Guarded blocks: where they lie, that they are blocks as others, what a fault or a misuse is
 * called, how many there are, and a child that is forked while another thread takes or frees one.
 */
#include "test.h"
#include "base/option.h"
#include "base/os.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "inspect/count.h"
#include "inspect/root.h"
#include "inspect/walk.h"
#include "modes/guard.h"
#include "modes/profile.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "paths/free.h"
#include "process/check.h"
#include "sanitized.h"
#include "step.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

enum { PAGE = 4096, DEFAULT_INTERVAL = 1000000 };

static sigjmp_buf after_fault;
static volatile sig_atomic_t faults; /* that came to the program's handler */

static void on_signal(int number)
{
    (void)number;
    faults++;
    siglongjmp(after_fault, 1);
}

static void start(uint64_t interval)
{
    char text[32];
    snprintf(text, sizeof text, "%ju", (uintmax_t)interval);
    ck_assert_int_eq(option_set_text("guard", text), 0);
    guard_start();
    guard_thread.generator = 12345; /* the same numbers in each run */
    guard_thread.countdown = (int64_t)interval;
}

/* With a handler of the program's in place. */
static void begin_guard(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    begin_without_decay();
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    start(DEFAULT_INTERVAL);
    ck_assert_uint_eq(os_page_size(), PAGE);
}

SUITE(guard, .begin = begin_guard);

/* The next allocation is to be a guarded one. */
static void make_due(void)
{
    if (guard_thread.generator == 0)
        guard_thread.generator = 1;
    guard_thread.countdown = 1;
}

static NOINLINE char *guarded(size_t size)
{
    make_due();
    char *block = alloc_block(size);
    ck_assert(guard_has(block));
    return block;
}

/* A guarded block at its page's end, or its start. */
static char *guarded_at(size_t size, bool end)
{
    for (;;) {
        char *block = guarded(size);
        if (((uintptr_t)block % PAGE != 0) == end)
            return block;
        free_block(block);
    }
}

static uintptr_t page_of(const void *p)
{
    return align_down((uintptr_t)p, PAGE);
}

/* ---- Where blocks lie ---- */

TEST(each_size_to_a_page_lies_at_both_ends)
{
    for (size_t size = 0; size <= PAGE; size++)
        for (int end = 0; end < 2; end++) {
            if (size > PAGE - 16 && end)
                continue; /* it fills the page */
            char *block = guarded_at(size, end);
            size_t usable = align_up(size + (size == 0), 16);
            ck_assert_uint_eq(free_usable_size(block, "test"), usable);
            ck_assert_uint_ge(free_usable_size(block, "test"), alloc_good_size(size));
            ck_assert_uint_eq(block + usable - (char *)page_of(block), end ? PAGE : usable);
            ck_assert(!os_is_readable(page_of(block) - PAGE));
            ck_assert(!os_is_readable(page_of(block) + PAGE));
            memset(block, 1, usable);
            free_block(block);
            ck_assert(!os_is_readable(page_of(block)));
        }
    make_due();
    ck_assert(!guard_has(alloc_block(PAGE + 1)));
}

TEST(aligned_blocks)
{
    for (size_t alignment = 1; alignment <= PAGE; alignment *= 2)
        for (size_t size = 1; size <= PAGE; size += 37) {
            make_due();
            char *block = alloc_aligned(alignment, size);
            ck_assert(guard_has(block));
            ck_assert_uint_eq((uintptr_t)block % max_size(alignment, 16), 0);
            memset(block, 1, free_usable_size(block, "test"));
            free_block(block);
        }
    make_due();
    ck_assert(!guard_has(alloc_aligned(2 * PAGE, 16)));
}

/* The slots that were never used come first, then the one that was freed longest ago. */
TEST(slots_are_used_again_as_late_as_can_be)
{
    static char *all[GUARD_SLOTS];
    free_block(guarded(16));
    uintptr_t first = guard.slots[0].block;
    for (size_t i = 0; i < GUARD_SLOTS; i++) {
        all[i] = guarded(16);
        ck_assert_int_eq(page_of(all[i]) == page_of((void *)first), i == GUARD_SLOTS - 1);
    }
    make_due();
    char *ordinary = alloc_block(16);
    ck_assert(!guard_has(ordinary)); /* the pool is exhausted */
    free_block(ordinary);
    const size_t freed[] = {200, 3, 77};
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        free_block(all[freed[i]]);
    for (size_t i = 0; i < COUNT_OF(freed); i++)
        ck_assert_uint_eq(page_of(guarded(16)), page_of(all[freed[i]]));
}

/* ---- They are blocks as others ---- */

TEST(calloc_gives_zeroes)
{
    char *block = guarded(1000);
    memset(block, 1, 1000);
    free_block(block);
    for (size_t i = 0; i < GUARD_SLOTS; i++) {
        make_due();
        char *zeroes = alloc_zeroed(10, 100);
        ck_assert(guard_has(zeroes));
        for (size_t k = 0; k < 1000; k++)
            ck_assert_int_eq(zeroes[k], 0);
        memset(zeroes, 1, 1000);
        free_block(zeroes);
    }
}

static const size_t new_sizes[] = {1, 40, 100, 101, 200, 5000, 300000, 3000000};

TEST_LOOP(realloc_leads_in_and_out, 0, COUNT_OF(new_sizes))
{
    size_t size = new_sizes[_i], kept = min_size(size, 100);
    char *block = guarded(100), *old = block;
    memset(block, 7, 100);
    block = alloc_resize(block, size, "realloc");
    ck_assert(block != old && !guard_has(block)); /* out */
    ck_assert_uint_eq(free_usable_size(block, "test") >= size, true);
    for (size_t i = 0; i < kept; i++)
        ck_assert_int_eq(block[i], 7);
    ck_assert(!os_is_readable(page_of(old)));
    make_due();
    block = alloc_resize(block, 150, "realloc");
    if (guard_has(block)) /* in, unless it stayed where it was */
        ck_assert_uint_eq(free_usable_size(block, "test"), 160);
    ck_assert_int_eq(guard_has(block), size != 200);
    for (size_t i = 0; i < kept; i++)
        ck_assert_int_eq(block[i], 7);
    make_due();
    char *other = alloc_resize(block, 152, "realloc"); /* from one guarded block to another */
    ck_assert_int_eq(other != block, guard_has(block));
    ck_assert_ptr_null(alloc_resize(other, 0, "realloc"));
    ck_assert(!free_is_live(other));
}

TEST(a_block_may_be_freed_by_another_thread)
{
    char *block = guarded(48);
    run_thread(free_in_thread, block);
    ck_assert(!free_is_live(block));
    ck_assert_int_eq(guard.slots[0].freed.thread != os_thread_id(), true);
    ck_assert_int_eq(guard.slots[0].allocated.thread, os_thread_id());
}

static uint64_t walked, walked_bytes;

static int note_guarded(void *context, const struct acre_block *block)
{
    (void)context;
    if (guard_has(block->address) && block->state == ACRE_BLOCK_LIVE) {
        walked++;
        walked_bytes += block->size;
        ck_assert_uint_eq(free_usable_size(block->address, "test"), block->size);
    }
    return 0;
}

TEST(they_are_counted_walked_and_checked)
{
    static struct figures before, after;
    struct out out;
    struct view own;
    root_view_own(&own);
    figures_count(&own, &before);
    free_block(guarded(16));
    guarded(100);
    guarded(PAGE);
    figures_count(&own, &after);
    ck_assert_uint_eq(after.large_blocks, before.large_blocks + 2);
    ck_assert_uint_eq(after.large_live, before.large_live + 112 + PAGE);
    ck_assert_int_eq(walk_blocks(&own, note_guarded, NULL), 0);
    ck_assert_uint_eq(walked, 2);
    ck_assert_uint_eq(walked_bytes, 112 + PAGE);
    out_to_memory(&out);
    ck_assert_uint_eq(check_process(&out), 0);
    guard.slots[1].size = PAGE + 1;
    ck_assert_uint_eq(check_process(&out), 1);
    ck_assert_ptr_nonnull(strstr(out.text, "a guarded block is wrong"));
}

TEST(a_profile_has_them)
{
    ck_assert_int_eq(profile_start(1), 0);
    char *block = guarded(100);
    ck_assert_uint_eq(profile_samples, 1);
    char *resized = alloc_resize(block, 3000, "realloc");
    ck_assert_uint_eq(profile_samples, 1);
    free_block(resized);
    ck_assert_uint_eq(profile_samples, 0);
    ck_assert_int_eq(profile_stop(), 0);
    guarded(100); /* the end of a profile leaves the guard on */
    ck_assert_uint_eq(profile_samples, 0);
}

/* ---- Reports ---- */

static struct capture capture;
static int status_of_free; /* of what is run */

static void free_it(void *p)
{
    free_block(p);
}

static void resize_it(void *p)
{
    status_of_free = alloc_resize(p, 5000, "realloc") == NULL;
}

/* What is said of a misuse of p: the first line is `what`, the pointer, `rest`. */
static void check_misuse(void (*run)(void *), const char *what, char *p, const char *rest)
{
    char line[256];
    capture_stderr(&capture, run, p);
    snprintf(line, sizeof line, "acre: %s(%p): %s\n", what, (void *)p, rest);
    ck_assert_str_eq(capture.text, line);
}

static size_t count_of(const char *text)
{
    size_t count = 0;
    for (const char *at = capture.details; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

TEST(misuses_are_named_with_their_stacks)
{
    char known[128];
    ck_assert(option_parse("on_error:report,foreign:report", "test"));
    char *block = guarded_at(100, false);
    snprintf(known, sizeof known, "block %p of 100 bytes, guarded", (void *)block);
    check_misuse(free_it, "interior pointer: free", block + 16, known);
    check_misuse(free_it, "misaligned pointer: free", block + 1, known);
    ck_assert_uint_eq(count_of("  freed by thread "), 0);
    ck_assert_uint_eq(count_of("  allocated by thread "), 1);
    check_misuse(free_it, "foreign pointer: free", block + 112, "not a block of this allocator");
    check_misuse(free_it, "foreign pointer: free", block - PAGE, "not a block of this allocator");
    check_misuse(free_it, "foreign pointer: free", (char *)guard.pool + guard.bytes - 2 * PAGE,
                 "not a block of this allocator"); /* never used */
    ck_assert_uint_eq(count_of("  allocated by thread "), 0);
    run_thread(free_in_thread, block);
    for (int i = 0; i < 2; i++) {
        check_misuse(i == 0 ? free_it : resize_it,
                     i == 0 ? "double free: free" : "double free: realloc", block, known);
        ck_assert_uint_eq(count_of("  freed by thread "), 1);
        ck_assert_uint_eq(count_of("  allocated by thread "), 1);
        ck_assert_ptr_nonnull(
            strstr(strstr(capture.details, "  freed by thread "), "  allocated by thread "));
    }
    ck_assert_int_eq(status_of_free, 1);
    check_misuse(free_it, "interior pointer: free", block + 32, known);
}

static void touch(void *p)
{
    if (sigsetjmp(after_fault, 1) == 0)
        *(volatile char *)p = 1;
}

/* What is said of an access to p: `kind`, how far it is `from` the block; then the program's
 * handler is called. */
static void check_fault(const char *kind, char *p, const char *from, char *block, size_t size,
                        bool freed)
{
    char line[256];
    sig_atomic_t before = faults;
    capture_stderr(&capture, touch, p);
    ck_assert_int_eq(faults, before + 1);
    snprintf(line, sizeof line, "acre: %s: access to %p, %s block %p of %zu bytes, guarded\n", kind,
             (void *)p, from, (void *)block, size);
    ck_assert_str_eq(capture.text, line);
    ck_assert_uint_eq(count_of("  accessed by thread "), 1);
    ck_assert_uint_eq(count_of("  allocated by thread "), 1);
    ck_assert_uint_eq(count_of("  freed by thread "), freed);
    ck_assert_uint_ge(count_of("    #1 "), freed ? 3 : 2); /* each has its stack */
}

TEST(faults_are_named_with_their_stacks)
{
    char *block = guarded_at(48, true);
    check_fault("overflow", block + 48, "0 bytes after", block, 48, false);
    check_fault("overflow", block + 48 + PAGE - 1, "4095 bytes after", block, 48, false);
    free_block(block);
    check_fault("overflow", block + 48, "0 bytes after", block, 48, true);
    check_fault("use after free", block, "0 bytes into", block, 48, true);
    check_fault("use after free", block + 47, "47 bytes into", block, 48, true);
    check_fault("use after free", block - 1, "1 bytes before", block, 48, true);
}

TEST(underflows_are_those_of_the_nearer_block)
{
    char *left = guarded_at(40, true), *right;
    do /* the page of the next slot */
        right = guarded_at(33, false);
    while (page_of(right) != page_of(left) + 2 * PAGE);
    check_fault("underflow", right - 1, "1 bytes before", right, 33, false);
    check_fault("underflow", right - 2000, "2000 bytes before", right, 33, false);
    check_fault("overflow", left + 48, "8 bytes after", left, 40, false);
    left[47] = right[47] = 1; /* the slack of a size that is no multiple of 16 */
}

TEST(an_access_where_no_block_was)
{
    char *end = (char *)guard.pool + guard.bytes;
    char line[128];
    for (int i = 0; i < 2; i++) {
        char *p = end - 1 - i * PAGE;
        capture_stderr(&capture, touch, p);
        snprintf(line, sizeof line, "acre: access to %p, where no guarded block was\n", (void *)p);
        ck_assert_str_eq(capture.text, line);
    }
    ck_assert_int_eq(faults, 2);
}

TEST(with_on_error_ignore_faults_are_the_programs_alone)
{
    ck_assert(option_parse("on_error:ignore", "test"));
    capture_stderr(&capture, touch, guarded_at(48, true) + 48);
    ck_assert_int_eq(faults, 1);
    ck_assert_str_eq(capture.text, "");
}

/* ---- The handler ---- */

#define NO_FAULTS (UNDER_SANITIZER ? "the sanitizer has a handler of its own" : NULL)

/* What the program's handler was called with. */
static struct {
    int number;
    siginfo_t *info;
    void *context;
} chained;

/* Checks nothing itself: ck_assert allocates, which is not allowed in a handler. */
static void on_signal_with_info(int number, siginfo_t *info, void *context)
{
    chained.number = number;
    chained.info = info;
    chained.context = context;
    siglongjmp(after_fault, 1);
}

TEST(a_handler_with_information_gets_it)
{
    struct sigaction action = {.sa_sigaction = on_signal_with_info, .sa_flags = SA_SIGINFO};
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    start(DEFAULT_INTERVAL);
    char *block = guarded_at(48, true);
    capture_stderr(&capture, touch, block + 48);
    ck_assert_ptr_nonnull(strstr(capture.text, "overflow"));
    ck_assert_int_eq(chained.number, SIGSEGV);
    ck_assert_ptr_nonnull(chained.info);
    ck_assert_ptr_nonnull(chained.context);
}

/* Runs in a child whose action before the start was `former`. */
static void (*former_action)(int);
static bool is_sent; /* the signal, by kill; else a fault */

static void fault_or_send(void *unused)
{
    struct sigaction action = {.sa_handler = former_action};
    (void)unused;
    sigaction(SIGSEGV, &action, NULL);
    start(DEFAULT_INTERVAL);
    if (is_sent)
        kill(getpid(), SIGSEGV);
    else
        *(volatile char *)(guarded_at(48, true) + 48) = 1;
}

static void send_then_fault(void *unused)
{
    is_sent = true;
    fault_or_send(unused);
    *(volatile char *)(guarded_at(48, true) + 48) = 1;
}

/* A signal that was sent and is ignored leaves the guard's handler in place. */
TEST_UNLESS(NO_FAULTS, an_ignored_signal_is_not_the_last)
{
    former_action = SIG_IGN;
    capture_child(&capture, send_then_fault, NULL);
    ck_assert(WIFSIGNALED(capture.status));
    ck_assert_ptr_nonnull(strstr(capture.text, "overflow"));
}

/* By default, or ignored: a fault ends the process all the same, a signal that was sent as it would
 * without the guard. */
TEST_LOOP_UNLESS(NO_FAULTS, the_action_of_before_is_taken, 0, 4)
{
    former_action = _i % 2 == 0 ? SIG_DFL : SIG_IGN;
    is_sent = _i / 2 != 0;
    capture_child(&capture, fault_or_send, NULL);
    bool ends = !is_sent || former_action == SIG_DFL;
    ck_assert_int_eq(WIFSIGNALED(capture.status), ends);
    ck_assert_int_eq(WTERMSIG(capture.status), ends ? SIGSEGV : 0);
    ck_assert_int_eq(strstr(capture.text, "overflow") != NULL, !is_sent);
}

/* Stack overflows find the alternate stack as before. */
TEST(the_handler_runs_on_the_alternate_stack)
{
    struct sigaction action;
    ck_assert_int_eq(sigaction(SIGSEGV, NULL, &action), 0);
    ck_assert_int_ne(action.sa_flags & SA_ONSTACK, 0);
}

/* ---- How many there are ---- */

/* Square roots are not needed: `difference` is at most 5 standard deviations. */
static bool is_within_5_sigma(double difference, double variance)
{
    return difference * difference <= 25 * variance;
}

TEST(one_in_n_is_guarded)
{
    enum { N = 100, ALLOCATIONS = 200000 };
    size_t count = 0, at_end = 0;
    start(N);
    for (size_t i = 0; i < ALLOCATIONS; i++) {
        char *block = i % 3 == 0   ? alloc_block(i % 2000)
                      : i % 3 == 1 ? alloc_aligned(64, i % 2000)
                                   : alloc_zeroed(1, i % 2000);
        count += guard_has(block);
        at_end += guard_has(block) && (uintptr_t)block % PAGE != 0;
        free_block(block);
    }
    /* a renewal process (Feller, volume 2, XI.3) of gaps that are even from 1 to 2 N - 1 */
    double gap_variance = ((2.0 * N - 1) * (2.0 * N - 1) - 1) / 12;
    double expected = (double)ALLOCATIONS / N;
    ck_assert(is_within_5_sigma((double)count - expected, expected / N / N * gap_variance));
    ck_assert(is_within_5_sigma((double)at_end - (double)count / 2, (double)count / 4));
    start(1);
    for (size_t i = 0; i < 1000; i++) {
        char *block = alloc_block(i);
        ck_assert(guard_has(block));
        free_block(block);
    }
}

TEST(off_there_is_nothing)
{
    struct sigaction action;
    signal(SIGSEGV, SIG_DFL);
    memset(&guard, 0, sizeof guard);
    ck_assert_int_eq(option_set_text("guard", "0"), 0);
    uint64_t maps = os_counts.mmap, protections = os_counts.mprotect;
    guard_start();
    ck_assert(!guard_is_on() && !guard_has(NULL) && !guard_has(&guard));
    ck_assert_uint_eq(os_counts.mmap, maps);
    ck_assert_uint_eq(os_counts.mprotect, protections);
    ck_assert_int_eq(sigaction(SIGSEGV, NULL, &action), 0);
    ck_assert(action.sa_handler == SIG_DFL);
}

/* Later only protections change. */
TEST(nothing_is_mapped_after_the_start)
{
    free_block(guarded(100));
    uint64_t maps = os_counts.mmap, unmaps = os_counts.munmap, advice = os_counts.madvise;
    for (int i = 0; i < 3 * GUARD_SLOTS; i++)
        free_block(guarded(100));
    ck_assert_uint_eq(os_counts.mmap, maps);
    ck_assert_uint_eq(os_counts.munmap, unmaps);
    ck_assert_uint_eq(os_counts.madvise, advice);
}

/* ---- Threads and forks ---- */

enum { THREADS = 4, ROUNDS = 3000, KEPT = 40 };

static void *use_memory(void *unused)
{
    char *kept[KEPT] = {NULL};
    for (size_t i = 0; i < ROUNDS; i++) {
        char **at = &kept[i * 7 % KEPT];
        for (size_t k = 0; *at != NULL && k < 40; k++)
            ck_assert_int_eq((*at)[k], (char)(i * 7 % KEPT));
        free_block(*at);
        make_due();
        *at = alloc_block(40);
        memset(*at, (int)(i * 7 % KEPT), 40);
    }
    for (size_t i = 0; i < KEPT; i++)
        free_block(kept[i]);
    return unused;
}

TEST(threads_do_not_share_slots)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = begin_thread(use_memory, NULL);
    for (int i = 0; i < THREADS; i++)
        end_thread(threads[i]);
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        ck_assert_uint_ne(guard.order[i], GUARD_LIVE);
}

static char *of_parent;

static bool free_pages_are_closed(void)
{
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        if ((guard.order[i] == GUARD_LIVE) !=
            os_is_readable(guard.pool + (2 * i + 1) * (uintptr_t)PAGE))
            return false;
    return true;
}

/* All slots can be used in a child, and none has a page that can be read while it is free. */
static int use_pool_in_child(void)
{
    static char *all[GUARD_SLOTS];
    size_t live = 0;
    free_block(of_parent);
    if (!free_pages_are_closed())
        return 4;
    for (size_t i = 0; i < GUARD_SLOTS; i++)
        live += guard.order[i] == GUARD_LIVE;
    for (size_t i = live; i < GUARD_SLOTS; i++) {
        make_due();
        all[i] = alloc_block(48);
        if (!guard_has(all[i]))
            return 1;
        memset(all[i], 1, 48);
    }
    for (size_t i = live; i < GUARD_SLOTS; i++)
        free_block(all[i]);
    if (!free_pages_are_closed())
        return 2;
    return free_is_live(of_parent) ? 3 : 0;
}

static sem_t stopped, looked;
static unsigned failed, failed_at, children;
static char *own_block;

enum { STRIDE = UNDER_SANITIZER ? 211 : 53 };

enum { AROUND_CALL = 40 }; /* instructions from the count of a call of mprotect on */

static void look(void)
{
    static uint64_t protections;
    static sig_atomic_t counted_at = -AROUND_CALL;
    if (protections != os_counts.mprotect) {
        protections = os_counts.mprotect;
        counted_at = steps;
    }
    if (failed != 0 || (steps % STRIDE != 0 && steps - counted_at >= AROUND_CALL))
        return;
    sem_post(&stopped);
    partner_wait(&looked);
}

static void take_one(void)
{
    own_block = guard_alloc(48, 1, 0);
}

static void free_one(void)
{
    guard_free(own_block);
}

static void *run_operation(void *frees)
{
    guard_thread.generator = 1;
    if (frees != NULL)
        take_one();
    step_through(frees != NULL ? free_one : take_one, look);
    __atomic_store_n(&stepping, 2, __ATOMIC_SEQ_CST);
    sem_post(&stopped);
    return NULL;
}

/* A thread is lost at any instruction of an allocation or a free; the child goes on. */
TEST_LOOP_UNLESS(NO_STEPS, a_child_of_another_thread_goes_on, 0, 2)
{
    sem_init(&stopped, 0, 0);
    sem_init(&looked, 0, 0);
    of_parent = guarded(100);
    pthread_t thread = begin_thread(run_operation, _i == 0 ? NULL : &failed);
    for (;;) {
        partner_wait(&stopped);
        if (stepping == 2)
            break;
        children++;
        failed = (unsigned)result_in_child(use_pool_in_child);
        failed_at = (unsigned)steps;
        sem_post(&looked);
    }
    end_thread(thread);
    ck_assert_msg(failed == 0, "status %u, at instruction %u", failed, failed_at);
    ck_assert_uint_gt(children, 5);
    ck_assert(free_is_live(of_parent));
}

static void fault_in_child(void *block)
{
    free_block(block);
    touch(block);
    _exit(faults == 1 ? 0 : 1);
}

TEST(a_child_has_the_pool_as_it_was)
{
    of_parent = guarded(100);
    ck_assert_int_eq(result_in_child(use_pool_in_child), 0);
    ck_assert(free_is_live(of_parent));
    capture_child(&capture, fault_in_child, of_parent);
    ck_assert_int_eq(capture.status, 0);
    ck_assert_ptr_nonnull(strstr(capture.text, "use after free"));
    *of_parent = 1; /* it is live here */
    free_block(of_parent);
    ck_assert(!free_is_live(of_parent));
}
