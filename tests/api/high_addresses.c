/*
 * Addresses of more than 47 bits, which a program gets from a system with five levels of page
 * tables if it asks for them by a hint: threads whose stacks, and thus thread-local data, lie up
 * there use acre, wait for each other's locks and fork; and an address up there that is not acre's
 * is known for such.
 */
#include "check.h"
#include "clone.h"

#include <malloc.h>

enum {
    THREADS = 4,
    ROUNDS = 300,
    STACK = 256 << 10, /* bytes */
    FORKS = 20,
};

#define HIGH ((uintptr_t)1 << 51)

static char *high; /* memory up there: the stacks, and a page that is nobody's block */

/* LARGE blocks have one lock in the process, and heaps one in each arena. */
static void use(unsigned seed)
{
    char *blocks[8];
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = take(i % 2 != 0 ? 40 + seed % 3000 : 2 * CHECK_MIB + seed, i);
    for (unsigned i = 0; i < COUNT_OF(blocks); i++)
        give(blocks[i], i % 2 != 0 ? 40 + seed % 3000 : 2 * CHECK_MIB + seed, i);
    if (seed % 16 == 0)
        malloc_trim(0);
}

static void *churn(void *number)
{
    CHECK((uintptr_t)&number >= HIGH);
    for (unsigned i = 0; i < ROUNDS; i++)
        use((unsigned)(uintptr_t)number * ROUNDS + i);
    return NULL;
}

/* In a child all others are lost, with what they held. */
static void *fork_often(void *unused)
{
    CHECK((uintptr_t)&unused >= HIGH);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = i % 2 != 0 || !clone_is_noticed() ? fork() : clone_child();
        if (child == 0) {
            alarm(60);
            for (unsigned k = 0; k < 10; k++)
                use(k);
            _exit(0);
        }
        check_child(child);
    }
    return NULL;
}

static pthread_t start_high(size_t number, void *(*run)(void *))
{
    pthread_t thread;
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, high + number * STACK, STACK) == 0);
    CHECK(pthread_create(&thread, &attributes, run, (void *)number) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

static void free_foreign(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(dup2(null, STDERR_FILENO) >= 0);
    free(hide(high + (size_t)THREADS * STACK));
}

int main(void)
{
    pthread_t threads[THREADS];
    check_begin();
    high = mmap((void *)HIGH, (size_t)THREADS * STACK + CHECK_MIB, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(high != MAP_FAILED);
    if ((uintptr_t)high < HIGH)
        check_skip("this system has no addresses of more than 47 bits");
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = start_high(i, i == 0 ? fork_often : churn);
    join_threads(threads, THREADS);
    use(1);

    pid_t child = fork();
    if (child == 0) {
        free_foreign();
        _exit(0);
    }
    int status = wait_for(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return 0;
}
