/*
 * atfork handlers that allocate, free and fork, each of the three kinds, some registered before
 * acre can have registered its own (from the executable's preinit function), some after it, while
 * other threads allocate. The child of a handler's fork goes on with the fork that it interrupted,
 * and all processes use what they have inherited.
 */
#include "check.h"
#include "stats.h"
#include <gnu/libc-version.h>
#include <malloc.h>

enum kind { PREPARE, PARENT, CHILD, KINDS };

enum {
    HANDLERS = 2 * KINDS, /* the early ones, then the late ones */
    BLOCKS = 60,
    FORKS = 40,
    CHILD_SECONDS = 60, /* a child that lives longer hangs */
};

static char *blocks[BLOCKS];
static int chosen = -1; /* the handler that forks; -1: none */
static bool in_handler; /* handlers of the inner fork do nothing */
static pid_t inner;     /* what the inner fork returned; -1: there was none */
static unsigned runs;   /* of the chosen handler */
static bool use_before; /* the handlers allocate before they fork */

static size_t size_of(size_t block)
{
    return block == 0 ? 1200000 : 1 + block * block * 5;
}

static void replace_blocks(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i] != NULL)
            give(blocks[i], size_of(i), i);
        blocks[i] = take(size_of(i), i);
    }
}

static pid_t has_sleeper; /* a process with a second thread */
static pthread_barrier_t asleep;

static void *sleep_with_arena(void *unused)
{
    free(hide(malloc(100)));
    pthread_barrier_wait(&asleep);
    (void)unused;
    sleep_for_ever();
}

/* In the child of a handler: a thread that is lost in the fork which goes on there. */
static void start_sleeper(void)
{
    has_sleeper = getpid();
    CHECK(pthread_barrier_init(&asleep, NULL, 2) == 0);
    start_thread(sleep_with_arena, NULL);
    pthread_barrier_wait(&asleep);
}

static void run_handler(int handler)
{
    if (in_handler)
        return;
    if (use_before)
        replace_blocks();
    if (handler != chosen)
        return;
    in_handler = true;
    runs++;
    inner = fork();
    CHECK(inner >= 0);
    if (inner == 0) {
        alarm(CHILD_SECONDS);
        start_sleeper();
    }
    replace_blocks();
    in_handler = false;
    chosen = -1;
}

#define HANDLER(name, number)                                                                      \
    static void name(void)                                                                         \
    {                                                                                              \
        run_handler(number);                                                                       \
    }

HANDLER(early_prepare, PREPARE)
HANDLER(early_parent, PARENT)
HANDLER(early_child, CHILD)
HANDLER(late_prepare, KINDS + PREPARE)
HANDLER(late_parent, KINDS + PARENT)
HANDLER(late_child, KINDS + CHILD)

static void register_early(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    if (pthread_atfork(early_prepare, early_parent, early_child) != 0)
        _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = register_early;

static bool stop; /* atomic, relaxed */

static void *allocate_meanwhile(void *unused)
{
    do {
        void *first = malloc(100), *second = malloc(30000), *third = malloc(1500000);
        free(first);
        free(second);
        free(third);
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    return unused;
}

static void use_all(void)
{
    size_t threads = has_sleeper == getpid() ? 2 : 1;
    replace_blocks();
    malloc_trim(0); /* looks into the pool, where the arenas of lost threads are then */
    struct acre_stats stats = stats_now();
    CHECK(stats.arenas_pooled == stats.arenas - threads);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    in_thread(allocate_meanwhile, NULL);
    replace_blocks();
}

/*
 * One fork, in which the handler forks. Three or four processes return from it, each but the first
 * one uses all it has and ends. What the inner fork copied are `outer` and `inner`, too: a process
 * waits for the children that it made itself.
 */
static void fork_with(int handler)
{
    enum kind kind = (enum kind)(handler % KINDS);
    pid_t self = getpid();
    chosen = handler;
    inner = -1;
    runs = 0;
    pid_t outer = fork();
    CHECK(outer >= 0);
    CHECK(handler < 0 || runs == (kind == PREPARE || (kind == CHILD) == (outer == 0)));
    if (outer > 0 && !(kind == PARENT && inner == 0))
        check_child(outer);
    if (inner > 0 && !(kind == PREPARE && outer == 0))
        check_child(inner);
    if (getpid() == self)
        return;
    use_all();
    _exit(0);
}

/* Older ones hold a lock while handlers run. */
static bool libc_lets_handlers_fork(void)
{
    int major = 0, minor = 0;
    CHECK(sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor) == 2);
    return major > 2 || (major == 2 && minor >= 36);
}

int main(void)
{
    check_begin();
    bool may_fork = libc_lets_handlers_fork();
    if (!may_fork)
        printf("this libc does not let atfork handlers fork: they only allocate\n");
    CHECK(pthread_atfork(late_prepare, late_parent, late_child) == 0);
    pthread_t thread = start_thread(allocate_meanwhile, NULL);
    for (int i = 0; i < FORKS; i++) {
        use_before = i % 2 == 0;
        for (int handler = -1; handler < (may_fork ? HANDLERS : 0); handler++)
            fork_with(handler);
        replace_blocks();
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join(thread);
    return 0;
}
