/*
 * What the API tests share: CHECK, the proof that a test runs on acre, children, and ways to keep
 * the compiler from knowing what it is asked to do. Included first, before any system header.
 */
#ifndef ACRE_TESTS_API_CHECK_H
#define ACRE_TESTS_API_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_KIB ((size_t)1 << 10)
#define CHECK_MIB ((size_t)1 << 20)

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

/* Waits for a child and checks that it ended with status 0. */
static inline void check_child(pid_t child)
{
    int status = 0;
    pid_t got;
    CHECK(child > 0);
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "child died of signal %d\n", WTERMSIG(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

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

/* The next number of a linear congruential sequence (Knuth's MMIX constants), upper 31 bits. */
static inline unsigned next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33);
}

/* Bytes of this process, from /proc/self/statm: its address space, and what of it is resident. */
static inline void process_bytes(size_t *mapped, size_t *resident)
{
    unsigned long mapped_pages = 0, resident_pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    CHECK(statm != NULL);
    CHECK(fscanf(statm, "%lu %lu", &mapped_pages, &resident_pages) == 2);
    fclose(statm);
    *mapped = mapped_pages * (size_t)sysconf(_SC_PAGESIZE);
    *resident = resident_pages * (size_t)sysconf(_SC_PAGESIZE);
}

static inline size_t mapped_bytes(void)
{
    size_t mapped, resident;
    process_bytes(&mapped, &resident);
    return mapped;
}

static inline size_t resident_bytes(void)
{
    size_t mapped, resident;
    process_bytes(&mapped, &resident);
    return resident;
}

#ifndef __cplusplus
/* Exported by acre; the headers of older C libraries do not declare them. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void cfree(void *block);
#endif

#endif
