/*
 * Blocks in the place of several smaller ones, in the children of forks that catch their thread at
 * any instant while it takes and frees them: a child finds all that the thread had, adopts its
 * arena, and loses one block at most.
 */
#include "check.h"
#include "stats.h"

enum {
    SMALL = 100000, /* small blocks, of which one in KEPT_SHARE is kept */
    SMALL_LEAST = 128,
    SMALL_LIMIT = 512,
    KEPT_SHARE = 10,
    MEDIUM = 4000, /* larger blocks */
    MEDIUM_SIZE = 2000,
    CHANGING = 500, /* of them, that the thread goes on to replace */
    FORKS = 60,
    OF_THREAD = 1, /* block that libc keeps of a thread that has ended, for the next one */
    LOST_MOST = 1, /* the block that the thread was being given, or was giving back */
};

static char *small[SMALL];
static char *medium[MEDIUM]; /* CHANGING: atomic, NULL while it is replaced */
static bool stop;            /* atomic */
static pthread_barrier_t ready;

static void free_all(void)
{
    for (unsigned i = 0; i < MEDIUM; i++)
        give(medium[i], MEDIUM_SIZE, i);
    for (size_t i = 0; i < SMALL / KEPT_SHARE; i++)
        free(small[i]);
}

static void *replace_for_ever(void *unused)
{
    leave_pieces(small, SMALL, KEPT_SHARE, SMALL_LEAST, SMALL_LIMIT);
    size_t few = wide_places(); /* of the first blocks of their classes */
    CHECK(few < MEDIUM);
    for (unsigned i = 0; i < MEDIUM; i++)
        medium[i] = take(MEDIUM_SIZE, i);
    CHECK(wide_places() > few + MEDIUM);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&ready);
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i = (i + 1) % CHANGING) {
        free(__atomic_exchange_n(&medium[i], NULL, __ATOMIC_RELAXED));
        __atomic_store_n(&medium[i], take(MEDIUM_SIZE, i), __ATOMIC_RELEASE);
    }
    return unused;
}

/* Adopts the arena of the thread that the fork has lost, and takes and frees blocks there. */
static void *use_what_is_left(void *unused)
{
    for (unsigned i = 0; i < MEDIUM; i++)
        if (medium[i] == NULL)
            medium[i] = take(MEDIUM_SIZE, i);
    free_all();
    return unused;
}

static void *end_at_once(void *unused)
{
    return unused;
}

int main(void)
{
    check_begin();
    free(hide(malloc(10)));
    in_thread(end_at_once, NULL);
    size_t few =
        wide_places(); /* libc keeps a block of a thread that has ended, for the next one */
    CHECK(pthread_barrier_init(&ready, NULL, 2) == 0);
    pthread_t thread = start_thread(replace_for_ever, NULL);
    pthread_barrier_wait(&ready);
    size_t others = stats_now().small_blocks - MEDIUM - SMALL / KEPT_SHARE + OF_THREAD;
    pthread_barrier_wait(&ready);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            in_thread(use_what_is_left, NULL);
            CHECK(stats_now().small_blocks <= others + LOST_MOST);
            _exit(0);
        }
        check_child(child);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join(thread);
    free_all();
    CHECK(wide_places() == few);
    return 0;
}
