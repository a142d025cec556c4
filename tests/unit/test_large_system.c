/*
 * The LARGE list and the system under it: the limits on mappings and address space, threads, and
 * children of fork. Check runs each test in a process of its own, so each begins with an empty
 * list.
 */
#include "test.h"
#include "child.h"
#include "random.h"
#include "sanitized.h"
#include "vm_flags.h"
#include "large/large.h"
#include "large/large_list.h"
#include "large/large_stock.h"

#include "base/fork.h"
#include "base/option.h"
#include "base/os.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER "3600000" /* ms of decay: nothing falls due by itself */

static void set_options(const char *stock, const char *decay)
{
    ck_assert_int_eq(option_set_text("large_stock", stock), 0);
    ck_assert_int_eq(option_set_text("decay", decay), 0);
}

static void begin(void)
{
    set_options("64M", FOREVER);
}

SUITE(large_system, .begin = begin, .timeout = 120);

static struct large_totals totals(void)
{
    struct large_totals now;
    large_totals(&now);
    return now;
}

static enum large_place place_of(const void *p)
{
    struct large_info info;
    large_find(p, &info);
    return info.place;
}

static bool all_bytes(const unsigned char *memory, size_t size, unsigned char value)
{
    return size == 0 || (memory[0] == value && memcmp(memory, memory + 1, size - 1) == 0);
}

static void *alloc(size_t size)
{
    void *block = large_alloc(size, 16, NULL);
    ck_assert_ptr_nonnull(block);
    return block;
}

/* ---- The system's limits ---- */

/* Uses up the mappings that this process may have. */
static void exhaust_mappings(void)
{
    size_t page = os_page_size();
    unsigned char *area = os_reserve(page << 18);

    ck_assert_ptr_nonnull(area);
    for (size_t i = 0; i < (size_t)1 << 18; i += 2)
        if (!os_open(area + i * page, page))
            return;
    ck_abort_msg("vm.max_map_count is larger than this test expects");
}

/* What cannot be unmapped is purged and stays usable, and goes when its neighbours go. */
TEST_UNLESS(NO_LIMITS, refused_unmapping_keeps_the_extent_without_contents)
{
    unsigned char *block = alloc(32 * MIB);

    set_options("0", FOREVER);
    memset(block, 9, 32 * MIB);
    for (size_t i = 1; i < 4; i++) { /* four blocks side by side, in one mapping */
        set_options("64M", FOREVER);
        ck_assert_ptr_eq(large_resize(block, (4 - i) * 8 * MIB), block);
        ck_assert_ptr_eq(alloc(8 * MIB), block + (4 - i) * 8 * MIB);
    }
    set_options("0", FOREVER);
    exhaust_mappings();
    ck_assert_int_eq(large_free(block + 16 * MIB), 0);
    ck_assert_uint_eq(totals().stock_bytes, 8 * MIB);
    ck_assert_int_eq(place_of(block + 16 * MIB), LARGE_FREED);

    bool zero = false;
    ck_assert_ptr_eq(large_alloc(8 * MIB, 16, &zero), block + 16 * MIB);
    ck_assert(zero);
    ck_assert(all_bytes(block + 16 * MIB, 8 * MIB, 0));
    ck_assert(all_bytes(block + 24 * MIB, 8 * MIB, 9));
    ck_assert_int_eq(large_free(block + 16 * MIB), 0);
    ck_assert_uint_eq(large_purge(false), 0);
    ck_assert_int_eq(large_free(block + 8 * MIB), 0);
    ck_assert_uint_eq(totals().stock_bytes, 16 * MIB);
    ck_assert_uint_eq(totals().stock_extents, 1);
    for (size_t i = 0; i < 4; i += 3)
        ck_assert_int_eq(large_free(block + i * 8 * MIB), 0);
    ck_assert(large_is_valid());
    ck_assert_uint_le(totals().stock_bytes, 32 * MIB);
}

/* ---- munmap refuses ---- */

enum { CUT_SIZE = 3 << 20, CUT_ALIGNMENT = 64 << 20 }; /* bytes */

/* What munmap refuses, when a block of that size and alignment is cut out of what was mapped: there
 * the part behind the block begins CUT_SIZE bytes behind a multiple of CUT_ALIGNMENT. */
enum { REFUSE_FRONT = 1, REFUSE_BEHIND = 2, REFUSE_BOTH = REFUSE_FRONT | REFUSE_BEHIND };

/* From now on, for good. False if the system has no filters for system calls. */
static bool refuse_unmapping(int parts)
{
    static const unsigned refused = SECCOMP_RET_ERRNO | ENOMEM;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])), /* low half */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, CUT_ALIGNMENT - 1),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CUT_SIZE, 0, 2),
        BPF_STMT(BPF_RET | BPF_K, parts & REFUSE_BEHIND ? refused : SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, parts & REFUSE_FRONT ? refused : SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Makes sure that what is mapped next has something in front of the block and behind it: the system
 * chooses the address again that it has chosen now. */
static void shift_next_mapping(void)
{
    size_t page = os_page_size(), size = CUT_SIZE + CUT_ALIGNMENT - page;
    char *next = os_map(size);
    ck_assert_ptr_nonnull(next);
    os_unmap(next, size);
    if ((uintptr_t)next % CUT_ALIGNMENT <= page)
        ck_assert_ptr_nonnull(os_map(2 * page));
}

/* What an aligned block was cut out of, and could not be unmapped, is free memory. */
TEST_LOOP_UNLESS(NO_LIMITS, what_stays_around_an_aligned_block_is_stock, REFUSE_FRONT,
                 REFUSE_BOTH + 1)
{
    int refused = _i;
    size_t excess = CUT_ALIGNMENT - os_page_size();
    bool zero = false;

    shift_next_mapping();
    if (!refuse_unmapping(refused)) {
        printf("skipped: this process may not filter system calls\n");
        return;
    }
    unsigned char *block = large_alloc(CUT_SIZE, CUT_ALIGNMENT, &zero);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq((uintptr_t)block % CUT_ALIGNMENT, 0);
    ck_assert_uint_eq(large_usable_size(block), CUT_SIZE);
    ck_assert(zero);
    ck_assert(large_is_valid());
    ck_assert_int_eq(place_of(block - 1), refused & REFUSE_FRONT ? LARGE_IN_STOCK : LARGE_UNKNOWN);
    ck_assert_int_eq(place_of(block + CUT_SIZE),
                     refused & REFUSE_BEHIND ? LARGE_IN_STOCK : LARGE_UNKNOWN);
    if (refused == REFUSE_BOTH)
        ck_assert_uint_eq(totals().stock_bytes, excess);
    else
        ck_assert_uint_lt(totals().stock_bytes, excess);
    ck_assert_uint_eq(totals().stock_dirty, 0);

    /* what is called free is there, and nothing of it is the block's */
    size_t stock = totals().stock_bytes, extents = totals().stock_extents;
    ck_assert_uint_eq(extents, refused == REFUSE_BOTH ? 2 : 1);
    memset(block, 1, CUT_SIZE);
    for (size_t page = os_page_size(); stock != 0; stock -= page) {
        unsigned char *other = large_alloc(page, 1, &zero);
        ck_assert(zero && other[0] == 0 && other[page - 1] == 0);
        other[0] = other[page - 1] = 2;
        if (totals().stock_bytes != stock - page)
            ck_abort_msg("mapped anew with %zu bytes in the stock", stock);
    }
    ck_assert(all_bytes(block, CUT_SIZE, 1));
    ck_assert(large_is_valid());
}

/* As many blocks as there may be mappings and more; every second one goes, and comes again. */
TEST_UNLESS(NO_LIMITS, a_hundred_thousand_blocks)
{
    enum { BLOCKS = 100000 };
    static void *blocks[BLOCKS];
    bool done = true; /* few ck_asserts: each is a system call */

    for (int i = 0; i < BLOCKS; i++)
        done = done && (blocks[i] = large_alloc(MIB + 1, 16, NULL)) != NULL;
    ck_assert(done);
    ck_assert_uint_eq(totals().live_blocks, BLOCKS);
    for (int i = 0; i < BLOCKS; i += 2)
        done = done && large_free(blocks[i]) == 0;
    ck_assert_uint_eq(totals().live_blocks, BLOCKS / 2);
    for (int i = 0; i < BLOCKS; i += 2)
        done = done && (blocks[i] = large_alloc(MIB + 1, 16, NULL)) != NULL;
    ck_assert(done);
    ck_assert(large_is_valid());
    for (int i = 0; i < BLOCKS; i++)
        done = done && large_free(blocks[i]) == 0;
    ck_assert(done);
    large_purge(true);
    ck_assert_uint_eq(totals().live_blocks, 0);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(large_is_valid());
}

enum { ASKED, DECLINED, NEITHER };

/* What each value of the option has a block of 2 MiB and one of 4 MiB ask for. */
static const struct {
    const char *value;
    int small, large;
} huge_pages[] = {
    {"never", DECLINED, DECLINED},
    {"large", DECLINED, ASKED},
    {"system", NEITHER, NEITHER},
    {"always", ASKED, ASKED},
};

enum { HUGE_PAGES_VALUES = sizeof(huge_pages) / sizeof(huge_pages[0]) };

static void check_asked(const void *p, int asked)
{
    bool supported = huge_pages_are_supported();
    ck_assert_int_eq(has_vm_flag(p, " hg"), supported && asked == ASKED);
    ck_assert_int_eq(has_vm_flag(p, " nh"), supported && asked == DECLINED);
}

TEST_LOOP_UNLESS(NO_LIMITS, large_blocks_ask_for_huge_pages, 0, HUGE_PAGES_VALUES)
{
    ck_assert_int_eq(option_set_text("huge_pages", huge_pages[_i].value), 0);
    unsigned char *small = alloc(2 * MIB), *large = alloc(4 * MIB), *more = alloc(9 * MIB);
    check_asked(small, huge_pages[_i].small);
    check_asked(large, huge_pages[_i].large);
    check_asked(more, huge_pages[_i].large);
    /* mapped as one that is too small, and grown */
    unsigned char *grown = large_resize(small, 6 * MIB);
    ck_assert_ptr_nonnull(grown);
    check_asked(grown, huge_pages[_i].large);
    check_asked(grown + 6 * MIB - 1, huge_pages[_i].large);
    /* purged and taken again */
    large_free(large);
    set_options("64M", "0");
    large_tick(os_now_ms());
    large = alloc(4 * MIB);
    check_asked(large, huge_pages[_i].large);
    ck_assert(large_is_valid());
}

/* ---- What an alignment leaves over ---- */

enum { SLOT = 128 << 10 }; /* bytes: the alignment below */

/* Blocks of a page, each at a multiple of SLOT. */
static void alloc_aligned_pages(unsigned char **blocks, int count)
{
    bool done = true;

    for (int i = 0; i < count; i++) {
        bool zero = false;
        blocks[i] = large_alloc(1, SLOT, &zero);
        done = done && blocks[i] != NULL && (uintptr_t)blocks[i] % SLOT == 0 && zero;
    }
    ck_assert(done);
    ck_assert(large_is_valid());
}

/* What an alignment leaves over is between the blocks, so that they are few pieces, and serves
 * other requests. */
TEST_UNLESS(NO_LIMITS, what_an_alignment_leaves_over_serves_again)
{
    enum { BLOCKS = 2000, SMALL = 48 << 10 };
    static unsigned char *blocks[BLOCKS];

    alloc_aligned_pages(blocks, BLOCKS);
    size_t stock = totals().stock_bytes;
    ck_assert_uint_le(stock, (size_t)BLOCKS * SLOT);
    ck_assert_uint_eq(totals().stock_dirty, 0);
    /* metadata may be mapped at the edge of the list */
    ck_assert_uint_le(extents_pieces(&large_list.table), 8);
    for (int i = 0; i < BLOCKS; i++) {
        bool zero = false;
        unsigned char *other = large_alloc(SMALL, 1, &zero);
        ck_assert(other != NULL && zero);
        other[0] = other[SMALL - 1] = 1;
    }
    ck_assert_uint_eq(totals().stock_bytes, stock - (size_t)BLOCKS * SMALL);
    ck_assert(large_is_valid());
}

/* It decays like all else, but leaves no more holes than the list may have. */
TEST_LOOP_UNLESS(NO_LIMITS, what_an_alignment_leaves_over_decays, 0, 2)
{
    enum { BLOCKS = 3000 };
    static unsigned char *blocks[BLOCKS];
    int count = _i == 0 ? 500 : BLOCKS;

    alloc_aligned_pages(blocks, count);
    large_tick(os_now_ms() + 3600000);
    ck_assert(large_is_valid());
    ck_assert(!large_is_aging());
    size_t pieces = extents_pieces(&large_list.table);
    if (_i == 0) {
        ck_assert_uint_eq(totals().stock_bytes, 0);
        ck_assert_uint_eq(pieces, count);
    } else {
        ck_assert_uint_ge(pieces, LARGE_PIECES_MOST);
        ck_assert_uint_le(pieces, LARGE_PIECES_MOST + 8);
        ck_assert_uint_gt(totals().stock_bytes, 0);
    }
    /* what was kept goes with the blocks around it */
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(large_free(blocks[i]), 0);
    large_purge(true);
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert_uint_eq(extents_pieces(&large_list.table), 0);
}

/* Freed blocks between live ones lose their contents at least. */
TEST_UNLESS(NO_LIMITS, many_holes_are_not_unmapped_but_purged)
{
    enum { BLOCKS = 4000 };
    static unsigned char *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = alloc(64 * KIB);
        blocks[i][0] = 1;
    }
    for (int i = 0; i < BLOCKS; i += 2)
        large_free(blocks[i]);
    size_t stock = totals().stock_bytes;
    ck_assert_uint_eq(stock, totals().stock_dirty);
    ck_assert_uint_eq(large_purge(true), stock);
    ck_assert_uint_le(extents_pieces(&large_list.table), LARGE_PIECES_MOST + 8);
    ck_assert_uint_gt(totals().stock_bytes, 0);
    ck_assert_uint_eq(totals().stock_dirty, 0);
    for (int i = 0; i < BLOCKS; i += 2) {
        bool zero = false;
        unsigned char *block = large_alloc(64 * KIB, 16, &zero);
        ck_assert(block != NULL && zero && block[0] == 0);
    }
    ck_assert_uint_eq(totals().stock_bytes, 0);
    ck_assert(large_is_valid());
}

/* ---- Threads and forks ---- */

enum { THREADS = 4, CHURN = 3000, HELD = 8 };

struct churner {
    pthread_t thread;
    unsigned number;
    bool failed;
    bool *stop; /* NULL: after CHURN rounds */
};

/* True if the first and last bytes of a block are the mark it was given. */
static bool is_marked(const unsigned char *block, size_t size, unsigned char mark)
{
    return block[0] == mark && block[size - 1] == mark;
}

static void *churn(void *argument)
{
    struct churner *churner = argument;
    struct random random = random_begin();
    unsigned char mark = (unsigned char)(churner->number + 1);
    unsigned char *blocks[HELD] = {NULL};
    size_t sizes[HELD] = {0};

    random.state += churner->number;
    for (int i = 0;
         churner->stop != NULL ? !__atomic_load_n(churner->stop, __ATOMIC_RELAXED) : i < CHURN;
         i++) {
        unsigned slot = (unsigned)random_below(&random, HELD);
        unsigned char *block = blocks[slot];
        size_t size = (1 + random_below(&random, 64)) * 64 * KIB;
        if (block == NULL) {
            block = large_alloc(size, (size_t)1 << random_below(&random, 22), NULL);
        } else if (!is_marked(block, sizes[slot], mark)) {
            churner->failed = true;
        } else if (random_below(&random, 3) == 0) {
            unsigned char *moved = large_resize(block, size);
            size = moved != NULL ? size : sizes[slot];
            block = moved != NULL ? moved : block;
            churner->failed |= block[0] != mark;
        } else {
            churner->failed |= large_free(block) != 0;
            block = NULL;
        }
        blocks[slot] = block;
        sizes[slot] = size;
        if (block != NULL)
            block[0] = block[size - 1] = mark;
    }
    for (unsigned slot = 0; slot < HELD; slot++)
        if (blocks[slot] != NULL)
            churner->failed |= large_free(blocks[slot]) != 0;
    return NULL;
}

static void start_churners(struct churner *churners, bool *stop)
{
    for (unsigned i = 0; i < THREADS; i++) {
        churners[i] = (struct churner){.number = i, .stop = stop};
        ck_assert_int_eq(pthread_create(&churners[i].thread, NULL, churn, &churners[i]), 0);
    }
}

static void join_churners(struct churner *churners)
{
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(churners[i].thread, NULL);
        ck_assert(!churners[i].failed);
    }
}

TEST(threads_churn)
{
    struct churner churners[THREADS];

    set_options("16M", "5");
    start_churners(churners, NULL);
    join_churners(churners);
    ck_assert_uint_eq(totals().live_blocks, 0);
    ck_assert(large_is_valid());
    large_purge(true);
    ck_assert_uint_eq(totals().stock_bytes, 0);
}

/* In a child: the list is whole again, and what it hands out is no block that was live. Exit status
 * 0 if so. */
static int use_list_in_child(const unsigned char *kept)
{
    enum { BLOCKS = 20 };
    unsigned char *blocks[BLOCKS];

    if (!large_is_valid() || place_of(kept) != LARGE_START)
        return 1;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = large_alloc(MIB, 16, NULL);
        if (blocks[i] == NULL)
            return 2;
        blocks[i][0] = blocks[i][MIB - 1] = (unsigned char)i; /* and it is mapped */
    }
    for (int i = 0; i < BLOCKS; i++)
        if (!is_marked(blocks[i], MIB, (unsigned char)i) || large_free(blocks[i]) != 0)
            return 3;
    if (!all_bytes(kept, MIB, 0x77))
        return 4;
    return large_is_valid() ? 0 : 5;
}

/* What an interrupted churner says, until the main thread lets it go on. */
enum answer { NONE, IN_THE_LIST, ELSEWHERE };

static enum answer answer; /* atomic */

/* A churner that holds the list's lock stays where it is. */
static void stay_in_the_list(int signal_number)
{
    bool holds = lock_is_held(&large_list.lock);
    (void)signal_number;
    __atomic_store_n(&answer, holds ? IN_THE_LIST : ELSEWHERE, __ATOMIC_RELEASE);
    while (__atomic_load_n(&answer, __ATOMIC_ACQUIRE) == IN_THE_LIST)
        sched_yield();
}

static void let_go_on(void)
{
    __atomic_store_n(&answer, NONE, __ATOMIC_RELEASE);
}

/* Interrupts churners in turn until one stays that is in the middle of the list's code; it goes on
 * at let_go_on. False if each of many was elsewhere. */
static bool stop_one(struct churner *churners)
{
    enum { TRIES = 400 };
    for (unsigned i = 0; i < TRIES; i++) {
        let_go_on();
        pthread_kill(churners[i % THREADS].thread, SIGUSR1);
        while (__atomic_load_n(&answer, __ATOMIC_ACQUIRE) == NONE)
            sched_yield();
        if (__atomic_load_n(&answer, __ATOMIC_ACQUIRE) == IN_THE_LIST)
            return true;
    }
    return false;
}

/*
 * Forks while another thread is anywhere in the list's code and holds its lock; where churners make
 * system calls all the time, for which none is held, at any instant. One such fork in a hundred
 * comes while the lock is held.
 */
TEST_LOOP(children_of_fork_use_the_list, 0, 2)
{
    enum { FORKS = 30, ANYWHERE = 0, INSIDE = 1 };
    struct sigaction action = {.sa_handler = stay_in_the_list, .sa_flags = SA_RESTART};
    struct churner churners[THREADS];
    unsigned char *kept = alloc(MIB);
    bool stop = false;
    int lost = 0; /* locks, with their holders */

    set_options("256M", _i == ANYWHERE ? "0" : FOREVER);
    memset(kept, 0x77, MIB);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    start_churners(churners, &stop);
    for (int i = 0; i < FORKS; i++) {
        lost += _i == INSIDE && stop_one(churners);
        pid_t child = fork_limited();
        if (child == 0) {
            fork_child();
            _exit(use_list_in_child(kept));
        }
        let_go_on();
        ck_assert_int_eq(result_of(child), 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join_churners(churners);
    if (UNDER_SANITIZER)
        lost = FORKS; /* signals may wait until the thread leaves the list */
    ck_assert_int_ge(lost, _i == INSIDE ? FORKS / 2 : 0);
}
