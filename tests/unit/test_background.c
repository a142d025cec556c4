/*
 * The background thread: when there is one, that it does its work while all others sleep, and how
 * it ends. Nothing here depends on how fast it is: what must come about is waited for.
 */
#include "test.h"
#include "arena/background.h"
#include "capture.h"
#include "in_thread.h"
#include "base/os.h"
#include "own_arena.h"
#include "paths/alloc.h"
#include "sanitized.h"

#include <dirent.h>
#include <time.h>

static void set_option(const char *key, const char *value)
{
    ck_assert_int_eq(option_set_text(key, value), 0);
}

static void begin_fast(void)
{
    set_option("decay", "50");
    begin();
    set_option("background_thread", "1");
}

SUITE(background, .begin = begin_fast);

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* Makes the calling thread's arena have idle memory. */
static void make_idle(void)
{
    enum { BLOCKS = 4096, SIZE = 1024 /* bytes: 4 MiB in all */ };
    static char *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = alloc_block(SIZE), 1, SIZE);
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
}

static size_t idle_bytes(void)
{
    return totals_of(thread_own_arena()).free_dirty;
}

/* How many threads called "acre" there are. */
static size_t acre_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *stream = fopen(path, "re");
        if (stream == NULL)
            continue;
        count += fgets(name, sizeof name, stream) != NULL && strcmp(name, "acre\n") == 0;
        fclose(stream);
    }
    closedir(tasks);
    return count;
}

TEST(there_is_none_by_default)
{
    set_option("background_thread", "0");
    make_idle();
    background_start();
    background_ring_now();
    sleep_ms(100);
    ck_assert_uint_eq(acre_threads(), 0);
}

TEST(it_gives_back_what_is_idle)
{
    background_start();
    background_start();
    WAIT_UNTIL(acre_threads() == 1);
    for (int round = 0; round < 3; round++) {
        make_idle();
        WAIT_UNTIL(idle_bytes() == 0);
        sleep_ms(120); /* it has nothing to do, and must hear the next ring */
    }
    void *large = alloc_block(8 * MIB);
    memset(large, 1, 8 * MIB);
    free_block(large);
    WAIT_UNTIL(!large_list_is_aging());
    ck_assert_uint_eq(acre_threads(), 1);
    ck_assert_ptr_null(arena_next(arena_first())); /* it has no arena of its own */
}

TEST(it_takes_no_signals)
{
    static const int sent[] = {SIGUSR1, SIGTERM, SIGPROF};
    sigset_t all, before, after, pending;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    background_start();
    WAIT_UNTIL(acre_threads() == 1);
    pthread_sigmask(SIG_SETMASK, NULL, &after); /* the thread that starts it keeps its signals */
    for (int signal = 1; signal <= 31; signal++)
        ck_assert_int_eq(sigismember(&after, signal), signal == SIGUSR2);
    /* every signal to the process that this thread blocks stays pending: no other takes it */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (size_t i = 0; i < COUNT_OF(sent); i++)
        kill(getpid(), sent[i]);
    sleep_ms(100);
    sigpending(&pending);
    for (size_t i = 0; i < COUNT_OF(sent); i++)
        ck_assert(sigismember(&pending, sent[i]));
}

/* The first idle memory starts it. */
TEST(it_ends_and_begins_with_the_option)
{
    for (int round = 0; round < 3; round++) {
        make_idle();
        WAIT_UNTIL(acre_threads() == 1);
        WAIT_UNTIL(idle_bytes() == 0);
        set_option("background_thread", "0");
        background_ring_now(); /* where it sleeps without a limit */
        WAIT_UNTIL(acre_threads() == 0);
        set_option("background_thread", "1");
    }
}

static void make_idle_in_child(void *unused)
{
    (void)unused;
    free_block(alloc_block(100));
    ck_assert_uint_eq(os_threads(), 1); /* nothing is idle */
    make_idle();
    ck_assert(idle_bytes() == 0 || os_threads() == 2);
    WAIT_UNTIL(idle_bytes() == 0);
}

TEST_UNLESS(NO_THREADS_IN_CHILDREN, a_child_has_one_when_needed)
{
    background_start();
    for (int i = 0; i < 10; i++)
        capture_exit(make_idle_in_child, NULL, "");
}
