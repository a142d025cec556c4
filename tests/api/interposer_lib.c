/*
 * A library between acre and libc, as libfaketime and memory profilers are: its versions of the
 * functions that acre calls (doc/loading.md) allocate, free, look the next version up by dlsym and
 * call it. Preloaded before or after acre. tests/unit/exports.sh has the functions that acre must
 * not call.
 */
#include "check.h"
#include <link.h>

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

/* The next version of a function, after allocating. */
static void *next(const char *name)
{
    allocate_and_free();
    return dlsym(RTLD_NEXT, name);
}

#define INTERPOSE(type, name, parameters, arguments)                                               \
    type name parameters                                                                           \
    {                                                                                              \
        type(*function) parameters = (type(*) parameters)next(#name);                              \
        return function arguments;                                                                 \
    }

INTERPOSE(int, pthread_setspecific, (pthread_key_t a, const void *b), (a, b))
INTERPOSE(int, pthread_create,
          (pthread_t * a, const pthread_attr_t *b, void *(*c)(void *), void *d), (a, b, c, d))
INTERPOSE(int, dl_iterate_phdr, (int (*a)(struct dl_phdr_info *, size_t, void *), void *b), (a, b))
INTERPOSE(int, fputs, (const char *a, FILE *b), (a, b))

static void *allocate_there(void *unused)
{
    allocate_and_free();
    return unused;
}

/* Waits for another thread that allocates, the first time. */
int pthread_key_create(pthread_key_t *a, void (*b)(void *))
{
    static bool called;
    int (*function)(pthread_key_t *, void (*)(void *)) =
        (int (*)(pthread_key_t *, void (*)(void *)))next("pthread_key_create");
    alarm(CHECK_HANG_SECONDS); /* this may be before main */
    if (!__atomic_exchange_n(&called, true, __ATOMIC_RELAXED))
        in_thread(allocate_there, NULL);
    return function(a, b);
}
