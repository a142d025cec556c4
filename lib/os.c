/*
 * The system calls of the library; os.h is the contract.
 *
 * Each function puts errno back before it returns, so that no caller need think of it. Where libc's
 * wrapper is a cancellation point (read, write, open, close, getrandom) or may allocate or lock
 * (abort, raise), the system call is made directly: malloc and free are not cancellation points,
 * and must work while libc is half set up. Owns no state but the cached page size.
 */
#define _GNU_SOURCE 1
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SMALLEST_PAGE = 4096,   /* bytes; assumed where the kernel does not tell */
    LOWEST_DUPLICATE = 100, /* descriptors below are the program's: it may count on their numbers */
    STATM_TEXT = 128,       /* bytes; /proc/self/statm is seven numbers */
    ABORTED = 128 + SIGABRT, /* the exit status a shell shows for SIGABRT */
};

enum {
    MS_PER_S = 1000,
    NS_PER_MS = 1000 * 1000,
};

size_t os_page_size(void)
{
    /* bytes, 0 until first asked; relaxed: all writers write the same, and nothing hangs on it */
    static size_t cached;
    size_t size = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (UNLIKELY(size == 0)) {
        int saved = errno;
        size = getauxval(AT_PAGESZ);
        if (size == 0)
            size = SMALLEST_PAGE;
        __atomic_store_n(&cached, size, __ATOMIC_RELAXED);
        errno = saved;
    }
    return size;
}

/* Private anonymous memory of the given protection; NULL instead of MAP_FAILED, errno preserved. */
static void *map_anonymous(void *address, size_t size, int protection, int flags)
{
    int saved = errno;
    void *result = mmap(address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    errno = saved;
    return result == MAP_FAILED ? NULL : result;
}

void *os_reserve(size_t size)
{
    return map_anonymous(NULL, size, PROT_NONE, 0);
}

/* The same at exactly `address`. False, with nothing mapped, if that is not free. */
static bool map_anonymous_at(void *address, size_t size, int protection)
{
    void *result = map_anonymous(address, size, protection, MAP_FIXED_NOREPLACE);
    if (result == address)
        return true;
    if (result != NULL) /* a kernel before 4.17 took the address as a hint only */
        os_unmap(result, size);
    return false;
}

bool os_reserve_at(void *address, size_t size)
{
    return map_anonymous_at(address, size, PROT_NONE);
}

void *os_map(size_t size)
{
    return map_anonymous(NULL, size, PROT_READ | PROT_WRITE, 0);
}

bool os_map_at(void *address, size_t size)
{
    return map_anonymous_at(address, size, PROT_READ | PROT_WRITE);
}

bool os_open(void *address, size_t size)
{
    int saved = errno;
    bool done = mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

bool os_close(void *address, size_t size)
{
    return map_anonymous(address, size, PROT_NONE, MAP_FIXED) == address;
}

/* madvise with errno preserved. */
static bool advise(void *address, size_t size, int advice)
{
    int saved = errno;
    bool done = madvise(address, size, advice) == 0;
    errno = saved;
    return done;
}

bool os_purge(void *address, size_t size)
{
    return advise(address, size, MADV_DONTNEED);
}

bool os_unmap(void *address, size_t size)
{
    int saved = errno;
    bool done = munmap(address, size) == 0;
    errno = saved;
    return done;
}

void *os_remap(void *address, size_t old_size, size_t new_size)
{
    int saved = errno;
    void *result = mremap(address, old_size, new_size, MREMAP_MAYMOVE);
    errno = saved;
    return result == MAP_FAILED ? NULL : result;
}

void os_huge_pages(void *address, size_t size, bool wanted)
{
    advise(address, size, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

bool os_wipe_on_fork(void *address, size_t size)
{
    return advise(address, size, MADV_WIPEONFORK);
}

uint64_t os_now_ms(void)
{
    int saved = errno;
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    errno = saved;
    uint64_t ms = (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
    return ms != 0 ? ms : 1;
}

/* Reads the begin of a small file, e.g. of /proc; returns bytes, 0 if it cannot be read. */
static size_t read_file(const char *path, char *text, size_t size)
{
    int saved = errno;
    long length = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        length = syscall(SYS_read, fd, text, size);
        syscall(SYS_close, fd);
    }
    errno = saved;
    return length > 0 ? (size_t)length : 0;
}

size_t os_resident(void)
{
    size_t pages = 0;
    char text[STATM_TEXT];
    size_t length = read_file("/proc/self/statm", text, sizeof text);
    size_t at = 0;
    while (at < length && text[at] != ' ') /* the first field: address space */
        at++;
    for (at++; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        pages = pages * 10 + (size_t)(text[at] - '0');
    return pages * os_page_size();
}

bool os_counts_commit(void)
{
    int saved = errno;
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    errno = saved;
    char mode;
    bool strict = read_file("/proc/sys/vm/overcommit_memory", &mode, 1) == 1 && mode == '2';
    return limited || strict;
}

size_t os_filled_in(void *pages, size_t size)
{
    enum { PAGES_AT_ONCE = 512 };
    int saved = errno;
    unsigned char resident[PAGES_AT_ONCE];
    size_t page = os_page_size(), filled = 0;
    for (size_t done = 0; done < size; done += sizeof resident * page) {
        size_t part = min_size(size - done, sizeof resident * page);
        if (mincore((char *)pages + done, part, resident) != 0) {
            filled = 0;
            break;
        }
        for (size_t i = 0; i < part / page; i++)
            filled += (resident[i] & 1) * page;
    }
    errno = saved;
    return filled;
}

void os_wait(uint32_t *word, uint32_t expected, unsigned timeout_ms)
{
    int saved = errno;
    struct timespec timeout = {
        .tv_sec = timeout_ms / MS_PER_S,
        .tv_nsec = (long)(timeout_ms % MS_PER_S) * NS_PER_MS,
    };
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ms != 0 ? &timeout : NULL, NULL,
            0);
    errno = saved;
}

void os_wake(uint32_t *word, int count)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

size_t os_threads(void)
{
    int saved = errno;
    struct stat task;
    /* a directory has a link from its parent, one from itself and one from each below it */
    size_t threads =
        stat("/proc/self/task", &task) == 0 && task.st_nlink > 2 ? task.st_nlink - 2 : 0;
    errno = saved;
    return threads;
}

int os_process_id(void)
{
    return (int)syscall(SYS_getpid);
}

bool os_is_main_thread(void)
{
    return syscall(SYS_gettid) == os_process_id();
}

void os_name_thread(const char *name)
{
    int saved = errno;
    prctl(PR_SET_NAME, name);
    errno = saved;
}

void os_write(int fd, const char *text, size_t size)
{
    int saved = errno;
    while (size != 0) {
        long written = syscall(SYS_write, fd, text, size);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            break;
        }
    }
    errno = saved;
}

int os_duplicate(int fd)
{
    int saved = errno;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_DUPLICATE);
    errno = saved;
    return copy;
}

struct os_file os_file_of(int fd)
{
    int saved = errno;
    struct stat status;
    struct os_file file = {0};
    if (fstat(fd, &status) == 0)
        file = (struct os_file){status.st_dev, status.st_ino};
    errno = saved;
    return file;
}

bool os_is_of(int fd, struct os_file file)
{
    struct os_file now = os_file_of(fd);
    return (file.device | file.inode) != 0 && now.device == file.device && now.inode == file.inode;
}

/* Nonzero, which ends the search, for the executable. */
static int is_executable(struct dl_phdr_info *info, size_t size, void *headers)
{
    (void)size;
    return info->dlpi_phdr == headers;
}

bool os_in_program_namespace(void)
{
    int saved = errno;
    /* only the objects of the caller's namespace are visited */
    void *headers = (void *)getauxval(AT_PHDR);
    bool found = headers == NULL || dl_iterate_phdr(is_executable, headers) != 0;
    errno = saved;
    return found;
}

bool os_is_secure(void)
{
    int saved = errno;
    bool secure = getauxval(AT_SECURE) != 0;
    errno = saved;
    return secure;
}

uint64_t os_random(void)
{
    int saved = errno;
    uint64_t random = 0;
    if (syscall(SYS_getrandom, &random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        struct timespec now = {0};
        clock_gettime(CLOCK_MONOTONIC, &now);
        random = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32 ^ (uintptr_t)&now;
        random = (random ^ random >> 30) * 0xbf58476d1ce4e5b9; /* the finisher of splitmix64 */
        random = (random ^ random >> 27) * 0x94d049bb133111eb;
        random ^= random >> 31;
    }
    errno = saved;
    return random;
}

/* Unblocks SIGABRT and raises it. */
static void raise_abort(void)
{
    sigset_t abort_only;
    sigemptyset(&abort_only);
    sigaddset(&abort_only, SIGABRT);
    sigprocmask(SIG_UNBLOCK, &abort_only, NULL);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGABRT);
}

_Noreturn void os_abort(void)
{
    raise_abort();
    os_abort_by_default(); /* ignored, or its handler returned */
}

_Noreturn void os_abort_by_default(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigaction(SIGABRT, &by_default, NULL);
    raise_abort();
    for (;;) /* the first process of a container survives its own signals */
        syscall(SYS_exit_group, ABORTED);
}
