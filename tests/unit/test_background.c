/*
 * The background thread: when there is one, that it does its work while all others sleep, and how
 * it ends. Nothing here depends on how fast it is: what must come about is waited for.
 */
#include "test.h"
#include "paths/alloc.h"
#include "arena/background.h"
#include "capture.h"
#include "paths/free.h"
#include "process/init.h"
#include "base/option.h"
#include "base/os.h"
#include "sanitized.h"
#include "arena/thread.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    BLOCKS = 4096,
    SIZE = 1024, /* bytes: 4 MiB in all */
    CHILD_SECONDS = 30,
};

static void set_option(const char *key, const char *value)
{
    ck_assert_int_eq(option_set_text(key, value), 0);
}

static void begin(void)
{
    set_option("decay", "50");
    init_start(NULL);
}

SUITE(background, .begin = begin);

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

static struct heap_totals totals(void)
{
    struct heap_totals now;

    heap_set_totals(&thread_own_arena()->heaps, &now);
    return now;
}

/* Makes the calling thread's arena have idle memory. */
static void make_idle(void)
{
    static char *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = alloc_block(SIZE), 1, SIZE);
    for (int i = 0; i < BLOCKS; i++)
        free_block(blocks[i]);
}

/* Waits, without a call to the allocator, until the arena has none; the test's time limit is that
 * of the wait. */
static void wait_until_given_back(void)
{
    while (totals().free_dirty != 0)
        sleep_ms(1);
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

/* The time limit of the test is that of the wait. */
static void wait_for_threads(size_t count)
{
    while (acre_threads() != count)
        sleep_ms(1);
}

TEST(there_is_none_by_default)
{
    make_idle();
    background_start();
    background_ring();
    sleep_ms(100);
    ck_assert_uint_eq(acre_threads(), 0);
}

TEST(it_gives_back_what_is_idle)
{
    set_option("background_thread", "1");
    background_start();
    background_start();
    wait_for_threads(1);
    for (int round = 0; round < 3; round++) {
        make_idle();
        wait_until_given_back();
        sleep_ms(120); /* it has nothing to do, and must hear the next ring */
    }
    void *large = alloc_block(8 * MIB);
    memset(large, 1, 8 * MIB);
    free_block(large);
    while (large_is_aging())
        sleep_ms(1);
    ck_assert_uint_eq(acre_threads(), 1);
    ck_assert_ptr_null(arena_next(arena_first())); /* it has no arena of its own */
}

TEST(it_is_started_when_something_becomes_idle)
{
    set_option("background_thread", "1");
    make_idle();
    wait_until_given_back();
}

TEST(it_takes_no_signals)
{
    sigset_t pending;

    set_option("background_thread", "1");
    background_start();
    wait_for_threads(1);
    /* every signal to the process that this thread blocks stays pending: nobody else takes it */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGPROF);
    sleep_ms(100);
    sigpending(&pending);
    ck_assert(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGTERM) &&
              sigismember(&pending, SIGPROF));
}

TEST(who_starts_it_keeps_its_signals)
{
    set_option("background_thread", "1");
    background_start();
    wait_for_threads(1);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int signal = 1; signal <= 31; signal++)
        ck_assert_int_eq(sigismember(&mask, signal), 0);
}

TEST(it_ends_and_begins_with_the_option)
{
    set_option("background_thread", "1");
    for (int round = 0; round < 3; round++) {
        make_idle();
        wait_for_threads(1);
        set_option("background_thread", "0");
        background_ring_now(); /* where it sleeps without a limit */
        wait_for_threads(0);
        set_option("background_thread", "1");
    }
}

static void make_idle_in_child(void *unused)
{
    (void)unused;
    alarm(CHILD_SECONDS);
    free_block(alloc_block(100));
    if (os_threads() != 1) /* nothing is idle */
        _exit(1);
    make_idle();
    if (totals().free_dirty != 0 && os_threads() != 2)
        _exit(2);
    wait_until_given_back();
}

TEST_UNLESS(NO_THREADS_IN_CHILDREN, a_child_has_one_when_needed)
{
    struct capture capture;

    set_option("background_thread", "1");
    background_start();
    for (int i = 0; i < 10; i++) {
        capture_child(&capture, make_idle_in_child, NULL);
        ck_assert_str_eq(capture.text, "");
        ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
    }
}
