/*
 * Threads that are cancelled: allocating and freeing are no cancellation points, so a cancelled
 * thread ends between calls, and its clean-up handlers free what it has. A thread with asynchronous
 * cancellation may be cancelled while calloc zeroes its block: no lock is held there, so no more is
 * lost than that block. Afterwards nothing is locked and all memory is usable.
 */
#include "check.h"
#include "stats.h"
#include <signal.h>
#include <sys/mman.h>

enum {
    ROUNDS = 300,
    BLOCKS = 32,     /* of each thread */
    CLEARED = 900000 /* bytes: calloc clears that many itself, if they are not known to be zero */
};

static void *use_all(void *unused)
{
    use_all_sizes();
    return unused;
}

/* Nothing is locked: another thread and this one get memory of all kinds. */
static void check_usable(void)
{
    in_thread(use_all, NULL);
    use_all_sizes();
}

/* ---- deferred ---- */

static int null; /* a descriptor: /dev/null */

struct holding {
    char *blocks[BLOCKS];
    bool begun; /* atomic: the thread has taken its first blocks */
};

static void free_all(void *argument)
{
    struct holding *holding = argument;
    for (size_t i = 0; i < BLOCKS; i++)
        free(holding->blocks[i]);
    free(hide(malloc(1000)));
}

static void *churn(void *argument)
{
    struct holding *holding = argument;
    static struct random random = {1}; /* one such thread runs at a time */
    pthread_cleanup_push(free_all, holding);
    for (unsigned i = 0;; i++) {
        size_t at = random_below(&random, BLOCKS);
        char *old = holding->blocks[at];
        holding->blocks[at] = NULL;
        free(old);
        holding->blocks[at] = malloc(1 + random_below(&random, 3000));
        holding->blocks[at] = realloc(holding->blocks[at], 1 + random_below(&random, 200000));
        if (i == BLOCKS)
            __atomic_store_n(&holding->begun, true, __ATOMIC_RELEASE);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void cancel_one(void)
{
    struct holding holding = {.begun = false};
    pthread_t thread = start_thread(churn, &holding);
    while (!__atomic_load_n(&holding.begun, __ATOMIC_ACQUIRE))
        sched_yield();
    CHECK(pthread_cancel(thread) == 0);
    CHECK(join(thread) == PTHREAD_CANCELED);
}

static void test_deferred(void)
{
    cancel_one(); /* the first one makes libc load what it unwinds with, and keep it */
    size_t before = live_blocks();
    for (unsigned i = 0; i < ROUNDS; i++)
        cancel_one();
    CHECK(live_blocks() == before);
    check_usable();
}

/* ---- a request that is pending while calls are made ---- */

static void *allocate_with_request_pending(void *argument)
{
    struct holding *holding = argument;
    pthread_cleanup_push(free_all, holding);
    CHECK(pthread_cancel(pthread_self()) == 0);
    /* each of these would end the thread if it were a cancellation point */
    for (size_t i = 0; i < BLOCKS; i++)
        holding->blocks[i] = i % 2 == 0 ? malloc(i * i * 2000) : calloc(1, i * i * 2000);
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(holding->blocks[i] != NULL);
    CHECK(stats_now().resident >
          0); /* read from a file, by system calls that are cancellation points */
    acre_stats_print(null, ACRE_STATS_TEXT); /* writes, likewise */
    holding->begun = true;
    pthread_testcancel();
    pthread_cleanup_pop(1);
    return NULL;
}

static void test_pending(void)
{
    struct holding holding = {.begun = false};
    size_t before = live_blocks();
    CHECK(in_thread(allocate_with_request_pending, &holding) == PTHREAD_CANCELED);
    CHECK(holding.begun);
    CHECK(live_blocks() == before);
    check_usable();
}

/* ---- inside calloc ---- */

static char *trapped;     /* the page that calloc shall stumble over */
static size_t page;       /* bytes */
static int cancel_type;   /* of the thread that is cancelled inside calloc */
static unsigned stumbled; /* how often that happened */
static bool calloc_returned;

/* Called where calloc writes to the page: opens it and cancels the thread. */
static void cancel_here(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)context;
    CHECK(info->si_addr == (void *)trapped);
    CHECK(mprotect(trapped, page, PROT_READ | PROT_WRITE) == 0);
    stumbled++;
    CHECK(pthread_cancel(pthread_self()) == 0);
}

static void *calloc_and_stumble(void *unused)
{
    int old;
    /* calloc gets this thread's block again, which is full */
    char *block = malloc(CLEARED);
    CHECK(block != NULL);
    memset(block, 1, CLEARED);
    trapped = (char *)(((uintptr_t)block + CLEARED / 2) / page * page);
    CHECK(mprotect(trapped, page, PROT_NONE) == 0);
    free(block);
    CHECK(pthread_setcanceltype(cancel_type, &old) == 0);
    char *again = calloc(1, CLEARED);
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old) == 0);
    CHECK(again == block && is_zero(again, CLEARED));
    calloc_returned = true;
    free(again);
    pthread_testcancel();
    return unused;
}

/* Cancels a thread in the middle of calloc; returns how many blocks are live for it afterwards. */
static size_t lost_by_cancelling(int type)
{
    size_t before = live_blocks();
    cancel_type = type;
    stumbled = 0;
    calloc_returned = false;
    CHECK(in_thread(calloc_and_stumble, NULL) == PTHREAD_CANCELED);
    CHECK(stumbled == 1);
    check_usable();
    return live_blocks() - before;
}

static void test_inside_calloc(void)
{
    struct sigaction action = {.sa_sigaction = cancel_here, .sa_flags = SA_SIGINFO};
    page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK(lost_by_cancelling(PTHREAD_CANCEL_DEFERRED) == 0 && calloc_returned);
    CHECK(lost_by_cancelling(PTHREAD_CANCEL_ASYNCHRONOUS) == 1 && !calloc_returned);
}

int main(void)
{
    check_begin();
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(null >= 0);
    check_usable();
    test_deferred();
    test_pending();
    test_inside_calloc();
    return 0;
}
