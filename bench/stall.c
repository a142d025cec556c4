/*
 * stall: a module to preload whose malloc and free are the C library's, but for one call that
 * sleeps. test_bench.py proves by it that the latency bench finds a stall and gives its length.
 * From the environment: STALL_FUNCTION, "malloc" or "free"; STALL_CALL, the number of the call from
 * 1; and STALL_MS, how long it sleeps.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern void *__libc_malloc(size_t size);
extern void __libc_free(void *block);

/* Counts a call of `function`, one thread's, and sleeps if it is the one. */
static void count_call(const char *function)
{
    static unsigned long calls;
    const char *wanted = getenv("STALL_FUNCTION");
    const char *call = getenv("STALL_CALL");
    const char *ms = getenv("STALL_MS");

    if (!wanted || !call || !ms || strcmp(wanted, function) || ++calls != strtoul(call, NULL, 10))
        return;
    unsigned long length = strtoul(ms, NULL, 10);
    nanosleep(&(struct timespec){(time_t)(length / 1000), (long)(length % 1000) * 1000000}, NULL);
}

void *malloc(size_t size)
{
    count_call("malloc");
    return __libc_malloc(size);
}

void free(void *block)
{
    count_call("free");
    __libc_free(block);
}
