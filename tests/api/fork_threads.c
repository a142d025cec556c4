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
    uint64_t random = (uint64_t)(uintptr_t)argument;
    while (!is_stopped()) {
        unsigned i = next_random(&random) % BLOCKS;
        unsigned kind = next_random(&random) % 100;
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
    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t size = i % 50 == 0 ? 1500000 : 1 + i * 41;
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], i % 50 == 0 ? 4096 : size, i);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(blocks[i], i % 50 == 0 ? 4096 : 1 + i * 41, i));
        free(blocks[i]);
    }
    return unused;
}

/* What the child does with the memory it inherited. */
static void run_child(char *inherited, unsigned round)
{
    CHECK(is_filled(inherited, 5000, round));
    free(inherited);
    use_memory(NULL);
    if (round % 10 == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, use_memory, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
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
    enum { THREADS = sizeof(starts) / sizeof(starts[0]) };
    pthread_t threads[THREADS];
    check_begin();
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, starts[i], (void *)(uintptr_t)i) == 0);
    for (unsigned round = 0; round < FORKS; round++) {
        char *inherited = malloc(5000);
        CHECK(inherited != NULL);
        fill(inherited, 5000, round);
        free(__atomic_exchange_n(&mailbox, NULL, __ATOMIC_ACQ_REL));
        pid_t child = fork();
        if (child == 0)
            run_child(inherited, round);
        check_child(child);
        CHECK(is_filled(inherited, 5000, round));
        free(inherited);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
