/*
 * A library between acre and libc, as libfaketime and memory profilers are: its versions of libc's
 * functions allocate, free, look the next version up by dlsym and call it. Preloaded before or
 * after acre.
 */
#include "check.h"
#include "interposer.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

unsigned long interposer_calls;

/* Blocks of each kind. */
static void allocate_and_free(void)
{
    static const size_t sizes[] = {40, 3000, 60000, 1500000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *block = malloc(sizes[i]);
        CHECK(block != NULL);
        block[0] = block[sizes[i] - 1] = 1;
        free(hide(block));
    }
}

/* Defines a function of libc's; `counted`: 1, or 0 for those that acre does call. */
#define INTERPOSE(counted, type, name, parameters, arguments)                                      \
    type name parameters                                                                           \
    {                                                                                              \
        type(*next) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name);                      \
        __atomic_fetch_add(&interposer_calls, counted, __ATOMIC_RELAXED);                          \
        allocate_and_free();                                                                       \
        return next arguments;                                                                     \
    }

INTERPOSE(1, void *, mmap, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))
INTERPOSE(1, int, munmap, (void *a, size_t b), (a, b))
INTERPOSE(1, int, mprotect, (void *a, size_t b, int c), (a, b, c))
INTERPOSE(1, int, madvise, (void *a, size_t b, int c), (a, b, c))
INTERPOSE(1, int, mincore, (void *a, size_t b, unsigned char *c), (a, b, c))
INTERPOSE(1, int, clock_gettime, (clockid_t a, struct timespec *b), (a, b))
INTERPOSE(1, int, getrlimit, (__rlimit_resource_t a, struct rlimit *b), (a, b))
INTERPOSE(1, int, stat, (const char *a, struct stat *b), (a, b))
INTERPOSE(1, int, fstat, (int a, struct stat *b), (a, b))
INTERPOSE(1, ssize_t, write, (int a, const void *b, size_t c), (a, b, c))
INTERPOSE(1, pid_t, getpid, (void), ())
INTERPOSE(0, int, pthread_setspecific, (pthread_key_t a, const void *b), (a, b))

static void *allocate_there(void *unused)
{
    allocate_and_free();
    return unused;
}

/* Waits for another thread that allocates, the first time. */
int pthread_key_create(pthread_key_t *a, void (*b)(void *))
{
    static bool called;
    int (*next)(pthread_key_t *, void (*)(void *)) =
        (int (*)(pthread_key_t *, void (*)(void *)))dlsym(RTLD_NEXT, "pthread_key_create");
    alarm(CHECK_HANG_SECONDS); /* this may be before main */
    allocate_and_free();
    if (!__atomic_exchange_n(&called, true, __ATOMIC_RELAXED))
        in_thread(allocate_there, NULL);
    return next(a, b);
}

/* These have an ellipsis: all that a call may pass goes on. */

void *mremap(void *a, size_t b, size_t c, int d, ...)
{
    void *(*next)(void *, size_t, size_t, int, ...) =
        (void *(*)(void *, size_t, size_t, int, ...))dlsym(RTLD_NEXT, "mremap");
    va_list list;
    va_start(list, d);
    void *e = va_arg(list, void *);
    va_end(list);
    __atomic_fetch_add(&interposer_calls, 1, __ATOMIC_RELAXED);
    allocate_and_free();
    return next(a, b, c, d, e);
}

long syscall(long a, ...)
{
    enum { MOST = 6 };
    long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long rest[MOST];
    va_list list;
    va_start(list, a);
    for (int i = 0; i < MOST; i++)
        rest[i] = va_arg(list, long);
    va_end(list);
    __atomic_fetch_add(&interposer_calls, 1, __ATOMIC_RELAXED);
    allocate_and_free();
    return next(a, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]);
}
