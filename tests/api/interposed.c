/*
 * With interposer_lib.c preloaded, whose versions of libc's functions allocate: acre never calls
 * these, and they may call acre. Without that library, as with libfaketime, the same work is done.
 */
#include "check.h"
#include "interposer.h"
#include <malloc.h>
#include <sys/mman.h>
#include <time.h>

static const unsigned long *calls; /* NULL where the library is not there */

/* Calls of its functions so far. */
static unsigned long count(void)
{
    return calls != NULL ? __atomic_load_n(calls, __ATOMIC_RELAXED) : 0;
}

/* The program's own calls reach it. */
static void test_interposition(void)
{
    struct timespec now;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned long before = count();
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    void *pages = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK(madvise(pages, page, MADV_DONTNEED) == 0);
    CHECK(mprotect(pages, page, PROT_READ) == 0);
    CHECK(munmap(pages, page) == 0);
    CHECK(calls == NULL || count() == before + 5);
}

/* Makes acre open, purge, grow, move and unmap memory: all system calls for memory that a program
 * of some 100 MiB causes. */
static void *use_everything(void *unused)
{
    enum { BLOCKS = 20000 };
    static __thread char *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = i % 2 != 0 ? malloc(1 + i % 2000) : calloc(1, 1 + i % 2000);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], 1 + i % 2000, i);
    }
    char *large = NULL;
    for (size_t size = CHECK_MIB; size <= 64 * CHECK_MIB; size += size / 2) {
        large = realloc(large, size);
        CHECK(large != NULL);
        large[size - 1] = 1;
        free(hide(calloc(1, 2 * CHECK_MIB)));
        free(hide(memalign(CHECK_MIB, size)));
    }
    free(large);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(is_filled(blocks[i], 1 + i % 2000, i));
        free(blocks[i]);
    }
    malloc_trim(0);
    return unused;
}

static void use_in_thread(void)
{
    pthread_t thread = start_thread(use_everything, NULL);
    use_everything(NULL);
    join(thread);
}

static void test_use(void)
{
    unsigned long before = count();
    use_in_thread();
    CHECK(count() == before);
    pid_t child = fork();
    if (child == 0) {
        before = count();
        use_in_thread();
        CHECK(count() == before);
        _exit(0);
    }
    check_child(child);
}

int main(void)
{
    check_begin();
    calls = dlsym(RTLD_DEFAULT, "interposer_calls");
    test_interposition();
    test_use();
    return 0;
}
