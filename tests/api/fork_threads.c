/*
 * fork while other threads sit in malloc, in free, in stdio with a stream's lock held, and in
 * fflush(NULL): the child allocates and frees at once, starts a thread, and forks again.
 */
#include "check.h"

enum { FORKS = 150, BLOCKS = 200 };

static bool stop; /* atomic, relaxed */

static bool is_stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *allocate_and_free(void *argument)
{
    void *blocks[BLOCKS] = {NULL};
    struct random random = {(uintptr_t)argument};
    while (!is_stopped()) {
        size_t i = random_below(&random, BLOCKS);
        size_t kind = random_below(&random, 100);
        free(blocks[i]);
        blocks[i] = malloc(kind < 90 ? 16 + kind * 20 : kind < 98 ? 50000 : 2000000);
        CHECK(blocks[i] != NULL);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return NULL;
}

/* Reads lines that make getline allocate while it holds the lock of the stream. */
static void *read_lines(void *unused)
{
    while (!is_stopped()) {
        static const char text[] = "short\na line that is longer than the first one was\n";
        char *line = NULL;
        size_t size = 0;
        FILE *stream = fmemopen((void *)(uintptr_t)text, sizeof(text) - 1, "r");
        CHECK(stream != NULL);
        while (getline(&line, &size, stream) > 0)
            continue;
        free(line);
        fclose(stream);
    }
    return unused;
}

static void *flush_all(void *unused)
{
    while (!is_stopped())
        fflush(NULL);
    return unused;
}

/* Hands blocks to the main thread's mailbox, which frees them: remote frees at all times. */
static void *mailbox; /* atomic, exchanged */

static void *send_blocks(void *unused)
{
    while (!is_stopped())
        free(__atomic_exchange_n(&mailbox, malloc(48), __ATOMIC_ACQ_REL));
    return unused;
}

static void *use_memory(void *unused)
{
    char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = take(i % 50 == 0 ? 1500000 : 1 + i * 41, i);
    for (unsigned i = 0; i < BLOCKS; i++)
        give(blocks[i], i % 50 == 0 ? 1500000 : 1 + i * 41, i);
    return unused;
}

/* What the child does with the memory it inherited. */
static void run_child(char *inherited, unsigned round)
{
    give(inherited, 5000, round);
    use_memory(NULL);
    if (round % 10 == 0) {
        in_thread(use_memory, NULL);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            use_memory(NULL);
            _exit(0);
        }
        check_child(grandchild);
    }
    _exit(0);
}

int main(void)
{
    static void *(*const starts[])(void *) = {allocate_and_free, allocate_and_free, read_lines,
                                              flush_all, send_blocks};
    enum { THREADS = COUNT_OF(starts) };
    pthread_t threads[THREADS];
    check_begin();
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = start_thread(starts[i], (void *)(uintptr_t)i);
    for (unsigned round = 0; round < FORKS; round++) {
        char *inherited = take(5000, round);
        free(__atomic_exchange_n(&mailbox, NULL, __ATOMIC_ACQ_REL));
        pid_t child = fork();
        if (child == 0)
            run_child(inherited, round);
        check_child(child);
        give(inherited, 5000, round);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join_threads(threads, THREADS);
    return 0;
}
