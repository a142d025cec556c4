/*
 * New processes by other ways than fork, while threads allocate: vfork, posix_spawn, system and
 * popen, whose child uses the parent's memory for a moment; _Fork and a bare clone, in whose child
 * no atfork handler runs, and which may begin a pid namespace, so that parent and child have the
 * same id. Such a child allocates and frees, also what other threads had, takes the memory of
 * these, and forks again.
 */
#include "check.h"
#include "clone.h"
#include <acre/acre.h>
#include <malloc.h>
#include <signal.h>
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
    size_t self = (size_t)(uintptr_t)argument;
    uint64_t random = self + 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t at = next_random(&random) % BLOCKS;
        size_t whose = next_random(&random) % THREADS;
        char *block = malloc(size_of(whose, at));
        CHECK(block != NULL);
        fill(block, size_of(whose, at) < 4096 ? size_of(whose, at) : 4096, (unsigned)at);
        free(__atomic_exchange_n(&blocks[whose][at], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

/* What a child does that has memory of its own. */
static void use_inherited(void)
{
    struct acre_stats stats;
    alarm(CHILD_SECONDS);
    for (size_t thread = 0; thread < THREADS; thread++)
        for (size_t i = 0; i < BLOCKS; i++) {
            char *block = blocks[thread][i];
            size_t size = size_of(thread, i);
            if (block != NULL)
                CHECK(is_filled(block, size < 4096 ? size : 4096, (unsigned)i));
            free(block);
            blocks[thread][i] = NULL;
        }
    for (size_t size = 1; size < 3000000; size += size / 4 + 1)
        free(hide(malloc(size)));
    free(hide(realloc(calloc(1, 50000), 2000000)));
    /* looks into the pool, where the lost threads' arenas are then */
    malloc_trim(0);
    CHECK(acre_stats(&stats, sizeof(stats)) == 0);
    CHECK(stats.arenas_pooled == stats.arenas - 1); /* but this thread's */
}

/* ---- children with the parent's memory ---- */

static char true_name[] = "true";
static char *const true_arguments[] = {true_name, NULL};

static void test_vfork(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execvp(true_name, true_arguments);
            _exit(1);
        }
        check_child(child);
    }
}

/* What a child of vfork leaves to its parent. */
enum { LEFT = 12 };
static char *left[LEFT];

static size_t size_of_left(size_t block)
{
    return 1 + block * block * block * 1000; /* the last one is LARGE */
}

static void allocate_for_parent(void)
{
    for (size_t thread = 0; thread < THREADS; thread++)
        for (size_t i = 0; i < BLOCKS; i += 2)
            free(__atomic_exchange_n(&blocks[thread][i], NULL, __ATOMIC_ACQ_REL));
    for (size_t i = 0; i < LEFT; i++) {
        left[i] = realloc(malloc(1 + i), size_of_left(i));
        CHECK(left[i] != NULL);
        fill(left[i], size_of_left(i), (unsigned)i);
    }
}

static void free_what_is_left(void)
{
    for (size_t i = 0; i < LEFT; i++) {
        CHECK(is_filled(left[i], size_of_left(i), (unsigned)i));
        free(left[i]);
    }
}

static void test_vfork_allocates(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = vfork();
        if (child == 0) {
            allocate_for_parent();
            _exit(0);
        }
        check_child(child);
        free_what_is_left();
    }
}

static int allocate_and_end(void *unused)
{
    (void)unused;
    allocate_for_parent();
    return 0;
}

static void test_vfork_into_namespace(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        check_child(clone_sharing_into_namespace(allocate_and_end));
        free_what_is_left();
    }
}

static void test_spawn(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = 0;
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

/* Each child makes one of its own, up to `depth`. */
static void live(make_child *make, int depth)
{
    pid_t child;
    use_inherited();
    while (depth-- > 0) {
        blocks[0][1] = malloc(size_of(0, 1));
        CHECK(blocks[0][1] != NULL);
        fill(blocks[0][1], size_of(0, 1), 1);
        child = make();
        if (child != 0) {
            check_child(child);
            break;
        }
        use_inherited();
    }
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
static void test_thread_first(make_child *make)
{
    for (size_t size = 1; size < 4000; size += 8)
        free(hide(malloc(size))); /* so that starting a thread needs no lock */
    pid_t child = make();
    if (child == 0) {
        pthread_t thread;
        alarm(CHILD_SECONDS);
        CHECK(pthread_create(&thread, NULL, insist, blocks[1]) == 0);
        insist(blocks[2]);
        CHECK(pthread_join(thread, NULL) == 0);
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
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)i) == 0);
    test_vfork();
    test_vfork_allocates();
    if (clone_may_make_namespaces())
        test_vfork_into_namespace();
    test_spawn();
    test_system();
    if (clone_is_noticed()) {
        test_without_handlers(clone_child);
        test_thread_first(clone_child);
        if (clone_may_make_namespaces()) {
            test_without_handlers(clone_into_namespace);
            test_thread_first(clone_into_namespace);
        } else {
            printf("pid namespaces may not be made here: left out\n");
        }
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
        test_without_handlers(_Fork);
        test_thread_first(_Fork);
#endif
#endif
    } else {
        printf("this kernel has no MADV_WIPEONFORK: children without handlers left out\n");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
