/*
 * Guarded blocks: what a misuse or a fault is called, with which stacks, and what then becomes of
 * the signal.
 */
#include "guarded.h"
#include "capture.h"
#include "in_thread.h"
#include "sanitized.h"

SUITE(guard_faults, .begin = begin_guard);

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
                     i == 0 ? "double free: free" : "use after free: realloc", block, known);
        ck_assert_uint_eq(count_of("  freed by thread "), 1);
        ck_assert_uint_eq(count_of("  allocated by thread "), 1);
        ck_assert_ptr_nonnull(
            strstr(strstr(capture.details, "  freed by thread "), "  allocated by thread "));
    }
    ck_assert_int_eq(status_of_free, 1);
    check_misuse(free_it, "interior pointer: free", block + 32, known);
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
