/*
 * Children that begin a pid namespace or come into one, so that process ids say little: one that
 * runs on its parent's memory, as vfork makes it, but has the id 1, which its parent may have, too;
 * and one that has its parent's id, though that is not 1. Whatever such a child allocates and
 * frees, all blocks stay whose they are, and no arena is lost or in two threads' hands.
 */
#include "check.h"
#include "clone.h"
#include <acre/acre.h>
#include <malloc.h>

enum {
    BLOCKS = 200,
    CHILD_SECONDS = 60, /* a child that lives longer hangs */
};

struct set {
    char *blocks[BLOCKS];
};

static struct set passed, left, of_first, of_thread;

static size_t size_of(size_t block)
{
    return block == 0 ? 1200000 : 1 + block * 23;
}

static size_t filled_of(size_t block)
{
    return size_of(block) < 4096 ? size_of(block) : 4096;
}

static void take(struct set *set)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        set->blocks[i] = malloc(size_of(i));
        CHECK(set->blocks[i] != NULL);
        fill(set->blocks[i], filled_of(i), (unsigned)i);
    }
}

static void give_back(struct set *set)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(set->blocks[i], filled_of(i), (unsigned)i));
        free(set->blocks[i]);
    }
}

/* So many arenas are there, each a living thread's, but for those in the pool. */
static void check_arenas(size_t all, size_t pooled)
{
    struct acre_stats stats;
    malloc_trim(0); /* looks into the pool: in a child that makes known whose arena is whose */
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    CHECK(stats.arenas == all && stats.arenas_pooled == pooled);
}

/* So that starting a thread afterwards needs no lock of the allocator's. */
static void fill_magazines(void)
{
    for (size_t size = 1; size < 4000; size += 8)
        free(hide(malloc(size)));
}

typedef pid_t make_child(void);

/* Runs `work` in a child of that kind. */
static void in_child(make_child *make, void (*work)(void))
{
    pid_t child = make();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        work();
        _exit(0);
    }
    check_child(child);
}

/* ---- a child that runs on its parent's memory ---- */

static int allocate_for_parent(void *unused)
{
    static struct set own;
    (void)unused;
    CHECK(getpid() == 1);
    give_back(&passed);
    take(&left);
    take(&own);
    give_back(&own);
    return 0;
}

static void let_child_allocate(void)
{
    check_child(clone_sharing_into_namespace(allocate_for_parent));
}

/* All that the process has, in its only thread. */
static void give_all_back(void)
{
    struct set own;
    give_back(&left);
    give_back(&of_first);
    take(&own);
    give_back(&own);
    check_arenas(1, 0);
}

static void *give_and_take(void *set)
{
    take(set);
    give_back(set);
    take(set);
    check_arenas(2, 0);
    give_back(set);
    return NULL;
}

/* In the parent, when the child has ended: the only arena is the only thread's, another thread
 * makes its own, and children see the same. */
static void check_parent(void)
{
    pthread_t thread;
    static struct set set;
    in_child(fork, give_all_back);
    in_child(clone_child, give_all_back);
    check_arenas(1, 0);
    CHECK(pthread_create(&thread, NULL, give_and_take, &set) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    give_back(&left);
    give_back(&of_first);
}

/* The child's first lock is, or is not, the first one in this process, too. */
static void share_at_once(void)
{
    let_child_allocate();
    check_parent();
}

static void share_later(void)
{
    struct set own;
    take(&own);
    let_child_allocate();
    give_back(&own);
    check_parent();
}

static void share_in_children(void)
{
    static make_child *const makes[] = {fork, clone_child, clone_into_namespace};
    for (size_t i = 0; i < sizeof(makes) / sizeof(makes[0]); i++) {
        in_child(makes[i], share_at_once);
        in_child(makes[i], share_later);
    }
}

/* ---- by a thread that did not fork, and is the first that takes a lock ---- */

static pthread_barrier_t shared, done;

static void *share_in_thread(void *unused)
{
    take(&of_thread);
    let_child_allocate();
    pthread_barrier_wait(&shared);
    pthread_barrier_wait(&done);
    give_back(&of_thread);
    return unused;
}

static void *take_in_third(void *unused)
{
    static struct set own;
    take(&own);
    check_arenas(3, 0);
    give_back(&own);
    return unused;
}

static void share_before_first_thread(void)
{
    pthread_t thread, third;
    CHECK(pthread_barrier_init(&shared, NULL, 2) == 0 && pthread_barrier_init(&done, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, share_in_thread, NULL) == 0);
    pthread_barrier_wait(&shared);
    /* this thread, which forked, has not been seen in this process yet; its arena is its own */
    CHECK(pthread_create(&third, NULL, take_in_third, NULL) == 0);
    CHECK(pthread_join(third, NULL) == 0);
    give_back(&of_first);
    give_back(&left);
    pthread_barrier_wait(&done);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- a child with its parent's id ---- */

static void use_with_same_id(void)
{
    struct set own;
    give_back(&of_first);
    take(&own);
    give_back(&own);
    check_arenas(1, 0);
}

/* The second process of a namespace makes another one, whose second process is the child. */
static void *make_namesake(void *unused)
{
    CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t first = clone_child();
    if (first == 0)
        for (;;)
            pause();
    CHECK(first > 0);
    pid_t parent = getpid(), second = clone_child();
    if (second == 0) {
        alarm(CHILD_SECONDS);
        CHECK(getpid() == parent);
        use_with_same_id();
        _exit(0);
    }
    check_child(second);
    CHECK(kill(first, SIGKILL) == 0 && waitpid(first, NULL, 0) == first);
    return unused;
}

/* Nothing here takes a lock before the child is there. */
static void make_namesake_by_thread(void)
{
    pthread_t thread;
    CHECK(getpid() == 2);
    CHECK(pthread_create(&thread, NULL, make_namesake, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void begin_namespace(void)
{
    CHECK(getpid() == 1);
    in_child(fork, make_namesake_by_thread);
}

int main(void)
{
    check_begin();
    CHECK(signal(SIGALRM, clone_end_hanging) != SIG_ERR);
    if (!clone_may_make_namespaces())
        check_skip("pid namespaces may not be made here");
    if (!clone_is_noticed())
        check_skip("this kernel has no MADV_WIPEONFORK");
    fill_magazines();
    take(&of_first);
    take(&passed);
    in_child(fork, share_in_children);
    in_child(clone_into_namespace, share_in_children);
    in_child(clone_child, share_before_first_thread);
    in_child(clone_into_namespace, share_before_first_thread);
    in_child(clone_into_namespace, begin_namespace);
    share_later();
    return 0;
}
