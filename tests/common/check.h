/*
 * What the tests of the shared library have in common: CHECK, the proof that a test runs on acre,
 * threads, children, filled blocks. Included first, before any system header.
 */
#ifndef ACRE_TESTS_COMMON_CHECK_H
#define ACRE_TESTS_COMMON_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "random.h"

#define CHECK_KIB ((size_t)1 << 10)
#define CHECK_MIB ((size_t)1 << 20)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum {
    CHECK_SKIPPED = 77,       /* exit status by which automake knows a skipped test */
    CHECK_HANG_SECONDS = 300, /* a test that runs that long hangs */
};

/* Ends the test with a message if the condition does not hold. */
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : check_failed(#condition, __func__, __FILE__, __LINE__))

/* Prints what did not hold, without allocating, and ends the process with status 1. */
__attribute__((noreturn)) static inline void
check_failed(const char *condition, const char *function, const char *file, int line)
{
    char text[512];
    int length = snprintf(text, sizeof(text), "%s:%d: %s: failed: %s (errno %d)\n", file, line,
                          function, condition, errno);
    if (length > (int)sizeof(text) - 1)
        length = (int)sizeof(text) - 1;
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(2);
    _exit(1);
}

/* Checks that function `name` of this process is acre's: otherwise the test would prove nothing. */
static inline void check_is_acre(const char *name)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, name);
    CHECK(function != NULL);
    CHECK(dladdr(function, &info) != 0);
    if (strstr(info.dli_fname, "libacre") == NULL) {
        fprintf(stderr, "%s is bound to %s\n", name, info.dli_fname);
        exit(1);
    }
}

/* Each test's first call: it runs on acre, and a deadlock ends by SIGALRM instead of never. */
static inline void check_begin(void)
{
    check_is_acre("malloc");
    alarm(CHECK_HANG_SECONDS);
}

/* Says why a test cannot run here, and ends it. */
__attribute__((noreturn)) static inline void check_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    exit(CHECK_SKIPPED);
}

/* The same size, unknown to the compiler, so that it cannot warn about it or compute with it. */
static inline size_t hide_size(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

/* The same pointer, unknown to the compiler, so that no allocation is optimised away. */
static inline void *hide(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

/* ---- threads and processes ---- */

static inline pthread_t start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

/* Waits for a thread; returns what it returned. */
static inline void *join(pthread_t thread)
{
    void *result = NULL;
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

/* Runs a function in a thread of its own. */
static inline void *in_thread(void *(*run)(void *), void *argument)
{
    return join(start_thread(run, argument));
}

/* Starts threads, each with its number, from 0, as the argument. */
static inline void start_threads(pthread_t *threads, size_t count, void *(*run)(void *))
{
    for (size_t i = 0; i < count; i++)
        threads[i] = start_thread(run, (void *)(uintptr_t)i);
}

static inline void join_threads(const pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        join(threads[i]);
}

/* Ends with the process: for threads that keep what they have. */
__attribute__((noreturn)) static inline void sleep_for_ever(void)
{
    for (;;)
        pause();
}

/* Waits for a child; returns its status. */
static inline int wait_for(pid_t child)
{
    int status = 0;
    pid_t got;
    CHECK(child > 0);
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == child);
    return status;
}

/* Waits for a child and checks that it ended with status 0. */
static inline void check_child(pid_t child)
{
    int status = wait_for(child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "child died of signal %d\n", WTERMSIG(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Runs a function in a child, which then ends by exit. */
static inline void in_child(void (*run)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(CHECK_HANG_SECONDS);
        run();
        exit(0);
    }
    check_child(child);
}

/* Starts this program again, in this process, with one argument. */
__attribute__((noreturn)) static inline void start_again(const char *argument)
{
    execl("/proc/self/exe", program_invocation_short_name, argument, (char *)NULL);
    check_failed("execl", __func__, __FILE__, __LINE__);
}

/* Reads to the end of the file and closes it. What does not fit is left out; the text ends with
 * NUL. Returns its length. */
static inline size_t read_all(int from, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    char rest[512];
    while (used < size - 1 && (got = read(from, text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    while (read(from, rest, sizeof(rest)) > 0)
        continue;
    text[used] = '\0';
    close(from);
    return used;
}

/* Reads a short file without allocating; returns the length of the text. */
static inline size_t read_file(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    return read_all(file, text, size);
}

/* ---- blocks ---- */

/* Fills a block with bytes that depend on the seed and on their position. */
static inline void fill(void *block, size_t size, unsigned seed)
{
    unsigned char *bytes = (unsigned char *)block;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 31 + i * 7 + (i >> 8));
}

/* True if the first `size` bytes are as fill() wrote them with that seed. */
static inline bool is_filled(const void *block, size_t size, unsigned seed)
{
    const unsigned char *bytes = (const unsigned char *)block;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(seed * 31 + i * 7 + (i >> 8)))
            return false;
    return true;
}

/* True if all bytes are zero. */
static inline bool is_zero(const void *block, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)block;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static inline bool is_aligned(const void *pointer, size_t alignment)
{
    return (uintptr_t)pointer % alignment == 0;
}

/* A new block, of which at most the first TAKEN_FILLED bytes are filled. */
enum { TAKEN_FILLED = 4096 };

static inline char *take(size_t size, unsigned seed)
{
    char *block = (char *)malloc(size);
    CHECK(block != NULL);
    fill(block, size < TAKEN_FILLED ? size : (size_t)TAKEN_FILLED, seed);
    return block;
}

/* Checks such a block and frees it. */
static inline void give(char *block, size_t size, unsigned seed)
{
    CHECK(is_filled(block, size < TAKEN_FILLED ? size : (size_t)TAKEN_FILLED, seed));
    free(block);
}

/* Has the calling thread take and free blocks of all kinds, to a few MiB. */
static inline void use_all_sizes(void)
{
    for (size_t size = 1; size < 4 * CHECK_MIB; size += size / 4 + 1)
        free(hide(malloc(size)));
    free(hide(realloc(calloc(1, 50000), 2 * CHECK_MIB)));
}

/* ---- figures of the process, found without allocating ---- */

/* Number `field`, from 0, of /proc/self/statm, in bytes. */
static inline size_t statm_bytes(unsigned field)
{
    char text[128], *at = text;
    CHECK(read_file("/proc/self/statm", text, sizeof(text)) > 0);
    while (field-- > 0)
        at = strchr(at, ' ') + 1;
    return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static inline size_t mapped_bytes(void)
{
    return statm_bytes(0);
}

static inline size_t resident_bytes(void)
{
    return statm_bytes(1);
}

#endif
