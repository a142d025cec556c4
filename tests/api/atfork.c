/*
 * atfork handlers that allocate and free: some registered before acre can have registered its own
 * (from the executable's preinit function), some long after.
 */
#include "check.h"

enum { FORKS = 200, BLOCKS = 64 };

static void *blocks[BLOCKS];
static unsigned handler_runs;

/* Replaces half of the blocks, and frees and allocates LARGE ones. */
static void churn(void)
{
    handler_runs++;
    for (unsigned i = handler_runs % 2; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = malloc(1 + i * 131);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], (int)i, 1 + i * 131);
    }
    free(hide(malloc(2000000)));
}

static void register_early(int count, char **arguments, char **environment)
{
    (void)count, (void)arguments, (void)environment;
    if (pthread_atfork(churn, churn, churn) != 0)
        _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = register_early;

static bool stop; /* atomic, relaxed */

static void *allocate_meanwhile(void *unused)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        void *first = malloc(100), *second = malloc(30000);
        free(first);
        free(second);
    }
    return unused;
}

int main(void)
{
    check_begin();
    CHECK(pthread_atfork(churn, churn, churn) == 0);
    pthread_t thread = start_thread(allocate_meanwhile, NULL);
    for (int i = 0; i < FORKS; i++) {
        unsigned before = handler_runs;
        pid_t child = fork();
        CHECK(child >= 0);
        CHECK(handler_runs == before + 4);
        if (child == 0) {
            churn();
            _exit(0);
        }
        check_child(child);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    join(thread);
    return 0;
}
