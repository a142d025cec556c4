/*
 * The system layer: what each function promises, seen through other system calls than its own.
 */
#include "test.h"
#include "memory.h"
#include "capture.h"
#include "child.h"
#include "in_thread.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

SUITE(os);

enum {
    PAGES = 16,       /* of the ranges under test */
    NO_ERRNO = 12345, /* no error has this number */
};

/* More than any address space: every mapping call fails. */
#define TOO_LARGE ((size_t)1 << 62)

static size_t range_size(void)
{
    return PAGES * os_page_size();
}

/* True if the kernel can store into the byte at p. It is set to zero then. */
static bool is_writable(void *p)
{
    int fd = open("/dev/zero", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ssize_t length = read(fd, p, 1);
    close(fd);
    return length == 1;
}

/* True if anything is mapped at p, accessible or not. */
static bool is_mapped(void *p)
{
    return msync(p, os_page_size(), MS_ASYNC) == 0;
}

/* How many pages of the range are resident. */
static size_t resident_pages(void *p)
{
    unsigned char resident[PAGES];
    size_t count = 0;
    ck_assert_int_eq(mincore(p, range_size(), resident), 0);
    for (size_t i = 0; i < PAGES; i++)
        count += resident[i] & 1;
    return count;
}

TEST(the_page_size_is_the_kernels)
{
    ck_assert_uint_eq(os_page_size(), (size_t)sysconf(_SC_PAGESIZE));
    ck_assert_uint_eq(os_page_size(), (size_t)sysconf(_SC_PAGESIZE)); /* now from the cache */
    ck_assert(is_power_of_two(os_page_size()));
}

TEST(reserved_pages_are_opened_closed_and_unmapped)
{
    size_t size = range_size(), page = os_page_size();
    unsigned char *p = os_reserve(size);
    ck_assert_ptr_nonnull(p);
    ck_assert(!is_writable(p));

    ck_assert(os_open(p, 4 * page));
    ck_assert(is_filled(p, 4 * page, 0));
    memset(p, 0xaa, 4 * page);
    ck_assert(!is_writable(p + 4 * page));

    ck_assert(os_close(p, 2 * page));
    ck_assert(!is_writable(p));
    ck_assert(is_filled(p + 2 * page, 2 * page, 0xaa));
    ck_assert(os_open(p, 2 * page));
    ck_assert(is_filled(p, 2 * page, 0));

    ck_assert(os_unmap(p, size));
    ck_assert(!is_mapped(p));
    ck_assert(!os_open(p, page));
}

static bool (*const placers[])(void *, size_t) = {os_reserve_at, os_map_at};

TEST_LOOP(a_given_address_is_taken_if_free_or_nothing_is, 0, COUNT_OF(placers))
{
    bool is_open = placers[_i] == os_map_at;
    size_t size = range_size(), half = size / 2;
    unsigned char *p = os_reserve(size);
    ck_assert(p != NULL && os_unmap(p, size));
    ck_assert(placers[_i](p, half));
    ck_assert_int_eq(is_writable(p), is_open);
    ck_assert(is_open || os_open(p, half));
    ck_assert(is_filled(p, half, 0));
    memset(p, 0x66, half);
    ck_assert(!placers[_i](p, size));
    ck_assert(is_filled(p, half, 0x66));
    ck_assert(!is_mapped(p + half));
}

TEST(mapped_pages_are_zero_and_purged_to_zero)
{
    size_t size = range_size();
    unsigned char *p = os_map(size);
    ck_assert_ptr_nonnull(p);
    ck_assert(is_filled(p, size, 0));
    memset(p, 0x77, size);
    ck_assert_uint_eq(resident_pages(p), PAGES);
    ck_assert(os_purge(p, size));
    ck_assert_uint_eq(resident_pages(p), 0);
    ck_assert(is_filled(p, size, 0));

    memset(p, 0x77, size);
    /* Past libc: the sanitizers make mlock a function that does nothing. */
    ck_assert_int_eq(syscall(SYS_mlock, p, os_page_size()), 0);
    ck_assert(!os_purge(p, size));
    ck_assert(os_unmap(p, size));
}

TEST(remapping_keeps_the_contents)
{
    size_t size = range_size();
    unsigned char *p = os_map(size);
    memset(p, 0x11, size);
    os_reserve_at(p + size, size); /* in the way */
    p = os_remap(p, size, 4 * size);
    ck_assert(p != NULL && is_filled(p, size, 0x11));
    ck_assert(is_filled(p + size, 3 * size, 0));
    ck_assert_ptr_eq(os_remap(p, 4 * size, size), p);
    ck_assert(!is_mapped(p + size));
    ck_assert_ptr_null(os_remap(p, size, TOO_LARGE));
    ck_assert(is_filled(p, size, 0x11));
}

TEST(huge_pages_are_asked_for_and_declined)
{
    bool supported = huge_pages_are_supported();
    size_t size = range_size();
    unsigned char *whole = os_reserve(3 * size);
    unsigned char *p = whole + size; /* with neighbours, so that it is a mapping of its own */
    ck_assert(os_open(p, size));
    os_huge_pages(p, size, true);
    ck_assert_int_eq(has_vm_flag(p, " hg"), supported);
    os_huge_pages(p, size, false);
    ck_assert(!has_vm_flag(p, " hg"));
    ck_assert_int_eq(has_vm_flag(p, " nh"), supported);
    ck_assert(os_unmap(whole, 3 * size));
}

TEST(guarded_pages_have_guards)
{
    size_t size = range_size(), page = os_page_size();
    unsigned char *p = os_map_guarded(size);
    ck_assert(p != NULL && is_filled(p, size, 0));
    memset(p, 1, size);
    ck_assert(is_guard(p - page));
    ck_assert(is_guard(p + size));
    ck_assert(os_unmap(p - page, page + size + page));
}

TEST(what_can_be_mapped_is_not_mapped)
{
    ck_assert(os_can_map(range_size()));
    ck_assert(!os_can_map(TOO_LARGE));
    size_t before = os_resident();
    for (int i = 0; i < 100; i++)
        ck_assert(os_can_map(GIB));
    ck_assert_uint_lt(os_resident(), before + MIB);
}

static int ask_without_random_addresses(void)
{
    if (personality(ADDR_NO_RANDOMIZE) < 0)
        return 2;
    errno = ERANGE;
    return os_addresses_are_random() || errno != ERANGE;
}

static int ask_with_random_addresses(void)
{
    return personality(0) < 0 ? 2 : !os_addresses_are_random();
}

/* Seen by the process's flag, which a filter may forbid to change. */
TEST(fixed_addresses_are_recognised)
{
    ck_assert_int_ne(result_in_child(ask_without_random_addresses), 1);
    ck_assert_int_ne(result_in_child(ask_with_random_addresses), 1);
}

static unsigned char *wiped;

static int read_wiped(void)
{
    return *wiped;
}

TEST(a_child_sees_wiped_pages)
{
    size_t page = os_page_size();
    wiped = os_map(page);
    ck_assert(os_wipe_on_fork(wiped, page));
    *wiped = 1;
    ck_assert_int_eq(result_in_child(read_wiped), 0);
    ck_assert_int_eq(*wiped, 1);
}

static uint64_t coarse_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

TEST(the_clock_is_the_coarse_monotonic_one)
{
    for (int i = 0; i < 1000; i++) {
        uint64_t before = coarse_ms();
        uint64_t now = os_now_ms();
        uint64_t after = coarse_ms();
        ck_assert_uint_ge(now, before);
        ck_assert_uint_le(now, after);
        ck_assert_uint_ne(now, 0);
    }
}

TEST(resident_memory_follows_use)
{
    size_t size = 64 * MIB;
    size_t before = os_resident();
    ck_assert_uint_gt(before, 0);
    unsigned char *p = os_map(size);
    memset(p, 1, size);
    size_t used = os_resident();
    ck_assert_uint_ge(used, before + size / 2);
    ck_assert(os_unmap(p, size));
    ck_assert_uint_le(os_resident(), used - size / 2);

    before = os_resident();
    p = os_reserve(GIB); /* address space alone does not count */
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_lt(os_resident(), before + GIB / 2);
    ck_assert(os_unmap(p, GIB));
}

static void *wait_for_word(void *word)
{
    while (__atomic_load_n((uint32_t *)word, __ATOMIC_ACQUIRE) == 0)
        os_wait(word, 0, 0);
    return NULL;
}

TEST(waiters_are_woken)
{
    uint32_t word = 1;
    os_wait(&word, 0, 0); /* is not 0: returns at once */
    os_wait(&word, 1, 1); /* not woken: returns after a millisecond */

    word = 0;
    pthread_t waiter = begin_thread(wait_for_word, &word);
    for (int i = 0; i < 100; i++)
        sched_yield();
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    os_wake(&word);
    end_thread(waiter);
}

enum { NAME_SIZE = 16 }; /* of a thread */

static void name_other_thread(void *name)
{
    ck_assert(!os_is_main_thread());
    os_name_thread("other");
    pthread_getname_np(pthread_self(), name, NAME_SIZE);
}

static int parent;

static int ask_in_child(void)
{
    return os_is_main_thread() && os_threads() >= 1 && os_process_id() != parent ? 0 : 1;
}

TEST(threads_are_counted_and_named)
{
    size_t before = os_threads();
    struct partner partner;
    char name[NAME_SIZE];

    ck_assert_uint_ge(before, 1);
    partner_begin(&partner);
    ck_assert_uint_ge(os_threads(), before + 1);
    partner_does(&partner, name_other_thread, name);
    partner_end(&partner);
    ck_assert_str_eq(name, "other");
    ck_assert(os_is_main_thread());
    parent = os_process_id();
    ck_assert_int_eq(parent, getpid());
    ck_assert_int_eq(result_in_child(ask_in_child), 0);
}

static void ignore_signal(int number)
{
    (void)number;
}

enum { TEXT_SIZE = 1 << 20 };

/* Reads fd in small pieces; exits with 0 if it gave the bytes 0, 1, 2 ... 250, 0, 1 ... */
_Noreturn static void read_pattern(int fd)
{
    unsigned char piece[300];
    size_t done = 0;
    ssize_t length;
    while ((length = read(fd, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < length; i++, done++)
            if (piece[i] != done % 251)
                _exit(1);
    }
    _exit(done == TEXT_SIZE ? 0 : 2);
}

TEST(writing_goes_on_after_interruptions)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    char *text = malloc(TEXT_SIZE);
    for (size_t i = 0; i < TEXT_SIZE; i++)
        text[i] = (char)(i % 251);
    pid_t child = fork_limited();
    if (child == 0) {
        close(ends[1]);
        read_pattern(ends[0]);
    }
    close(ends[0]);
    struct sigaction action = {.sa_handler = ignore_signal}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    ck_assert(os_write(ends[1], text, TEXT_SIZE));
    setitimer(ITIMER_REAL, &never, NULL);
    close(ends[1]);
    ck_assert_int_eq(result_of(child), 0);
    free(text);
}

TEST(duplicates_are_high_and_closed_on_exec)
{
    int ends[2];
    struct stat original, copied;
    ck_assert_int_eq(pipe(ends), 0);
    int copy = os_duplicate(ends[1]);
    ck_assert_int_ge(copy, 100);
    ck_assert_int_eq(fcntl(copy, F_GETFD), FD_CLOEXEC);
    fstat(ends[1], &original);
    fstat(copy, &copied);
    ck_assert_uint_eq(original.st_ino, copied.st_ino);
    close(copy);
    ck_assert_int_eq(os_duplicate(copy), -1);
}

TEST(this_program_is_not_secure)
{
    ck_assert(!os_is_secure());
}

TEST(random_bits_vary)
{
    uint64_t all = ~(uint64_t)0, any = 0, previous = os_random();
    for (int i = 0; i < 100; i++) {
        uint64_t random = os_random();
        ck_assert_uint_ne(random, previous);
        previous = random;
        all &= random;
        any |= random;
    }
    ck_assert_uint_eq(all, 0);
    ck_assert_uint_eq(any, ~(uint64_t)0);
}

static void note_and_return(int number)
{
    (void)number;
    os_write(STDERR_FILENO, "handled\n", strlen("handled\n"));
}

struct abort_case {
    void (*handler)(int);
    bool is_blocked;
    const char *text;
};

static const struct abort_case aborts[] = {
    {SIG_DFL, false, ""},
    {SIG_DFL, true, ""},
    {SIG_IGN, false, ""},
    {note_and_return, false, "handled\n"},
};

static void abort_in_state(void *state)
{
    const struct abort_case *abort_case = state;
    sigset_t all;
    sigfillset(&all);
    if (abort_case->is_blocked)
        sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGABRT, abort_case->handler);
    os_abort();
}

TEST_LOOP(abort_ends_the_process_in_any_state, 0, COUNT_OF(aborts))
{
    struct capture capture;
    capture_child(&capture, abort_in_state, (void *)(uintptr_t)&aborts[_i]);
    ck_assert_str_eq(capture.text, aborts[_i].text);
    ck_assert(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGABRT);
}

TEST(what_cannot_be_had_is_null_and_errno_is_kept)
{
    size_t size = range_size();
    uint32_t zero = 0;
    errno = NO_ERRNO;
    void *p = os_map(size);
    ck_assert_ptr_null(os_reserve(TOO_LARGE));
    ck_assert_ptr_null(os_map(TOO_LARGE));
    ck_assert_ptr_null(os_map_guarded(TOO_LARGE));
    os_reserve_at(p, size);
    os_map_at(p, size);
    os_remap(p, size, TOO_LARGE);
    os_huge_pages(p, size, true);
    os_wipe_on_fork(p, size);
    os_purge(p, size);
    os_close(p, size);
    os_unmap(p, size);
    os_open(p, size);
    os_purge(p, size);
    os_huge_pages(p, size, true);
    os_wipe_on_fork(p, size);
    os_wait(&zero, 1, 0);
    os_wait(&zero, 0, 1);
    os_wake(&zero);
    ck_assert(!os_write(-1, "x", 1));
    os_duplicate(-1);
    os_resident();
    os_now_ms();
    os_random();
    os_is_secure();
    os_page_size();
    ck_assert_int_eq(errno, NO_ERRNO);
}

TEST(what_can_be_read_is_known)
{
    size_t page = os_page_size();
    char *p = os_reserve(3 * page);
    ck_assert_ptr_nonnull(p);
    ck_assert(os_open(p + page, page));
    ck_assert(!os_is_readable((uintptr_t)p));
    ck_assert(os_is_readable((uintptr_t)p + page));
    ck_assert(!os_is_readable((uintptr_t)p + 2 * page));
    ck_assert(os_is_readable(align_down((uintptr_t) "constant", page)));
    ck_assert(!os_is_readable(0));
    ck_assert(!os_is_readable(-page));
    ck_assert(os_unmap(p, 3 * page));
    ck_assert(!os_is_readable((uintptr_t)p + page));
}
