/*
 * Arenas after two forks in a row, the second one at a bad moment: the arena of a thread that is
 * lost then is adopted. Handlers are called by hand.
 */
#include "test.h"
#include "arena/arena.h"
#include "child.h"
#include "in_thread.h"
#include "base/os.h"

#include <signal.h>
#include <sys/mman.h>

static struct arena *mine, *lost;

static void begin(void)
{
    fork_begin(arena_forked);
    mine = arena_adopt();
}

SUITE(arena_fork, .begin = begin);

/* ---- Before a lock is taken ---- */

static int adopt_of_forker(void)
{
    struct arena *arena = arena_adopt();
    if (arena != mine)
        return 1;
    return arena_status(arena) == ARENA_OWNED && !arena->orphan && arena_is_valid(arena) ? 0 : 2;
}

static void *fork_again(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)result_in_child(adopt_of_forker);
}

/* A signal handler has forked, whose thread was about to hold the arena; back from it the thread
 * has stored the status, and starts another one. */
static int go_on_and_start_thread(void)
{
    fork_child();
    __atomic_store_n(&mine->status, arena_status_word(ARENA_OWNED, fork_generation()),
                     __ATOMIC_RELEASE);
    return (int)(intptr_t)run_thread(fork_again, NULL);
}

TEST(an_arena_held_before_any_lock_is_taken_is_adopted)
{
    ck_assert_int_eq(result_in_child(go_on_and_start_thread), 0);
}

/* ---- While the pool is listed ---- */

static void adopt(void *unused)
{
    (void)unused;
    lost = arena_adopt();
}

/* The page that a field of our arena is on. */
static void *page_of(const void *field)
{
    return (void *)align_down((uintptr_t)field, os_page_size());
}

/* Forks where pool_rebuild has come to our arena, the older one. */
static void fork_at_access(int signal_number)
{
    (void)signal_number;
    if (mprotect(page_of(&mine->status), os_page_size(), PROT_READ | PROT_WRITE) != 0)
        _exit(NOT_EXITED);
    if (fork_midway())
        fork_child();
}

static int list_while_forking(void)
{
    struct sigaction action = {.sa_handler = fork_at_access};
    struct partner thread;

    /* a thread that did not fork is the first to take a lock: the list is made twice */
    partner_begin(&thread);
    partner_does(&thread, adopt, NULL);
    if (sigaction(SIGSEGV, &action, NULL) != 0 || lost == mine ||
        page_of(&lost->status) == page_of(&mine->status) ||
        mprotect(page_of(&mine->status), os_page_size(), PROT_NONE) != 0)
        return 1;
    struct arena *made = arena_adopt();
    if (made == mine || made == lost)
        return 2;
    if (in_forked_child)
        _exit(arena_adopt() == lost ? 0 : 3);
    return failed_children == 0 ? 0 : 4;
}

TEST(the_list_is_made_again_after_a_fork_meanwhile)
{
    ck_assert_int_eq(result_in_child(list_while_forking), 0);
}
