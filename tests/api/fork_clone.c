/*
 * New processes by other ways than fork, while threads allocate: vfork, posix_spawn, system and
 * popen, whose child uses the parent's memory for a moment; _Fork and a bare clone, in whose child
 * no atfork handler runs. Such a child allocates and frees, also what other threads had, takes the
 * memory of these, and forks again. Process ids say little: a child may begin a pid namespace, so
 * that it has the id 1, as its parent may, or its parent's id.
 */
#include "check.h"
#include "clone.h"
#include "stats.h"
#include <malloc.h>
#include <spawn.h>

enum {
    THREADS = 3,
    BLOCKS = 200,      /* of each thread */
    CHILDREN = 60,     /* of each way */
    CHILD_SECONDS = 60 /* a child that lives longer hangs */
};

extern char **environ;

/* A block, or NULL; taken and put back by atomic exchange, so that a child finds them all. */
static char *blocks[THREADS][BLOCKS];
static bool stop; /* atomic, relaxed */

static size_t size_of(size_t thread, size_t block)
{
    return block == 0 ? 1500000 : 1 + (thread + 1) * block * 11;
}

static void *churn(void *argument)
{
    struct random random = {(uintptr_t)argument};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t at = random_below(&random, BLOCKS), whose = random_below(&random, THREADS);
        char *block = take(size_of(whose, at), (unsigned)at);
        free(__atomic_exchange_n(&blocks[whose][at], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

/* What a child does that has memory of its own. */
static void use_inherited(void)
{
    alarm(CHILD_SECONDS);
    for (size_t thread = 0; thread < THREADS; thread++)
        for (unsigned i = 0; i < BLOCKS; i++) {
            if (blocks[thread][i] != NULL)
                give(blocks[thread][i], size_of(thread, i), i);
            blocks[thread][i] = NULL;
        }
    use_all_sizes();
    malloc_trim(0); /* looks into the pool, where the lost threads' arenas are then */
    struct acre_stats stats = stats_now();
    CHECK(stats.arenas_pooled == stats.arenas - 1); /* but this thread's */
}

/* ---- children with the parent's memory ---- */

static char true_name[] = "true";
static char *const true_arguments[] = {true_name, NULL};

/* What such a child leaves to its parent. */
enum { LEFT = 12 };
static char *left[LEFT];

static size_t size_of_left(size_t block)
{
    return 1 + block * block * block * 1000; /* the last one is LARGE */
}

static int allocate_for_parent(void *unused)
{
    (void)unused;
    for (size_t thread = 0; thread < THREADS; thread++)
        for (size_t i = 0; i < BLOCKS; i += 2)
            free(__atomic_exchange_n(&blocks[thread][i], NULL, __ATOMIC_ACQ_REL));
    for (unsigned i = 0; i < LEFT; i++)
        left[i] = take(size_of_left(i), i);
    return 0;
}

static void check_left_by(pid_t child)
{
    check_child(child);
    for (unsigned i = 0; i < LEFT; i++)
        give(left[i], size_of_left(i), i);
}

static void test_sharing(void)
{
    bool namespaces = clone_may_make_namespaces();
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execvp(true_name, true_arguments);
            _exit(1);
        }
        check_child(child);
        child = vfork();
        if (child == 0) {
            allocate_for_parent(NULL);
            _exit(0);
        }
        check_left_by(child);
        if (namespaces)
            check_left_by(clone_sharing_into_namespace(allocate_for_parent));
        CHECK(posix_spawnp(&child, true_name, NULL, NULL, true_arguments, environ) == 0);
        check_child(child);
    }
}

static void test_system(void)
{
    for (int i = 0; i < CHILDREN / 10; i++) {
        char text[16] = "";
        CHECK(system("true") == 0);
        FILE *output = popen("echo word", "r");
        CHECK(output != NULL && fgets(text, sizeof(text), output) == text);
        CHECK(strcmp(text, "word\n") == 0 && pclose(output) == 0);
    }
}

/* ---- children without handlers ---- */

typedef pid_t make_child(void);

/* Each child makes one of its own, up to `depth`, and has one that shares its memory. */
static void live(make_child *make, int depth)
{
    use_inherited();
    while (depth-- > 0) {
        blocks[0][1] = take(size_of(0, 1), 1);
        if (make == clone_into_namespace)
            check_left_by(clone_sharing_into_namespace(allocate_for_parent));
        pid_t child = make();
        if (child != 0) {
            check_child(child);
            break;
        }
        use_inherited();
    }
    _exit(0);
}

/* Takes and frees blocks that must be nobody else's. */
static void *insist(void *name)
{
    enum { ROUNDS = 50000, HELD = 8 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        void **held[HELD];
        for (unsigned i = 0; i < HELD; i++) {
            held[i] = malloc(100);
            CHECK(held[i] != NULL);
            *held[i] = (char *)name + i;
        }
        for (unsigned i = 0; i < HELD; i++) {
            CHECK(*held[i] == (char *)name + i);
            free(held[i]);
        }
    }
    return NULL;
}

/* In such a child a thread may be the first one that needs a lock of the allocator's: what the
 * other one has, which forked, stays that one's. */
static void live_with_thread_first(void)
{
    alarm(CHILD_SECONDS);
    pthread_t thread = start_thread(insist, blocks[1]);
    insist(blocks[2]);
    join(thread);
    use_inherited();
    _exit(0);
}

static void test_without_handlers(make_child *make)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = make();
        if (child == 0)
            live(make, i % 4);
        check_child(child);
    }
    for (size_t size = 1; size < 4000; size += 8)
        free(hide(malloc(size))); /* so that starting a thread needs no lock */
    pid_t child = make();
    if (child == 0)
        live_with_thread_first();
    check_child(child);
}

/* ---- a child with its parent's id, which is not 1 ---- */

/* Both are the second process of a namespace. */
static pid_t make_namesake(void)
{
    CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t first = clone_child();
    if (first == 0) {
        alarm(CHILD_SECONDS);
        sleep_for_ever();
    }
    CHECK(first > 0);
    pid_t parent = getpid(), second = clone_child();
    CHECK(second != 0 || getpid() == parent);
    if (second != 0) {
        check_child(second);
        CHECK(kill(first, SIGKILL) == 0);
        wait_for(first);
    }
    return second;
}

static void begin_namespace(void)
{
    pid_t child = fork();
    if (child == 0) {
        CHECK(getpid() == 2);
        if (make_namesake() == 0)
            use_inherited();
        _exit(0);
    }
    check_child(child);
}

int main(void)
{
    pthread_t threads[THREADS];
    check_begin();
    CHECK(signal(SIGALRM, clone_end_hanging) != SIG_ERR);
    start_threads(threads, THREADS, churn);
    test_sharing();
    test_system();
    if (!clone_is_noticed()) {
        printf("this kernel has no MADV_WIPEONFORK: children without handlers left out\n");
        return 0;
    }
    test_without_handlers(clone_child);
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
    test_without_handlers(_Fork);
#endif
#endif
    if (clone_may_make_namespaces()) {
        test_without_handlers(clone_into_namespace);
        pid_t child = clone_into_namespace();
        if (child == 0) {
            begin_namespace();
            _exit(0);
        }
        check_child(child);
    } else {
        printf("pid namespaces may not be made here: left out\n");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join_threads(threads, THREADS);
    return 0;
}
